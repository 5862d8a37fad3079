from __future__ import annotations

import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from local_server import serve
from PIL import Image
from scipy.io import savemat

from transferlib.data.builtin.digits import digits
from transferlib.data.builtin.public import SETS, dermamnist, flowers102, oxford_pets
from transferlib.errors import DataError, DownloadError

PARTS = ("train", "val", "test")


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


def use(monkeypatch, name: str, server, files: dict[str, bytes]) -> None:
    """Let a set come from a server of this machine."""
    monkeypatch.setitem(SETS[name], "url", f"{server.url}/{{file}}?download=1")
    monkeypatch.setitem(SETS[name], "files", {file: md5(content) for file, content in files.items()})


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache, and no way to the internet."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TRANSFERLIB_CACHE", str(tmp_path / "cache"))
    for about in SETS.values():
        monkeypatch.setitem(about, "url", "http://127.0.0.1:9/{file}")  # nobody listens
    return tmp_path / "cache"


# Digits


def test_digits_are_enlarged_on_three_channels_and_must_not_be_mirrored():
    splits = digits(100, image_size=32)
    assert [len(getattr(splits, part)) for part in PARTS] == [100, 160, 512]
    assert splits.train.images.shape == (100, 3, 32, 32)
    assert splits.augment == "none"
    assert splits.train.images.max() > 200
    assert (splits.train.images == splits.train.images[:, :1]).all()


def test_digits_show_the_digit_of_their_label():
    from sklearn.datasets import load_digits

    data = load_digits()
    test = digits(20, image_size=8).test
    expected = torch.from_numpy(data.images[test.groups.numpy()] * 255 / 16).round()
    assert (test.images[:, 0].float() - expected).abs().max() <= 1
    assert test.labels.tolist() == data.target[test.groups.numpy()].tolist()


@settings(max_examples=5, deadline=None)
@given(st.integers(10, 900), st.integers(0, 2**31))
def test_val_and_test_digits_do_not_depend_on_how_many_are_trained_on(n_train, seed):
    one, other = digits(n_train, image_size=8, seed=seed), digits(50, image_size=8, seed=seed)
    for part in ("val", "test"):
        assert torch.equal(getattr(one, part).groups, getattr(other, part).groups)
    assert len(one.train) == n_train
    assert torch.bincount(one.train.labels, minlength=10).min() > 0


def test_all_digits_can_be_had_and_no_more():
    assert len(digits(None, image_size=8).train) == 1797 - 160 - 512
    with pytest.raises(DataError, match="from 1125"):
        digits(1126, image_size=8)


# DermaMNIST

COUNTS = {"train": 140, "val": 28, "test": 42}


def derma_file(side: int = 28, **changes: np.ndarray) -> bytes:
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in COUNTS.items():
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n, dtype=np.uint8) % 7)[:, None]
    file = io.BytesIO()
    np.savez_compressed(file, **(arrays | changes))
    return file.getvalue()


@pytest.fixture
def derma(monkeypatch):
    """The official files, small, on a server of this machine."""
    files = {"dermamnist.npz": derma_file(28), "dermamnist_64.npz": derma_file(64)}
    with serve(files) as server:
        use(monkeypatch, "dermamnist", server, dict.fromkeys(SETS["dermamnist"]["files"], b"") | files)
        yield server


def test_dermamnist_is_downloaded_once_and_keeps_the_official_split(derma, cache):
    for _ in range(2):
        splits = dermamnist(image_size=28)
    assert derma.requests == ["dermamnist.npz"]
    assert (cache / "dermamnist" / "dermamnist.npz").exists()
    assert {part: len(getattr(splits, part)) for part in PARTS} == COUNTS
    with np.load(io.BytesIO(derma.files["dermamnist.npz"])) as data:
        for part in PARTS:
            assert (getattr(splits, part).images.permute(0, 2, 3, 1).numpy() == data[f"{part}_images"]).all()
            assert (getattr(splits, part).labels.numpy() == data[f"{part}_labels"].ravel()).all()


