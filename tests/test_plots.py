import math
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from helpers import small_model, stripe_splits
from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

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
    assert (line.get_color(), other.get_color()) == (plots.COLOURS["fine-tuning"], plots.COLOURS["from scratch"])


def drawn(ax):
    """The pixels of the only picture of an axes."""
    (picture,) = ax.images
    return np.ma.getdata(picture.get_array())


def test_a_learning_curve_is_the_validation_accuracy_in_the_colour_of_its_strategy(trained, ax):
    run = trained[2]
    plots.learning_curves(run, ax)
    curve, kept, _ = ax.lines
    assert list(curve.get_xdata()) == [1, 2, 3, 4]
    assert list(curve.get_ydata()) == [epoch.val_accuracy for epoch in run.history]
    assert list(kept.get_ydata()) == [run.best.val_accuracy]
    assert {line.get_color() for line in ax.lines} == {plots.COLOURS["progressive unfreezing"]}
    assert (curve.get_label(), ax.get_ylim()) == ("progressive unfreezing", (0, 1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "validation accuracy")
    assert plots.learning_curves(run, Figure().subplots(), label="ours").lines[0].get_label() == "ours"


def test_the_darkness_of_a_confusion_matrix_is_the_share_of_the_row_and_its_numbers_stay_legible(ax):
    scores = tl.score([0, 0, 0, 0, 1], np.eye(3)[[0, 0, 0, 1, 1]], ("a", "b", "never seen"))
    plots.confusion(scores, ax)
    by_hand = confusion_matrix([0, 0, 0, 0, 1], [0, 0, 0, 1, 1], labels=range(3), normalize="true")
    assert drawn(ax) == pytest.approx(by_hand)
    assert ax.images[0].get_clim() == (0, 1)
    even = plots.confusion(tl.score([0, 0, 1, 1], np.eye(2)[[0, 1, 0, 1]]), Figure().subplots())
    assert even.images[0].get_clim() == (0, 1)
    assert [(t.get_position(), t.get_color()) for t in ax.texts] == [
        ((0, 0), "white"),
        ((1, 0), "black"),
        ((1, 1), "white"),
    ]
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["a", "b", "never seen"]
        assert not any(label.get_parse_math() for label in labels)
    assert {(text.get_ha(), text.get_va()) for text in ax.texts} == {("center", "center")}
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.images[0].get_cmap().name) == ("called", "is", "Blues")


def test_a_sheet_has_eight_columns_white_gaps_of_two_pixels_and_no_axes(ax):
    images = torch.zeros(9, 3, 4, 5, dtype=torch.uint8)
    sheet = drawn(plots.image_sheet(images, ax))
    assert sheet.shape == (2 * 4 + 2, 8 * 5 + 7 * 2, 3)
    assert (sheet[:4, 5:7] == 255).all() and (sheet[4:6] == 255).all() and (sheet[6:, 5:] == 255).all()
    assert not ax.axison
    few = drawn(plots.image_sheet(images[:3], Figure().subplots()))
    assert few.shape == (4, 3 * 5 + 2 * 2, 3)


def test_filters_are_shown_between_black_and_white_around_grey(ax):
    model = small_model()
    weights = model.stages[0][0].weight.detach()
    sheet = drawn(plots.filters(model, ax))
    assert sheet.shape == (2 * 3 + 1, 8 * 3 + 7, 3)
    second = sheet[:3, 4:7]
    assert second == pytest.approx((0.5 + weights[1] / weights[1].abs().max() / 2).permute(1, 2, 0).numpy(), abs=1e-6)
    assert (sheet[:, 3] == 1).all()
    assert not ax.axison


def test_the_box_of_a_stage_says_by_colour_and_hatch_whether_it_learns(ax):
    plots.stages(small_model().freeze_to("stage1"), ax)
    boxes = [(to_hex(box.get_facecolor()), box.get_hatch(), box.get_height()) for box in ax.patches]
    frozen, learns = (plots.FROZEN.lower(), "//", 1), (plots.LEARNING.lower(), None, 1)
    assert boxes == [frozen] * 2 + [learns] * 4
    assert [text.get_position() for text in ax.texts] == [(x, 0.5) for x in range(6)]
    assert all(0.8 < box.get_width() < 1 for box in ax.patches)
    assert {(text.get_ha(), text.get_va()) for text in ax.texts} == {("center", "center")}
    assert (ax.get_xlim(), ax.get_ylim(), ax.axison) == ((-0.5, 5.5), (0, 1), False)


@pytest.mark.parametrize(("count", "said"), [(999, "999"), (1000, "1 k"), (34_567, "35 k"), (1_250_000, "1.2 M")])
def test_parameters_are_counted_as_people_say_it(count, said):
    assert plots._short(count) == said


def test_the_schedule_shows_each_rate_at_the_beginning_of_each_epoch(ax):
    strategy = tl.progressive_unfreezing(4, lr=0.01, steps=2, body=0.1, decay=0.5, warmup=0.0)
    plots.schedule(strategy, small_model(), ax)
    rates = np.outer([0.001 * 0.5**below for below in (4, 3, 2, 1, 0)] + [0.01], [1] * 4)
    rates[:5, :2] = 0  # the first phase is the head alone
    cosine = [(1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert drawn(ax) == pytest.approx(rates * cosine)
    picture = ax.images[0]
    assert (type(picture.norm), picture.get_cmap().name) == (LogNorm, "YlOrBr")
    assert (picture.norm.vmin, picture.norm.vmax) == pytest.approx((rates[0, 2] * cosine[3], 0.01))
    assert list(picture.get_extent()) == [0.5, 4.5, 5.5, -0.5]
    assert [label.get_text() for label in ax.get_yticklabels()] == [*small_model().stage_names, "head"]
    assert (to_hex(ax.get_facecolor()), ax.patch.get_hatch()) == (plots.FROZEN.lower(), "//")
    assert ax.figure.axes[1].get_ylabel() == "learning rate"


def test_a_comparison_has_a_bar_for_the_mean_and_a_dot_a_seed_the_first_on_top(ax):
    plots.comparison({"fine-tuning": [0.5, 0.7], "my own": [0.2, 0.3]}, ax)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.6, 0.25])
    assert [list(dots.get_xdata()) for dots in ax.lines] == [[0.5, 0.7], [0.2, 0.3]]
    assert [list(dots.get_ydata()) for dots in ax.lines] == [[0, 0], [1, 1]]
    assert [dots.get_color() for dots in ax.lines] == [plots.COLOURS["fine-tuning"], "#222222"]
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [plots.COLOURS["fine-tuning"].lower(), "#222222"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert (ax.get_xlim(), ax.get_xlabel()) == ((0, 1), "test accuracy, one dot a seed")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fine-tuning", "my own"]


def test_the_first_difference_is_on_top_and_named(ax):
    plots.differences({"one": tl.compare([0.3, 0.1]), "two": tl.compare([0.0, 0.1])}, ax)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
    assert [set(line.get_ydata()) for line in ax.lines[:4]] == [{0}, {0}, {1}, {1}]


def test_a_figure_of_real_data_names_them_and_is_not_called_synthetic(trained, ax):
    assert texts(plots.mark_source(ax, replace(trained[1], synthetic=False))) == "data: stripes"
