import numpy as np
import pytest
import torch
from helpers import small_model, stripe_splits, stripes
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

import transferlib as tl
from transferlib.errors import DataError
from transferlib.evaluation import score


def random_probabilities(n: int, k: int, seed: int):
    rng = np.random.default_rng(seed)
    return np.concatenate([np.arange(k), rng.integers(0, k, n - k)]), rng.dirichlet(np.ones(k), n)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(10, 60), k=st.integers(2, 5), seed=st.integers(0, 9))
def test_figures_are_scikit_learns_over_the_whole_split(n, k, seed):
    labels, probabilities = random_probabilities(n, k, seed)
    scores = score(labels, probabilities)
    calls = probabilities.argmax(1)
    assert scores.accuracy == accuracy_score(labels, calls)
    assert scores.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, calls))
    binary = probabilities[:, 1] if k == 2 else probabilities
    assert scores.auroc == pytest.approx(roc_auc_score(labels, binary, multi_class="ovr", average="macro"))
    assert scores.confusion.sum() == n
    assert sum(row.images for row in scores.per_class) == n


def test_the_size_of_a_batch_does_not_change_a_figure():
    model, split = small_model(), stripes(37, 0)
    one, other = tl.predict(model, split.images, batch_size=5), tl.predict(model, split.images, batch_size=37)
    assert torch.allclose(one, other, atol=1e-6)


def test_evaluation_uses_evaluation_mode_and_gives_the_mode_back():
    model = small_model().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tl.evaluate(model, stripe_splits().test)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_intervals_hold_the_figure_and_widen_when_images_are_copies():
    labels, probabilities = random_probabilities(60, 3, 0)
    single = score(labels, probabilities)
    low, high = single.intervals["accuracy"]
    assert low <= single.accuracy <= high
    copies = score(np.repeat(labels, 8), np.repeat(probabilities, 8, axis=0), groups=np.repeat(np.arange(60), 8))
    naive = score(np.repeat(labels, 8), np.repeat(probabilities, 8, axis=0))
    width = {name: s.intervals["accuracy"][1] - s.intervals["accuracy"][0] for name, s in (("g", copies), ("n", naive))}
    assert width["g"] > 2 * width["n"]


def test_a_class_without_images_is_left_out_of_the_means():
    scores = score(np.array([0, 0, 1]), np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1]]))
    assert scores.balanced_accuracy == 0.75
    assert scores.auroc == 0.75


def test_an_empty_split_and_a_foreign_label_are_errors():
    split = stripes(4, 0)
    with pytest.raises(DataError, match="empty"):
        tl.evaluate(small_model(), split[:0])
    with pytest.raises(DataError, match="2 outputs"):
        tl.evaluate(small_model(), tl.Split(split.images, split.labels + 1, split.groups))


def test_scores_go_into_json():
    import json

    assert json.loads(json.dumps(tl.evaluate(small_model(), stripe_splits().test).to_dict()))["images"] == 20