def test_dermamnist_says_that_its_licence_forbids_commercial_use_and_that_its_split_leaks(derma):
    splits = dermamnist(image_size=28)
    assert "CC BY-NC 4.0" in splits.credits
    assert "forbids commercial use" in splits.credits
    assert "Abhishek" in " ".join(splits.notes)
    assert splits.augment == "dihedral"
    assert splits.classes[4] == "melanoma"


@pytest.mark.parametrize(
    ("image_size", "size", "expected"), [(16, None, ""), (28, None, ""), (40, None, "_64"), (16, 64, "_64")]
)
def test_the_smallest_file_that_is_large_enough_is_read(derma, image_size, size, expected):
    splits = dermamnist(image_size=image_size, size=size)
    assert derma.requests == [f"dermamnist{expected}.npz"]
    assert splits.train.images.shape[2:] == (image_size, image_size)


def test_a_size_that_does_not_exist_lists_those_that_do(derma):
    with pytest.raises(DataError, match=r"28, 64, 128, 224"):
        dermamnist(size=100)


def test_a_part_of_dermamnist_is_stratified_and_differs_by_seed(derma):
    one, other = (dermamnist(35, image_size=28, n_val=7, n_test=14, seed=seed) for seed in (0, 1))
    assert torch.bincount(one.train.labels).tolist() == [5] * 7
    assert torch.bincount(one.val.labels).tolist() == [1] * 7
    assert not torch.equal(one.train.groups, other.train.groups)
    with pytest.raises(DataError, match="from 140"):
        dermamnist(141, image_size=28)


def test_a_damaged_file_in_the_cache_is_fetched_again(derma, cache):
    dermamnist(image_size=28)
    path = cache / "dermamnist" / "dermamnist.npz"
    path.write_bytes(path.read_bytes()[:1000])
    dermamnist(image_size=28)
    assert path.read_bytes() == derma.files["dermamnist.npz"]


def test_a_damaged_file_of_the_readers_own_is_named_and_never_replaced(derma, tmp_path):
    path = tmp_path / "dermamnist.npz"
    path.write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"dermamnist\.npz is damaged"):
        dermamnist(image_size=28, folder=tmp_path)
    assert path.read_bytes() == b"mine"
    path.write_bytes(derma.files["dermamnist.npz"])
    assert len(dermamnist(image_size=28, folder=tmp_path).train) == 140
    assert derma.requests == []


@pytest.mark.parametrize(
    "changes",
    [
        {"train_images": np.array([{"a": 1}] * 140, dtype=object)},  # a pickle
        {"val_images": np.zeros((28, 28, 28), np.uint8)},
        {"val_images": np.zeros((28, 28, 28, 3), np.float32)},
        {"test_labels": np.arange(42)},
        {"test_labels": np.arange(3)},
    ],
)
def test_a_file_of_another_shape_is_a_clear_error_and_no_pickle_is_read(derma, monkeypatch, changes):
    derma.files["dermamnist.npz"] = content = derma_file(**changes)
    monkeypatch.setitem(SETS["dermamnist"]["files"], "dermamnist.npz", md5(content))
    with pytest.raises((DownloadError, DataError), match="dermamnist"):
        dermamnist(image_size=28)


@pytest.mark.parametrize("load", [dermamnist, flowers102, oxford_pets])
def test_without_a_network_nothing_is_used_instead(load, cache):
    with pytest.raises(DownloadError, match="by hand"):
        load()
    assert [path for path in cache.rglob("*") if path.is_file()] == []


# Oxford


def jpeg(value: int, size: tuple[int, int] = (60, 40)) -> bytes:
    """A picture whose central square is of one value, between black and white edges."""
    pixels = np.full((size[1], size[0]), value, np.uint8)
    pixels[:, :4], pixels[:, -4:] = 0, 255
    file = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(file, "JPEG", quality=95)
    return file.getvalue()


