"""Data sets of other libraries become Splits."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import transferlib as tl
from transferlib.errors import DataError


class Pictures(Dataset):
    """Thirty pictures in three colours; what an item is made into is told by `make`."""

    classes = ("red", "green", "blue")

    def __init__(self, make=lambda image: image, n=30):
        self.make, self.n = make, n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        pixels = np.zeros((20, 30, 3), np.uint8)
        pixels[..., index % 3] = 255
        pixels[0, 0] = index, 0, 1  # or all of a class would be copies
        pixels[10, 15] = index, 5, 5
        return self.make(Image.fromarray(pixels)), index % 3


def pictures(root):
    """The pictures as files, a folder a class."""
    for index in range(24):
        image, label = Pictures()[index]
        folder = root / Pictures.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index}.png")


def colours(split):
    return split.images.float().mean((2, 3)).argmax(1)


def as_float(image):
    return v2.functional.to_dtype(v2.functional.pil_to_tensor(image), torch.float32, scale=True)


MAKES = {
    "Pillow's images": lambda image: image,
    "uint8 tensors, channels first": v2.functional.pil_to_tensor,
    "floats from 0 to 1": as_float,
    "arrays, channels last": np.asarray,
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_a_dataset_of_torch_becomes_splits_with_its_labels(make):
    splits = tl.load_data("dataset", data=Pictures(make), image_size=16, n_val=6, n_test=9)
    assert splits.classes == ("red", "green", "blue")
    assert (len(splits.train), len(splits.val), len(splits.test)) == (15, 6, 9)
    for part in (splits.train, splits.val, splits.test):
        assert part.images.shape[1:] == (3, 16, 16)
        assert torch.equal(colours(part), part.labels)


def test_whatever_the_form_of_an_image_its_pixels_are_the_same():
    made = [tl.load_data("dataset", data=Pictures(make), image_size=16).train.images for make in MAKES.values()]
    assert all(torch.equal(made[0], images) for images in made[1:])


def test_an_image_folder_and_a_part_of_it_know_their_classes(tmp_path):
    pictures(tmp_path)
    folder = ImageFolder(tmp_path)
    assert tl.load_data("dataset", data=folder, image_size=16).classes == ("blue", "green", "red")
    part = tl.load_data("dataset", data=Subset(folder, range(3, 21)), image_size=16)
    assert (part.classes, part.name) == (("blue", "green", "red"), "Subset")


def test_given_parts_stay_apart():
    train, val, test = Pictures(n=12), Pictures(MAKES["arrays, channels last"], n=6), Pictures(n=9)
    with pytest.raises(tl.DataError, match="in both train and"):
        tl.load_data("dataset", data=train, val=val, test=test, image_size=16)


def test_a_split_of_hugging_face_knows_its_classes_too(tmp_path):
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    pictures(tmp_path / "train")
    data = datasets.load_dataset("imagefolder", data_dir=str(tmp_path), split="train", cache_dir=str(tmp_path / "c"))
    splits = tl.load_data("dataset", data=data, image_size=16)
    assert splits.classes == ("blue", "green", "red")
    assert torch.equal(2 - colours(splits.train), splits.train.labels)


def test_rows_may_have_columns_of_other_names():
    rows = [dict(zip(("img", "fine"), Pictures()[i], strict=True)) for i in range(24)]
    splits = tl.load_data("dataset", data=rows, classes=("r", "g", "b"), columns=("img", "fine"), image_size=16)
    assert torch.equal(colours(splits.train), splits.train.labels)


def test_rows_that_are_mappings_and_groups_that_are_told():
    rows = [dict(zip(("image", "label"), Pictures()[i], strict=True)) | {"who": i // 6} for i in range(30)]
    splits = tl.load_data(
        "dataset", data=rows, classes="abc", image_size=16, n_val=6, n_test=6, groups=lambda row: row["who"]
    )
    people = [set(part.groups.tolist()) for part in (splits.train, splits.val, splits.test)]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])


def test_copies_stay_on_one_side():
    same = [Pictures()[i % 6] for i in range(60)]
    splits = tl.load_data("dataset", data=same, classes=["r", "g", "b"], image_size=16, n_val=10, n_test=10)
    assert len(splits.train.groups.unique()) < 6


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (TensorDataset(torch.zeros(9, 3, 8, 8), torch.arange(9) % 3), {}, "does not name its classes"),
        (
            TensorDataset(torch.zeros(9, 3, 8, 8) - 2, torch.arange(9) % 3),
            {"classes": "abc"},
            r"from -2 to -2.*Normalize",
        ),
        (TensorDataset(torch.zeros(9, 5, 8, 8), torch.arange(9) % 3), {"classes": "abc"}, r"TensorDataset, train\[0\]"),
        (TensorDataset(torch.zeros(9, 3, 8, 8), torch.arange(9) % 4), {"classes": "abc"}, r"\[3\] has label 3"),
    ],
)
def test_what_cannot_be_used_is_named(data, options, said):
    with pytest.raises(tl.DataError, match=said):
        tl.load_data("dataset", data=data, image_size=8, **options)


@pytest.mark.parametrize(
    ("options", "said"), [({"image_size": 0}, "image_size must be at least 1"), ({"data": []}, "list is empty")]
)
def test_a_size_of_nothing_and_a_data_set_of_nothing_are_named(options, said):
    with pytest.raises(DataError, match=said):
        tl.load_data("dataset", **{"data": [(np.zeros((3, 8, 8), np.uint8), 0)], "classes": ["a", "b"], **options})
