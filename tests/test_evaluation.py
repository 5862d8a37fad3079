import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import small_model, stripe_splits, stripes
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

import transferlib as tl
from transferlib import evaluation
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


def resampled(scores: tl.Scores, figure) -> tuple[float, float]:
    """The interval of a figure as it is defined: 200 samples of whole groups with replacement, from seed 0."""
    names, which = np.unique(scores.groups, return_inverse=True)
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        drawn = rng.integers(len(names), size=len(names))
        rows = np.concatenate([np.flatnonzero(which == group) for group in drawn])
        found.append(figure(scores.labels[rows], scores.probabilities[rows]))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return low, high


def area(labels, probabilities):
    present = np.unique(labels)
    if len(present) < 2:
        return np.nan
    if probabilities.shape[1] == 2:
        return roc_auc_score(labels, probabilities[:, 1])
    return np.mean([roc_auc_score(labels == label, probabilities[:, label]) for label in present])


FIGURES = {
    "accuracy": lambda labels, p: accuracy_score(labels, p.argmax(1)),
    "balanced_accuracy": lambda labels, p: np.mean(
        [(p.argmax(1)[labels == label] == label).mean() for label in np.unique(labels)]
    ),
    "auroc": area,
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(
    ("n", "classes", "groups", "decimals"),
    [(60, 2, 20, 2), (150, 5, 150, 8), (40, 12, 40, 1), (900, 2, 300, 8), (5, 3, 5, 2)],
)
def test_figures_and_intervals_are_scikit_learns_on_the_same_draws(name, n, classes, groups, decimals, monkeypatch):
    rng = np.random.default_rng(n)
    labels = rng.integers(classes, size=n)
    probabilities = rng.dirichlet(np.ones(classes), n) + np.eye(classes)[labels] * rng.random((n, 1)) / 2
    probabilities = np.round(probabilities / probabilities.sum(1, keepdims=True), decimals)  # rounded: with ties
    of_groups, wanted = rng.integers(groups, size=n), None
    for few in (evaluation.FEW, 0):  # both ways to find who is below whom
        monkeypatch.setattr(evaluation, "FEW", few)
        scores = tl.score(labels, probabilities, groups=of_groups)
        wanted = wanted or resampled(scores, FIGURES[name])  # slow, and the same for both
        assert scores.figures[name] == pytest.approx(FIGURES[name](labels, probabilities), abs=1e-12, nan_ok=True)
        assert scores.intervals[name] == pytest.approx(wanted, abs=1e-12, nan_ok=True)


def test_a_metric_in_the_table_is_everywhere(monkeypatch):
    monkeypatch.setitem(evaluation.METRICS, "first_class", lambda labels, p, w: w @ (p.argmax(1) == 0) / w.sum(1))
    scores = tl.score(np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]))
    assert scores.figures["first_class"] == 0.75
    assert set(scores.intervals) == {*FIGURES, "first_class"}
    assert scores.to_dict()["first_class"] == 0.75 and "first class 0.750" in repr(scores)


@pytest.mark.parametrize(
    ("labels", "rows", "classes", "said"),
    [
        ([], 0, None, "one label or more"),
        ([0, 1], 3, None, r"shape \(3, 2\) for 2 labels"),
        ([0, 2], 2, None, "reach from 0 to 2, but there are 2 outputs"),
        ([-1, 0], 2, None, "reach from -1 to 0"),
        ([0, 1], 2, ("a", "b", "c"), "3 class names for 2 probabilities"),
    ],
)
def test_labels_and_probabilities_that_do_not_fit_are_one_error(labels, rows, classes, said):
    with pytest.raises(DataError, match=said):
        tl.score(labels, [[0.5, 0.5]] * rows, classes)


def test_lists_are_scored_as_arrays_are():
    given = ([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    assert tl.score(*given).figures == tl.score(*map(np.array, given)).figures


def test_what_is_not_defined_is_null_in_json_and_warns_nobody(recwarn):
    told = tl.score(np.zeros(4, int), np.full((4, 2), 0.5)).to_dict()
    assert told["auroc"] is None and told["intervals_95"]["auroc"] == [None, None]
    assert json.loads(json.dumps(told, allow_nan=False)) is not None
    assert not recwarn.list


def test_the_intervals_of_a_model_are_those_of_its_groups():
    split = stripes(40, 5)
    grouped = replace(split, groups=torch.arange(40) // 8)
    model = small_model()
    found = tl.evaluate(model, grouped).intervals
    probabilities = tl.predict(model, split.images).numpy()
    assert found == tl.score(split.labels.numpy(), probabilities, groups=grouped.groups.numpy()).intervals
    assert found != tl.evaluate(model, split).intervals
