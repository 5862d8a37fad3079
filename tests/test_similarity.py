import math

import numpy as np
import pytest
import torch
from helpers import stripes

import transferlib as tl
from transferlib.advice.similarity import log_evidence, similarity


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


def test_log_evidence_is_higher_for_features_that_tell_the_classes_apart():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=90)
    noise = rng.normal(size=(90, 20))
    telling = noise + 3 * np.eye(3, 20)[labels]
    assert log_evidence(telling, labels) > log_evidence(noise, labels) + 0.1


def test_log_evidence_is_the_evidence_of_bayesian_regression():
    rng = np.random.default_rng(1)
    table, labels = rng.normal(size=(40, 5)), rng.integers(2, size=40)
    best = []
    for label in (0, 1):
        target, found = (labels == label).astype(float), -math.inf
        for alpha in np.geomspace(1e-1, 1e3, 60):
            for beta in np.geomspace(1, 30, 60):
                covariance = np.eye(40) / beta + table @ table.T / alpha
                size = np.linalg.slogdet(covariance).logabsdet
                value = -(target @ np.linalg.solve(covariance, target) + size + 40 * math.log(2 * math.pi)) / 2
                found = max(found, value / 40)
        best.append(found)
    assert log_evidence(table, labels) == pytest.approx(np.mean(best), abs=2e-3)
