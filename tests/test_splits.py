import numpy as np
import pytest
import torch
from helpers import stripes
from hypothesis import given, settings
from hypothesis import strategies as st

from transferlib.data.splits import Split, Splits, _shares, split_by_group
from transferlib.errors import DataError


@st.composite
def labelled_groups(draw):
    classes = draw(st.integers(1, 5))
    group_sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=40))
    labels = [draw(st.integers(0, classes - 1)) for _ in group_sizes]
    return np.repeat(labels, group_sizes), np.repeat(np.arange(len(group_sizes)), group_sizes)


@settings(deadline=None)
@given(labelled_groups(), st.data())
def test_no_group_is_in_two_sets_and_every_group_is_whole(data, draws):
    labels, groups = data
    first = draws.draw(st.integers(0, len(labels)))
    second = draws.draw(st.integers(0, len(labels) - first))
    sets = split_by_group(labels, groups, (first, second), seed=0)
    held = [set(groups[index]) for index in sets]
    assert not held[0] & held[1]
    for index, own in zip(sets, held, strict=True):
        assert len(index) == np.isin(groups, list(own)).sum()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.data())
def test_images_without_groups_are_drawn_to_the_last_one_with_the_shares_of_the_whole(counts, data):
    labels = np.repeat(np.arange(len(counts)), counts)
    first = data.draw(st.integers(0, len(labels)))
    sets = split_by_group(labels, np.arange(len(labels)), (first, len(labels) - first), seed=1)
    assert sorted(np.concatenate(sets).tolist()) == list(range(len(labels)))
    if first >= len(counts):
        exact = np.array(counts) / len(labels) * first
        got = np.bincount(labels[sets[0]], minlength=len(counts))
        assert (got >= np.minimum(1, counts)).all()
        assert (np.abs(got - exact) < len(counts) + 1).all()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.data())
def test_shares_add_up_and_never_exceed_what_there_is(counts, data):
    size = data.draw(st.integers(0, sum(counts)))
    shares = _shares(np.array(counts), size)
    assert shares.sum() == size
    assert (shares <= counts).all()
    assert (shares >= 0).all()
    if size >= len(counts):
        assert (shares >= 1).all()


def test_a_small_class_of_unequal_groups_is_in_every_set():
    labels = np.array([0] * 30 + [1] * 12)
    groups = np.array([*range(30), 30, 31, *[32] * 10])
    for seed in range(10):
        for index in split_by_group(labels, groups, (10, 10, 20), seed=seed):
            assert set(labels[index]) == {0, 1}


def test_another_seed_draws_other_images():
    labels = np.zeros(50, int)
    one, other = (split_by_group(labels, np.arange(50), (10,), seed=seed)[0].tolist() for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize("sizes", [(11,), (6, 5), (-1, 2)])
def test_more_images_than_there_are_or_less_than_none_are_errors(sizes):
    with pytest.raises(DataError, match="from 10"):
        split_by_group(np.zeros(10, int), np.arange(10), sizes, seed=0)


def test_a_group_on_two_sides_is_an_error_that_names_it():
    with pytest.raises(DataError, match="in both train and test"):
        Splits(stripes(8, 0), stripes(8, 1, 100), stripes(8, 2, 7), ("a", "b"), "leaky")


def test_a_label_outside_the_classes_is_an_error_that_names_it():
    bad = stripes(8, 0)
    bad.labels[3] = 5
    with pytest.raises(DataError, match=r"train has 1 labels outside 0…1, the first is 5"):
        Splits(bad, stripes(8, 1, 100), stripes(8, 2, 200), ("a", "b"), "bad")


def test_one_class_is_an_error():
    with pytest.raises(DataError, match="at least two classes"):
        Splits(stripes(8, 0), stripes(8, 1, 100), stripes(8, 2, 200), ("a",), "one")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(3, dtype=torch.long)),
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4)),
    ],
)
def test_images_and_labels_of_another_shape_or_type_are_errors(images, labels):
    with pytest.raises(DataError, match="must be"):
        Split(images, labels, torch.arange(4))
