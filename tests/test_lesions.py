import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from transferlib.data.builtin import lesions as module
from transferlib.data.builtin.dermatoscope import ALL_SIGNS, CLASSES, draw_lesion, draw_signs, photograph
from transferlib.data.builtin.lesions import lesions
from transferlib.data.splits import Split
from transferlib.errors import DataError

MELANOMA = list(CLASSES).index("melanoma")


def small(n_train: int = 20, **knobs):
    return lesions(n_train, **{"image_size": 32, "n_val": 20, "n_test": 20} | knobs)


def same(one: Split, other: Split) -> bool:
    return all(torch.equal(getattr(one, part), getattr(other, part)) for part in ("images", "labels", "groups"))


def differ(one: Split, other: Split) -> list[bool]:
    return (one.images != other.images).flatten(1).any(1).tolist()


def test_splits_say_what_they_are():
    splits = lesions(12, image_size=48, n_val=11, n_test=13)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [12, 11, 13]
    assert splits.train.images.shape == (12, 3, 48, 48)
    assert len(splits.classes) >= 5
    assert (splits.name, splits.augment, splits.synthetic) == ("lesions", "dihedral", True)
    assert "Synthetic" in splits.credits and "not for diagnosis" in splits.credits


def test_same_seed_is_bit_identical_and_another_seed_is_not():
    one, two, other = small(seed=3), small(seed=3), small(seed=4)
    for part in ("train", "val", "test"):
        assert same(getattr(one, part), getattr(two, part))
        assert all(differ(getattr(one, part), getattr(other, part)))


def test_drawing_neither_uses_nor_moves_global_random_state():
    np.random.seed(1)
    torch.manual_seed(1)
    one = small()
    expected = np.random.RandomState(1).random_sample()
    assert np.random.random_sample() == expected
    assert same(one.train, small().train)


def test_images_are_the_same_on_every_machine():
    """Means over all photos and over the middle of five, with room for rounding of floats."""
    splits = lesions(10, image_size=64, n_val=10, n_test=10)
    images = torch.cat([splits.train.images, splits.val.images, splits.test.images]).double()
    found = torch.cat([images.mean((0, 2, 3)), images[:5, :, 16:48, 16:48].mean((1, 2, 3))])
    expected = torch.tensor([155.30, 99.13, 84.80, 71.78, 70.81, 87.92, 68.88, 38.89], dtype=torch.float64)
    assert torch.allclose(found, expected, atol=0.2), found.tolist()


@pytest.mark.parametrize("photos", [1, 2, 3])
def test_a_small_train_split_is_the_beginning_of_a_larger_one(photos):
    few, many = small(15, photos_per_lesion=photos), small(31, photos_per_lesion=photos)
    assert same(few.train, many.train[:15])
    assert same(few.val, many.val) and same(few.test, many.test)


@settings(max_examples=10, deadline=None)
@given(n=st.integers(13, 30), photos=st.integers(1, 3), noise=st.floats(0, 1), seed=st.integers(0, 2**40))
def test_photos_of_a_lesion_share_the_label_and_no_lesion_crosses_splits(n, photos, noise, seed):
    try:
        splits = small(n, n_val=13, n_test=13, photos_per_lesion=photos, label_noise=noise, seed=seed)
    except DataError as error:  # wrong labels may leave a class without any
        assert noise and "no example to train on" in str(error)
        reject()
    seen: set[int] = set()
    for split in (splits.train, splits.val, splits.test):
        groups = split.groups.unique().tolist()
        assert not seen & set(groups)
        seen |= set(groups)
        assert len(groups) == -(-len(split) // photos)
        for group in groups:
            assert len(split.labels[split.groups == group].unique()) == 1


def test_classes_are_balanced_by_default():
    splits = small(100, photos_per_lesion=1)
    assert torch.bincount(splits.train.labels).tolist() == [20] * len(CLASSES)


def test_imbalance_sets_class_shares_and_keeps_every_class():
    splits = small(120, photos_per_lesion=1, imbalance={"nevus": 8, "melanoma": 1e-6}, n_test=60)
    for split in (splits.train, splits.test):
        counts = torch.bincount(split.labels, minlength=len(CLASSES))
        assert counts[MELANOMA] == 1
        share = counts[list(CLASSES).index("nevus")] / len(split)
        assert abs(share - 8 / 11) < 0.05


@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0])
def test_label_noise_flips_that_share_of_training_lesions_only(noise):
    clean, noisy = small(80), small(80, label_noise=noise)
    flipped = clean.train.labels != noisy.train.labels
    assert flipped.double().mean() == pytest.approx(noise)
    assert torch.equal(clean.train.images, noisy.train.images)
    assert same(clean.val, noisy.val) and same(clean.test, noisy.test)


