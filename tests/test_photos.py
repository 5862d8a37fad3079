from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from transferlib.data.builtin import originals as photographs
from transferlib.data.builtin.originals import CREDITS, Photograph, photograph
from transferlib.data.builtin.photos import CLASSES, FLAT, ROLES, _cells, _cut, _scaled, _textured, photos
from transferlib.errors import DataError

PARTS = ("train", "val", "test")


def same(one, other) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("images", "labels", "groups"))


@pytest.fixture(scope="module")
def splits():
    return photos(48, n_val=32, n_test=64, image_size=48)


def test_shapes_classes_and_credits(splits):
    assert [len(getattr(splits, part)) for part in PARTS] == [48, 32, 64]
    assert splits.train.images.shape == (48, 3, 48, 48)
    assert splits.classes == CLASSES
    assert len(CLASSES) == 16
    assert splits.augment == "dihedral"
    assert not splits.synthetic
    for name, photo in CREDITS.items():
        assert f"{name}: {photo.credit}" in splits.credits


def test_classes_are_balanced(splits):
    for part in PARTS:
        labels = getattr(splits, part).labels
        assert torch.bincount(labels, minlength=16).tolist() == [len(labels) // 16] * 16


def test_the_same_seed_gives_the_same_images_and_another_seed_others(splits):
    again, other = (photos(48, n_val=32, n_test=64, image_size=48, seed=seed) for seed in (0, 1))
    for part in PARTS:
        assert same(getattr(splits, part), getattr(again, part))
        assert not torch.equal(getattr(splits, part).images, getattr(other, part).images)


@settings(max_examples=6, deadline=None)
@given(st.integers(16, 48), st.integers(1, 32), st.integers(1, 64))
def test_fewer_images_are_the_first_of_more(splits, n_train, n_val, n_test):
    fewer = photos(n_train, n_val=n_val, n_test=n_test, image_size=48)
    for part, n in zip(PARTS, (n_train, n_val, n_test), strict=True):
        assert same(getattr(fewer, part), getattr(splits, part)[:n])


def test_no_two_splits_nor_two_classes_share_a_region(splits):
    owners = {}
    for part in PARTS:
        split = getattr(splits, part)
        for group, label in zip(split.groups.tolist(), split.labels.tolist(), strict=True):
            assert owners.setdefault(group, (part, label)) == (part, label)
    other = photos(48, n_val=32, n_test=64, image_size=48, seed=5)  # a model may be tested with another seed
    assert not set(splits.train.groups.tolist()) & set(other.test.groups.tolist())


@given(st.integers(100, 2000), st.integers(100, 2000))
def test_cells_are_disjoint_with_a_margin_inside_the_photograph_and_serve_every_split(width, height):
    cells = _cells(width, height)
    assert {role for role, _ in cells} == set(range(ROLES))
    boxes = np.array([box for _, box in cells])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [width, height]).all()
    gap = 0.05 * min(boxes[0, 2] - boxes[0, 0], boxes[0, 3] - boxes[0, 1])
    for i, (left, top, right, bottom) in enumerate(boxes):
        for a, b, c, d in boxes[i + 1 :]:
            assert max(a - right, left - c, b - bottom, top - d) >= gap


@pytest.mark.parametrize("size", [(451, 300), (384, 191), (512, 512)])
@pytest.mark.parametrize("seed", range(20))
def test_a_patch_never_leaves_its_cell_whatever_its_angle(size, seed):
    for cell, (_, box) in enumerate(_cells(*size)):
        paper = np.zeros((size[1], size[0]), np.uint8)
        left, top, right, bottom = (round(edge) for edge in box)
        paper[top - 2 : bottom + 2, left - 2 : right + 2] = 200  # bicubic reaches two pixels further
        patch = _cut(Image.fromarray(paper), box, 32, np.random.default_rng((seed, cell)))
        assert (patch == 200).all()


def test_grey_is_the_same_on_three_channels_and_colour_is_not(splits):
    assert (splits.train.images == splits.train.images[:, :1]).all()
    color = photos(16, n_val=1, n_test=1, image_size=48, color=True).train
    cat = color.images[color.labels == CLASSES.index("cat")].float()
    assert (cat.amax(1) - cat.amin(1)).mean() > 20


def test_flat_patches_are_rare_except_where_the_photograph_is_flat():
    rng = np.random.default_rng(0)
    for name in CLASSES:
        photo, cells = _scaled(name, False, 96)
        boxes = [box for role, box in cells if role == 2]
        spreads = [float(_textured(photo, boxes, 96, rng)[0].std()) for _ in range(12)]
        assert np.mean([spread >= FLAT for spread in spreads]) >= 0.5, name


def test_a_photograph_without_any_texture_still_ends():
    patch, where = _textured(
        Image.new("L", (64, 64), 90), [(0, 0, 32, 32), (32, 32, 64, 64)], 16, np.random.default_rng(0)
    )
    assert patch.shape == (16, 16)
    assert where in (0, 1)


def test_brightness_and_contrast_alone_do_not_give_the_answer_away():
    splits = photos(160, n_val=1, n_test=160, image_size=48)

    def light(split):
        grey = split.images[:, 0].float()
        return torch.stack([grey.mean((1, 2)), grey.std((1, 2))], 1).numpy()

    model = KNeighborsClassifier(5).fit(light(splits.train), splits.train.labels)
    assert model.score(light(splits.test), splits.test.labels) < 0.4


@pytest.mark.parametrize(
    "options",
    [{"n_train": 15}, {"n_val": 0}, {"n_test": -1}, {"image_size": 8}, {"image_size": 4096}, {"seed": -1}],
)
def test_impossible_wishes_are_data_errors(options):
    with pytest.raises(DataError, match="photos: "):
        photos(**options)


def broken(name: str, file: str, sha256: str) -> dict[str, Photograph]:
    return CREDITS | {name: Photograph(CREDITS[name].package, file, sha256, "")}


@pytest.mark.parametrize(
    ("file", "sha256", "match"),
    [
        ("data/gone.png", "0" * 64, r"gone\.png \(cat\) cannot be read.*pip install scikit-image=="),
        (CREDITS["cat"].file, "0" * 64, r"chelsea\.png \(cat\) has SHA-256 596aa1.*pip install scikit-image=="),
    ],
)
def test_a_missing_or_changed_photograph_is_named_with_the_version_to_install(monkeypatch, file, sha256, match):
    monkeypatch.setattr(photographs, "CREDITS", broken("cat", file, sha256))
    with pytest.raises(DataError, match=match):
        photograph.__wrapped__("cat", False)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(photographs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        photograph.__wrapped__("flower", False)
