from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transferlib.check.report import check_folder
from transferlib.data.own.folder import divide, folder, labelled_split
from transferlib.data.own.images import load_image
from transferlib.data.splits import Splits
from transferlib.errors import DataError

SERIAL = iter(range(10**6))


def put(path: Path, size: tuple[int, int] = (12, 10)) -> Path:
    """A small photograph unlike any other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(next(SERIAL)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="JPEG")
    return path


def copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    return target


def tree(root: Path, n: int = 10, parts: tuple[str, ...] = ("",), classes: tuple[str, ...] = ("ant", "bee")) -> Path:
    for part in parts:
        for label in classes:
            for i in range(n):
                put(root / part / label / f"{label}{i:02d}.jpg")
    return root


def sizes(splits: Splits) -> tuple[int, int, int]:
    return len(splits.train), len(splits.val), len(splits.test)


def skipping(path: Path, **options: object) -> Splits:
    with pytest.warns(UserWarning, match="left out"):
        return folder(path, image_size=8, on_bad="skip", **options)  # type: ignore[arg-type]


def quietly(path: Path, **options: object) -> Splits:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return folder(path, image_size=8, **options)  # type: ignore[arg-type]


def holds(splits: Splits, path: Path, part: str) -> bool:
    picture = load_image(path, 8)
    return any(torch.equal(picture, image) for image in getattr(splits, part).images)


def test_plain_tree_is_divided_60_20_20_and_stratified(tmp_path: Path) -> None:
    splits = quietly(tree(tmp_path / "insects"))
    assert splits.classes == ("ant", "bee")
    assert splits.name == "insects"
    assert sizes(splits) == (12, 4, 4)
    for part in (splits.train, splits.val, splits.test):
        assert part.images.shape[1:] == (3, 8, 8)
        assert torch.bincount(part.labels).tolist() == [len(part) // 2] * 2
    assert not splits.notes


def test_labels_belong_to_their_images(tmp_path: Path) -> None:
    tree(tmp_path)
    for file in tmp_path.glob("*/*"):
        Image.new("RGB", (9, 9), (200 if file.parent.name == "ant" else 50, int(file.stem[-2:]), 0)).save(file)
    splits = quietly(tmp_path)
    for part in (splits.train, splits.val, splits.test):
        assert torch.equal(part.images[:, 0].float().mean((1, 2)) < 125, part.labels == 1)


def test_same_seed_same_split_and_another_seed_another(tmp_path: Path) -> None:
    tree(tmp_path)
    one, two, other = quietly(tmp_path, seed=1), quietly(tmp_path, seed=1), quietly(tmp_path, seed=2)
    assert torch.equal(one.train.images, two.train.images)
    assert torch.equal(one.test.groups, two.test.groups)
    assert not torch.equal(one.test.groups, other.test.groups)


def test_sizes_asked_for_are_given_and_test_does_not_depend_on_n_train(tmp_path: Path) -> None:
    tree(tmp_path)
    few, all_of_it = quietly(tmp_path, n_train=4), quietly(tmp_path)
    assert sizes(few) == (4, 4, 4)
    assert torch.equal(few.test.images, all_of_it.test.images)
    assert torch.equal(few.val.images, all_of_it.val.images)
    assert sizes(quietly(tmp_path, n_train=6, n_val=4, n_test=10)) == (6, 4, 10)


def test_impossible_sizes_are_refused(tmp_path: Path) -> None:
    tree(tmp_path)
    with pytest.raises(DataError, match="n_train=1 is fewer than the 2 classes"):
        quietly(tmp_path, n_train=1)
    with pytest.raises(DataError, match="more than the 20 images"):
        quietly(tmp_path, n_train=13)
    with pytest.raises(DataError, match="more than the 20 images"):
        quietly(tmp_path, n_val=15, n_test=15)
    with pytest.raises(DataError, match="image_size"):
        folder(tmp_path, image_size=0)
    with pytest.raises(DataError, match="on_bad"):
        folder(tmp_path, on_bad="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "VALID", "Test"), ("TRAIN", "validation", "test")]
)
def test_given_division_is_kept(tmp_path: Path, names: tuple[str, str, str]) -> None:
    tree(tmp_path, 3, names)
    splits = quietly(tmp_path)
    assert sizes(splits) == (6, 6, 6)
    assert holds(splits, tmp_path / names[0] / "ant" / "ant00.jpg", "train")
    assert holds(splits, tmp_path / names[1] / "bee" / "bee02.jpg", "val")
    assert holds(splits, tmp_path / names[2] / "bee" / "bee00.jpg", "test")
    assert sizes(quietly(tmp_path, n_train=2, n_val=4, n_test=2)) == (2, 4, 2)
    with pytest.raises(DataError, match="n_test=8 is more than the 6"):
        quietly(tmp_path, n_test=8)


def test_train_and_test_alone_have_val_cut_from_train(tmp_path: Path) -> None:
    splits = quietly(tree(tmp_path, 10, ("Train", "Test")))
    assert sizes(splits) == (16, 4, 20)
    assert any("val is cut from Train/" in note for note in splits.notes)


def test_train_and_val_alone_make_val_the_test_and_say_so(tmp_path: Path) -> None:
    splits = quietly(tree(tmp_path, 10, ("train", "val")))
    assert sizes(splits) == (16, 4, 20)
    assert holds(splits, tmp_path / "val" / "ant" / "ant03.jpg", "test")
    assert any("val/ is the test split" in note for note in splits.notes)


def test_train_alone_is_divided(tmp_path: Path) -> None:
    splits = quietly(tree(tmp_path, 10, ("train",)))
    assert sizes(splits) == (12, 4, 4)
    assert any("only train/" in note for note in splits.notes)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert quietly(tree(tmp_path, 5, classes=("bus", "train"))).classes == ("bus", "train")


def test_test_folder_without_labels_is_ignored_with_a_note(tmp_path: Path) -> None:
    tree(tmp_path, 10, ("train",))
    put(tmp_path / "test" / "unknown.jpg")
    assert any("'test'" in note for note in quietly(tmp_path).notes)


def test_two_folders_for_one_part_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, 3, ("train", "val", "valid"))
    with pytest.raises(DataError, match="both 'val' and 'valid'"):
        quietly(tmp_path)


def test_hidden_files_and_other_files_are_ignored_with_a_note(tmp_path: Path) -> None:
    tree(tmp_path)
    for name in (".DS_Store", "ant/.hidden.jpg", "ant/Thumbs.db", "bee/notes.txt", "readme.md"):
        (tmp_path / name).write_bytes(b"x")
    put(tmp_path / "__MACOSX" / "ant" / "a.jpg")
    put(tmp_path / ".git" / "a.jpg")
    put(tmp_path / "loose.jpg")
    splits = quietly(tmp_path)
    assert sum(sizes(splits)) == 20
    notes = "\n".join(splits.notes)
    for name in (".DS_Store", "notes.txt", "readme.md", "hidden"):
        assert name in notes


def test_images_in_deeper_folders_and_capital_suffixes_are_found(tmp_path: Path) -> None:
    tree(tmp_path)
    put(tmp_path / "ant" / "2023" / "site A" / "IMG_1.JPG")
    assert sum(sizes(quietly(tmp_path))) == 21


@pytest.mark.parametrize("name", ["two\nlines.jpg", "ünï 图.jpg"])
def test_odd_names_are_loaded(tmp_path: Path, name: str) -> None:
    tree(tmp_path)
    try:
        put(tmp_path / "ant" / name)
    except OSError:
        pytest.skip("this file system does not take such a name")
    assert sum(sizes(quietly(tmp_path))) == 21


def test_mixed_sizes_become_one(tmp_path: Path) -> None:
    tree(tmp_path)
    for i, size in enumerate([(1, 1), (300, 20), (20, 300), (500, 500)]):
        put(tmp_path / "bee" / f"odd{i}.jpg", size)
    assert sum(sizes(quietly(tmp_path))) == 24


def test_missing_folder_file_and_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is a file, not a folder"):
        folder(put(tmp_path / "a.jpg"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no images.*one folder for each class"):
        folder(tmp_path / "empty")
    (tmp_path / "hollow" / "ant").mkdir(parents=True)
    (tmp_path / "hollow" / "bee").mkdir()
    with pytest.raises(DataError, match="no images"):
        folder(tmp_path / "hollow", on_bad="skip")
    with pytest.raises(DataError, match="1 file but no class folder"):
        put(tmp_path / "flat" / "a.jpg")
        folder(tmp_path / "flat")


def test_one_class_is_refused_with_a_hint_at_the_folder_inside(tmp_path: Path) -> None:
    tree(tmp_path / "one", classes=("ant",))
    with pytest.raises(DataError, match=r"single class, 'ant'.*at least two"):
        folder(tmp_path / "one")
    tree(tmp_path / "outer" / "photos")
    with pytest.raises(DataError, match=r"Perhaps you mean .*photos"):
        folder(tmp_path / "outer")


def test_class_with_one_image_is_refused_or_left_out_loudly(tmp_path: Path) -> None:
    tree(tmp_path)
    put(tmp_path / "cat" / "only.jpg")
    with pytest.raises(DataError, match=r"'cat' has 1 unrelated image in the folder \(3 needed\)"):
        folder(tmp_path, image_size=8)
    splits = skipping(tmp_path)
    assert splits.classes == ("ant", "bee")
    assert any("'cat'" in note for note in splits.notes)


def test_class_of_three_copies_is_one_image(tmp_path: Path) -> None:
    tree(tmp_path)
    first = put(tmp_path / "cat" / "0.jpg")
    copy(first, tmp_path / "cat" / "1.jpg")
    copy(first, tmp_path / "cat" / "2.jpg")
    with pytest.raises(DataError, match="'cat' has 1 unrelated image"):
        folder(tmp_path, image_size=8)


def test_empty_class_folder_is_refused_or_left_out_loudly(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="'cat' has 0"):
        folder(tmp_path, image_size=8)
    assert skipping(tmp_path).classes == ("ant", "bee")


def test_one_usable_class_of_two_is_refused_whatever_on_bad_says(tmp_path: Path) -> None:
    tree(tmp_path, classes=("ant",))
    put(tmp_path / "bee" / "only.jpg")
    with pytest.raises(DataError, match="1 usable class of 2"):
        folder(tmp_path, image_size=8, on_bad="skip")


@pytest.mark.parametrize(("n", "fits"), [(1, False), (2, True)])
def test_with_a_test_folder_a_class_needs_two_images_to_train(tmp_path: Path, n: int, fits: bool) -> None:
    tree(tmp_path, 5, ("train", "test"))
    tree(tmp_path, n, ("train",), ("cat",))
    tree(tmp_path, 1, ("test",), ("cat",))
    splits = quietly(tmp_path) if fits else skipping(tmp_path)
    assert ("cat" in splits.classes) == fits
    if fits:
        assert any("test has a single image of 'cat'" in note for note in splits.notes)


def test_class_folders_of_train_and_test_must_agree(tmp_path: Path) -> None:
    tree(tmp_path, 5, ("train", "test"))
    tree(tmp_path, 5, ("train",), ("Cat",))
    tree(tmp_path, 5, ("test",), ("dog",))
    with pytest.raises(DataError) as caught:
        folder(tmp_path, image_size=8)
    assert "'Cat'" in str(caught.value)
    assert "0 unrelated images in test/" in str(caught.value)
    assert "'dog'" in str(caught.value)
    assert skipping(tmp_path).classes == ("ant", "bee")


def test_broken_file_is_refused_or_left_out_loudly(tmp_path: Path) -> None:
    tree(tmp_path)
    broken = tmp_path / "ant" / "broken.jpg"
    broken.write_bytes(put(tmp_path / "bee" / "x.jpg", (99, 99)).read_bytes()[:700])
    Image.new("L", (9, 9)).save(tmp_path / "bee" / "photo.gif")
    with pytest.raises(DataError) as caught:
        folder(tmp_path, image_size=8)
    for word in ("2 files", "'ant/broken.jpg'", "cut short", "GIF", 'on_bad="skip"', "data check"):
        assert word in str(caught.value)
    splits = skipping(tmp_path)
    assert sum(sizes(splits)) == 21
    assert any("'ant/broken.jpg'" in note for note in splits.notes)


@pytest.mark.skipif(os.name == "nt", reason="links as on POSIX")
def test_a_link_from_a_part_to_itself_is_no_class(tmp_path: Path) -> None:
    tree(tmp_path, parts=("train", "val", "test"))
    (tmp_path / "train" / "up").symlink_to(tmp_path / "train", target_is_directory=True)
    assert quietly(tmp_path).classes == ("ant", "bee")


@pytest.mark.skipif(os.name == "nt", reason="links as on POSIX")
def test_links_in_a_loop_end(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "back").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "ant" / "up").symlink_to(tmp_path, target_is_directory=True)
    splits = quietly(tmp_path)
    assert splits.classes == ("ant", "bee")
    assert sum(sizes(splits)) == 20
    (tmp_path / "ant" / "self.jpg").symlink_to(tmp_path / "ant" / "self.jpg")
    assert any("self.jpg" in note for note in skipping(tmp_path).notes)


@pytest.mark.skipif(os.name == "nt", reason="permissions as on POSIX")
def test_folder_that_may_not_be_listed_is_refused(tmp_path: Path) -> None:
    tree(tmp_path / "set")
    tmp_path.parent.chmod(0o755)
    tmp_path.chmod(0o755)
    (tmp_path / "set" / "ant").chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(DataError, match=r"cannot be|is not a folder"):
            folder(tmp_path / "set", image_size=8)
    finally:
        os.seteuid(user)
        (tmp_path / "set" / "ant").chmod(0o755)


def test_copies_never_cross_the_splits(tmp_path: Path) -> None:
    tree(tmp_path, 4)
    for label in ("ant", "bee"):
        for i in range(4):
            copy(tmp_path / label / f"{label}{i:02d}.jpg", tmp_path / label / f"copy{i}.jpg")
    for seed in range(8):
        splits = quietly(tmp_path, seed=seed)
        assert sum(sizes(splits)) == 16
        assert any("8 groups of identical pictures" in note for note in splits.notes)
        sides = [{image.numpy().tobytes() for image in part.images} for part in (splits.train, splits.val, splits.test)]
        assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_identical_files_with_two_labels_are_refused_or_all_left_out(tmp_path: Path) -> None:
    tree(tmp_path)
    copy(tmp_path / "ant" / "ant03.jpg", tmp_path / "bee" / "same.jpg")
    with pytest.raises(DataError, match=r"two different labels: 'ant/ant03.jpg' and 'bee/same.jpg'"):
        folder(tmp_path, image_size=8)
    splits = skipping(tmp_path)
    assert sum(sizes(splits)) == 19
    assert not any(holds(splits, tmp_path / "bee" / "same.jpg", part) for part in ("train", "val", "test"))
    assert any("two different labels" in note for note in splits.notes)


def test_copy_across_given_parts_is_refused_or_taken_from_train_and_never_from_test(tmp_path: Path) -> None:
    tree(tmp_path, 5, ("Train", "Test"))
    twin = copy(tmp_path / "Test" / "ant" / "ant01.jpg", tmp_path / "Train" / "ant" / "twin.jpg")
    with pytest.raises(DataError, match=r"across Train/Test: 'Train/ant/twin.jpg' and 'Test/ant/ant01.jpg'"):
        folder(tmp_path, image_size=8)
    splits = skipping(tmp_path)
    assert len(splits.test) == 10
    assert len(splits.train) + len(splits.val) == 10
    assert holds(splits, twin, "test")
    assert not holds(splits, twin, "train") and not holds(splits, twin, "val")


def test_groups_from_the_file_name_or_a_function_stay_together(tmp_path: Path) -> None:
    for label in ("ant", "bee"):
        for patient in range(6):
            for i in range(3):
                put(tmp_path / label / f"{label}P{patient}_{i}.jpg")
    by_name = quietly(tmp_path, groups=r"^([a-z]+P\d+)_")
    by_function = quietly(tmp_path, groups=lambda path: path.name.split("_")[0])
    for splits in (by_name, by_function):
        for part in (splits.train, splits.val, splits.test):
            assert all(n == 3 for n in torch.unique(part.groups, return_counts=True)[1])
    assert torch.equal(by_name.train.images, by_function.train.images)


def test_group_across_given_parts_counts_as_a_leak(tmp_path: Path) -> None:
    tree(tmp_path, 5, ("train", "test"))
    put(tmp_path / "train" / "ant" / "P9_a.jpg")
    put(tmp_path / "test" / "ant" / "P9_b.jpg")

    def by_patient(path: Path) -> str:
        return "P9" if path.name.startswith("P9") else str(path)

    with pytest.raises(DataError, match="1 group of related files across train/test"):
        folder(tmp_path, image_size=8, groups=by_patient)
    splits = skipping(tmp_path, groups=by_patient)
    assert len(splits.test) == 11
    assert len(splits.train) + len(splits.val) == 10


def test_unfit_group_rules_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, 3)
    for rule, word in (
        (r"(P\d+)", "finds no id"),
        (r"(\d*)", "finds no id"),
        (r"(jp)g", "in every name"),
        (r"ant\d", "brackets"),
        ("(", "regular expression"),
    ):
        with pytest.raises(DataError, match=word):
            folder(tmp_path, image_size=8, groups=rule)


@pytest.mark.parametrize(
    ("parts", "scored"),
    [(("test",), "test"), (("Test",), "Test"), (("val",), "val"), (("val", "test"), "test"), (("train", "val"), "val")],
)
def test_held_out_images_are_found_in_a_folder_of_parts_with_or_without_train(
    tmp_path: Path, parts: tuple[str, ...], scored: str
) -> None:
    tree(tmp_path, 3, parts)
    (tmp_path / "notes.txt").write_text("x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split = labelled_split(tmp_path, ("bee", "ant"), image_size=8)
    wanted = [
        load_image(tmp_path / scored / label / f"{label}{i:02d}.jpg", 8) for label in ("ant", "bee") for i in range(3)
    ]
    assert torch.equal(split.images, torch.stack(wanted))
    assert split.labels.tolist() == [1, 1, 1, 0, 0, 0]


def test_the_path_of_the_test_part_itself_is_read_whole_with_a_warning(tmp_path: Path) -> None:
    tree(tmp_path, 3, ("test",))
    with pytest.warns(UserWarning, match="flattered"):
        split = labelled_split(tmp_path / "test", ("ant", "bee"), image_size=8)
    assert split.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_class_is_no_folder_to_score(tmp_path: Path) -> None:
    tree(tmp_path, 3)
    with pytest.raises(DataError, match=r"holds 3 files but no class folder with images. Sort them"):
        labelled_split(tmp_path / "ant", ("ant", "bee"), image_size=8)


def test_a_class_called_test_beside_others_is_still_a_class(tmp_path: Path) -> None:
    tree(tmp_path, 3, classes=("bus", "test"))
    put(tmp_path / "test" / "deeper" / "a.jpg")
    with pytest.warns(UserWarning, match="flattered"):
        split = labelled_split(tmp_path, ("bus", "test"), image_size=8)
    assert torch.bincount(split.labels).tolist() == [3, 4]


def test_a_folder_with_test_alone_cannot_be_trained_on(tmp_path: Path) -> None:
    tree(tmp_path, 3, ("test",))
    with pytest.raises(DataError, match=r"'test', but no train/.*Perhaps you mean .*test"):
        folder(tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_folder_that_passes_the_check_can_be_divided(data: st.DataObject) -> None:
    classes = data.draw(st.lists(st.lists(st.integers(1, 12), min_size=3, max_size=12), min_size=2, max_size=5))
    labels = np.repeat(range(len(classes)), [sum(groups) for groups in classes])
    everything = [size for groups in classes for size in groups]
    ids = np.repeat(range(len(everything)), everything)
    chosen = divide({"": np.arange(len(labels))}, labels, ids, (None, None, None), data.draw(st.integers(0, 99)))
    assert sorted(np.concatenate(list(chosen.values()))) == list(range(len(labels)))
    assert sum(len(np.unique(ids[index])) for index in chosen.values()) == len(everything)
    for index in chosen.values():
        assert set(labels[index]) == set(range(len(classes)))


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["", "copy", "twin", "broken", "gif"]), max_size=3), st.integers(2, 5))
def test_ok_means_that_folder_takes_it(tmp_path_factory: pytest.TempPathFactory, faults: list[str], n: int) -> None:
    root = tree(tmp_path_factory.mktemp("set"), n)
    for i, fault in enumerate(faults):
        if fault == "broken":
            (root / "ant" / f"broken{i}.jpg").write_bytes(b"\xff\xd8\xff")
        elif fault == "gif":
            Image.new("L", (5, 5)).save(root / "bee" / f"{i}.gif")
        elif fault:
            copy(root / "ant" / "ant00.jpg", root / ("ant" if fault == "copy" else "bee") / f"{fault}{i}.jpg")
    report = check_folder(root)
    try:
        folder(root, image_size=4)
        taken = True
    except DataError:
        taken = False
    assert report.ok == taken


def test_real_hymenoptera(real_data: Callable[[str], Path]) -> None:
    path = real_data("hymenoptera/hymenoptera_data")
    with pytest.raises(DataError, match=r"1 file that cannot be read: 'train/ants/imageNotFound.gif' is a GIF"):
        folder(path, image_size=32)
    splits = skipping(path)
    assert splits.classes == ("ants", "bees")
    assert len(splits.train) + len(splits.val) == 244
    assert torch.bincount(splits.test.labels).tolist() == [70, 83]
    assert splits.notes[0].startswith("There is no test folder: val/ is the test split")


def test_real_isic9(real_data: Callable[[str], Path]) -> None:
    path = real_data("isic9/images")
    with pytest.raises(DataError, match="155 groups of identical pictures with two different labels"):
        folder(path, image_size=16)
    splits = skipping(path)
    assert len(splits.classes) == 8
    assert "seborrheic keratosis" not in splits.classes
    assert len(splits.test) == 100
    assert len(splits.train) + len(splits.val) == 1947
    notes = "\n".join(splits.notes)
    assert "'seborrheic keratosis' has 2 unrelated images in Train/ (2 needed) and 0 unrelated images in Test/" in notes
    assert "test has a single image of 'actinic keratosis'" in notes


def test_decoded_images_in_files_are_those_in_memory_and_are_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "photos")
    plain = quietly(root)
    kept = quietly(root, cache=tmp_path / "kept")
    monkeypatch.setattr("transferlib.data.own.folder.load_image", lambda *_: pytest.fail("decoded again"))
    again = quietly(root, cache=tmp_path / "kept")
    for part in ("train", "val", "test"):
        for other in (kept, again):
            assert torch.equal(getattr(plain, part).images, getattr(other, part).images)
            assert torch.equal(getattr(plain, part).labels, getattr(other, part).labels)


def test_a_damaged_file_of_decoded_images_is_made_again(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos")
    plain = quietly(root)
    quietly(root, cache=tmp_path / "kept")
    for path in (tmp_path / "kept").glob("images-*.bin"):
        path.write_bytes(path.read_bytes()[:-1])
    assert torch.equal(plain.test.images, quietly(root, cache=tmp_path / "kept").test.images)


def test_a_full_disk_under_decoded_images_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("transferlib.files.tensors._reserve", full)
    with pytest.raises(DataError, match=r"kept.*No space left on device.*MB"):
        quietly(tree(tmp_path / "photos"), cache=tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


ANONYMOUS = """
import sys
from transferlib.data.own.folder import folder

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000

before = anonymous()
splits = folder(sys.argv[1], image_size=512, cache=sys.argv[2] if len(sys.argv) > 2 else None)
print(anonymous() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_decoded_images_in_files_do_not_occupy_memory(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos", n=60)  # 120 images of 512 × 512 pixels: 94 MB
    used = [
        float(
            subprocess.run([sys.executable, "-c", ANONYMOUS, str(root), *more], capture_output=True, check=True).stdout
        )
        for more in ([], [str(tmp_path / "kept")])
    ]
    assert used[0] > 90
    assert used[1] < 45