def tgz(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as packed:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return file.getvalue()


def mat(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    savemat(file, arrays)
    return file.getvalue()


@pytest.fixture
def flowers(monkeypatch):
    from torchvision.datasets import Flowers102

    ids = np.arange(1, 613)  # 102 classes, two images a split
    files = {
        "102flowers.tgz": tgz({f"jpg/image_{i:05d}.jpg": jpeg(i % 102 + 60) for i in ids}),
        "imagelabels.mat": mat(labels=ids % 102 + 1),
        "setid.mat": mat(trnid=ids[:204], valid=ids[204:408], tstid=ids[408:]),
    }
    with serve(files) as server:
        use(monkeypatch, "flowers102", server, files)
        names = {"image": "102flowers.tgz", "label": "imagelabels.mat", "setid": "setid.mat"}
        table = {key: (name, md5(files[name])[4:]) for key, name in names.items()}
        monkeypatch.setattr(Flowers102, "_file_dict", table)
        yield server


def test_flowers_are_downloaded_once_cropped_and_labelled(flowers, cache):
    for _ in range(2):
        splits = flowers102(image_size=16, n_test=None)
    assert sorted(flowers.requests) == ["102flowers.tgz", "imagelabels.mat", "setid.mat"]
    assert [len(getattr(splits, part)) for part in PARTS] == [204, 160, 204]
    assert len(splits.classes) == 102
    middle = splits.test.images.float().mean((1, 2, 3))
    assert (middle - (splits.test.labels + 60)).abs().max() <= 2
    assert not list(cache.rglob("*.tgz"))
    assert "no licence" in splits.credits


def pet_files() -> dict[str, bytes]:
    breeds = ["Abyssinian", "beagle", "great_pyrenees"]
    images, lists = {}, {"trainval": "", "test": ""}
    for label, breed in enumerate(breeds):
        for i in range(1, 21):
            images[f"images/{breed}_{i}.jpg"] = jpeg(80 + 40 * label)
            lists["trainval" if i <= 12 else "test"] += f"{breed}_{i} {label + 1} 1 1\n"
    notes = {f"annotations/{part}.txt": text.encode() for part, text in lists.items()}
    return {"images.tar.gz": tgz(images), "annotations.tar.gz": tgz(notes)}


def test_pets_draw_val_from_trainval_and_test_from_test(monkeypatch):
    with serve(pet_files()) as server:
        use(monkeypatch, "oxford_pets", server, server.files)
        for _ in range(2):
            splits = oxford_pets(image_size=16, n_val=6, n_test=12)
        assert server.requests == ["images.tar.gz", "annotations.tar.gz"]
    assert [len(getattr(splits, part)) for part in PARTS] == [30, 6, 12]
    assert splits.classes == ("Abyssinian", "Beagle", "Great Pyrenees")
    for part in PARTS:
        split = getattr(splits, part)
        assert (split.images.float().mean((1, 2, 3)) - (80 + 40 * split.labels)).abs().max() <= 2
        assert len(set(torch.bincount(split.labels).tolist())) == 1
    assert "CC BY-SA 4.0" in splits.credits
    assert splits.augment == "flip"


def test_a_broken_picture_or_list_among_the_pets_says_what_to_delete(monkeypatch, cache):
    with serve(pet_files()) as server:
        use(monkeypatch, "oxford_pets", server, server.files)
        oxford_pets(image_size=16, n_val=6, n_test=12)
        base = cache / "oxford_pets" / "oxford-iiit-pet"
        (base / "images" / "beagle_20.jpg").write_bytes(jpeg(9)[:400])
        with pytest.raises(DownloadError, match="Delete the folder"):
            oxford_pets(image_size=16, n_val=6, n_test=None)
        (base / "annotations" / "test.txt").unlink()
        with pytest.raises(DownloadError, match="Delete the folder"):
            oxford_pets(image_size=16, n_val=6)


def test_a_download_that_breaks_off_leaves_no_pets_behind(monkeypatch, cache):
    with serve(pet_files()) as server:
        use(monkeypatch, "oxford_pets", server, server.files)
        server.stop_after = 500
        with pytest.raises(DownloadError, match=r"images\.tar\.gz"):
            oxford_pets()
        assert [path for path in cache.rglob("*") if path.is_file()] == []
        server.stop_after = None
        assert len(oxford_pets(image_size=16, n_val=6, n_test=12).test) == 12
