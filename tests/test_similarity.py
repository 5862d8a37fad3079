import pytest
import torch
from helpers import stripes

import transferlib as tl
from transferlib.advice.similarity import similarity


def test_images_told_apart_by_everything_have_neighbours_of_their_class():
    found = similarity(stripes(24, 0), 2)
    assert found.features > 0.9
    assert found.pixels > 0.9
    assert (found.images, found.classes) == (24, 2)
    assert found.shift > 0


def test_random_labels_have_neighbours_at_chance():
    split = stripes(200, 0)
    labels = torch.randint(2, (200,), generator=torch.Generator().manual_seed(0))
    found = similarity(tl.Split(split.images, labels, split.groups), 2)
    assert abs(found.features) < 0.25


def test_a_neighbour_of_the_same_group_does_not_count():
    split = stripes(16, 0)
    labels = torch.arange(16) // 2 % 2  # unrelated to the stripes
    twice = tl.Split(split.images.repeat(2, 1, 1, 1), labels.repeat(2), split.groups.repeat(2))
    assert similarity(twice, 2).features < 0.7
    assert similarity(tl.Split(twice.images, twice.labels, torch.arange(32)), 2).features == 1


def test_measuring_leaves_the_model_as_it_was():
    model = tl.TransferModel("efficientnet_lite0", 2).freeze_to(3).train()
    modes = [module.training for module in model.modules()]
    similarity(stripes(8, 0), 2, model)
    assert model.frozen_below == 3
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_too_few_images_are_an_error():
    with pytest.raises(tl.DataError, match="3 images"):
        similarity(stripes(3, 0), 2)
