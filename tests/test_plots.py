import matplotlib
import pytest
import torch
from helpers import small_model, stripe_splits
from matplotlib.figure import Figure

import transferlib as tl
from transferlib import plots
from transferlib.errors import TransferError

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def trained():
    model, splits = small_model(), stripe_splits()
    run = tl.fit(model, splits, tl.progressive_unfreezing(4, steps=2))
    return model, splits, run, tl.evaluate(model, splits.test, splits.classes)


@pytest.fixture
def ax():
    return Figure().subplots()


def texts(ax):
    return " ".join(text.get_text() for text in ax.texts)


def test_every_function_draws_and_returns_its_axes(trained, ax):
    model, splits, run, scores = trained
    for draw in (
        lambda: plots.learning_curves(run, ax),
        lambda: plots.confusion(scores, ax),
        lambda: plots.image_sheet(splits.train.images, ax),
        lambda: plots.filters(model, ax),
        lambda: plots.stages(model, ax),
        lambda: plots.schedule(run.strategy, model, ax),
        lambda: plots.comparison({"fine-tuning": [0.5, 0.6]}, ax),
        lambda: plots.mark_source(ax, splits),
    ):
        assert draw() is ax
    ax.figure.canvas.draw()


def test_synthetic_data_is_called_synthetic(trained, ax):
    assert "synthetic" in texts(plots.mark_source(ax, trained[1]))


def test_the_phase_boundary_and_the_kept_epoch_are_drawn(trained, ax):
    run = trained[2]
    plots.learning_curves(run, ax)
    assert ax.lines[1].get_xdata()[0] == run.best_epoch
    assert list(ax.lines[2].get_xdata()) == [2.5, 2.5]


def test_the_confusion_matrix_shows_counts_with_the_truth_in_rows(trained, ax):
    scores = trained[3]
    plots.confusion(scores, ax)
    shown = {text.get_position()[::-1]: int(text.get_text()) for text in ax.texts}
    assert sum(shown.values()) == 20
    assert all(scores.confusion[place] == count for place, count in shown.items())


def test_frozen_stages_are_called_frozen(ax):
    plots.stages(small_model().freeze_to("stage1"), ax)
    assert texts(ax).count("frozen") == 2
    assert texts(ax).count("learns") == 4


def test_frozen_rates_are_masked_in_the_schedule(ax):
    plots.schedule(tl.feature_extraction(3, warmup=0.0), small_model(), ax)
    shown = ax.images[0].get_array()
    assert shown.mask[:5].all()
    assert not shown.mask[5].any()


def test_a_sheet_keeps_every_pixel(ax):
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    sheet = plots.image_sheet(images, ax, columns=3, gap=1).images[0].get_array()
    assert sheet.shape == (9, 14, 3)
    assert (sheet[5:9, 5:9] == images[4].permute(1, 2, 0).numpy()).all()


def test_a_network_without_a_first_convolution_is_an_error(ax):
    model = small_model()
    model.stages[0] = torch.nn.Identity()
    with pytest.raises(TransferError, match="convolution"):
        plots.filters(model, ax)


def test_class_names_are_not_taken_for_formulas(trained, ax):
    plots.confusion(trained[3], ax, ["$x^{$", "b"])
    ax.figure.canvas.draw()
    assert ax.get_xticklabels()[0].get_text() == "$x^{$"


def test_differences_show_every_pair_the_interval_and_the_verdict_by_colour(ax):
    rows = {"clear": tl.compare([0.3, 0.31, 0.29]), "not": tl.compare([0.3, -0.2, 0.1])}
    plots.differences(rows, ax)
    (line, dots), (other, _), zero = ax.lines[0:2], ax.lines[2:4], ax.lines[4]
    assert tuple(line.get_xdata()) == rows["clear"].interval
    assert list(dots.get_xdata()) == [0.3, 0.31, 0.29]
    assert list(zero.get_xdata()) == [0, 0]
    assert line.get_color() != other.get_color()