def test_full_shortcut_rules_every_melanoma_of_train_and_val_and_nothing_else(monkeypatch):
    biased = small(40, shortcut=1.0)
    monkeypatch.setattr(module, "RULERS", 0.0)
    bare = small(40)
    for part in ("train", "val"):
        with_ruler = differ(getattr(biased, part), getattr(bare, part))
        assert with_ruler == (getattr(bare, part).labels == MELANOMA).tolist()


def test_shortcut_leaves_test_photos_and_everything_but_rulers_alone():
    plain, half, full = (small(60, shortcut=s) for s in (0.0, 0.5, 1.0))
    assert same(plain.test, half.test) and same(plain.test, full.test)
    assert torch.equal(plain.train.labels, full.train.labels)
    middle = (..., slice(11, 21), slice(11, 21))
    assert torch.equal(plain.train.images[middle], full.train.images[middle])
    assert sum(differ(plain.train, half.train)) < sum(differ(plain.train, full.train))


def test_rulers_are_as_common_on_every_class_without_a_shortcut(monkeypatch):
    plain = small(400, photos_per_lesion=1)
    monkeypatch.setattr(module, "RULERS", 0.0)
    ruled = torch.tensor(differ(plain.train, small(400, photos_per_lesion=1).train))
    shares = [ruled[plain.train.labels == label].double().mean() for label in range(len(CLASSES))]
    assert min(shares) > 0.03 and max(shares) < 0.32


def test_darker_skin_tone_darkens_the_photos():
    pale, dark = small(skin_tone=(0.0, 0.1)), small(skin_tone=(0.9, 1.0))
    assert pale.train.images.double().mean() > 1.6 * dark.train.images.double().mean()


def test_photos_of_a_lesion_are_different_views():
    splits = small(20, photos_per_lesion=4)
    assert len(splits.train.images.flatten(1).unique(dim=0)) == 20


def test_signs_of_every_class_are_strengths_and_unnamed_ones_are_absent():
    rng = np.random.default_rng(0)
    for name, ranges in CLASSES.items():
        signs = draw_signs(name, rng)
        assert set(signs) == set(ALL_SIGNS)
        assert all(0 <= strength <= 1.2 for strength in signs.values())
        assert all(signs[sign] == 0 for sign in ALL_SIGNS if sign not in ranges)


@pytest.mark.parametrize("n", [32, 97])
def test_extreme_signs_still_draw(n):
    for strength in (0.0, 1.5):
        drawing = draw_lesion(dict.fromkeys(ALL_SIGNS, strength), np.random.default_rng(0), n)
        assert drawing.shape == (4, n, n) and np.isfinite(drawing).all() and drawing.min() >= 0
        photo = photograph(drawing, strength, 0.5, np.random.default_rng(1), n, rulers=1.0)
        assert photo.shape == (3, n, n) and photo.dtype == np.uint8 and photo.std() > 1


@pytest.mark.parametrize("sign", [sign for sign in ALL_SIGNS if sign != "size"])
def test_every_sign_can_be_seen_and_moves_no_other(sign):
    signs = dict.fromkeys(ALL_SIGNS, 0.0) | {"pigment": 0.4, "redness": 0.2}
    states = []
    drawings = []
    for strength in (0.0, 1.0):
        rng = np.random.default_rng(0)
        drawings.append(draw_lesion(signs | {sign: strength}, rng, 64))
        states.append(rng.bit_generator.state)
    assert np.abs(drawings[1] - drawings[0]).max() > 0.1
    assert states[0] == states[1]


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"image_size": 8}, "image_size=8"),
        ({"seed": -1}, "seed=-1"),
        ({"photos_per_lesion": 0}, "photos_per_lesion=0"),
        ({"n_train": 8}, "at least 9 photos"),
        ({"n_val": 0}, "split of 0 photos"),
        ({"n_test": 3, "photos_per_lesion": 1}, "at least 5 photos"),
        ({"imbalance": {"wart": 1}}, "'wart'.*melanoma"),
        ({"imbalance": {"nevus": 0}}, "positive"),
        ({"imbalance": {"nevus": float("nan")}}, "positive"),
        ({"label_noise": 1.5}, "label_noise=1.5"),
        ({"label_noise": float("nan")}, "label_noise=nan"),
        ({"shortcut": -0.1}, "shortcut=-0.1"),
        ({"skin_tone": (0.8, 0.2)}, "skin_tone"),
        ({"skin_tone": (0.0, 2.0)}, "skin_tone"),
    ],
)
def test_a_bad_knob_is_named_with_its_value(knobs, words):
    with pytest.raises(DataError, match=words):
        small(**knobs)
