"""Pictures of models, data and runs. Each function draws on an Axes and returns it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from torch import Tensor, nn

from transferlib.data.splits import Splits
from transferlib.errors import TransferError
from transferlib.evaluation import Scores
from transferlib.evidence.comparison import Comparison
from transferlib.model import TransferModel
from transferlib.run import Run
from transferlib.strategies import Strategy
from transferlib.training import schedule_factor

COLOURS = {
    "from scratch": "#767676",
    "feature extraction": "#0072B2",
    "fine-tuning": "#D55E00",
    "progressive unfreezing": "#009E73",
    "LP-FT": "#AA4499",
}
"""One colour a strategy, everywhere; told apart by colour-blind readers too (after Okabe & Ito)."""

FROZEN = "#CFE3F1"
LEARNING = "#F2B279"
NAMED = 50  # classes up to which a picture has room for their names


def colour(strategy: Strategy | str) -> str:
    """The colour of a strategy; black for one of your own."""
    return COLOURS.get(strategy if isinstance(strategy, str) else strategy.name, "#222222")


def mark_source(ax: Axes, splits: Splits) -> Axes:
    """Say under the axes which data the figure was made from, and whether it is synthetic."""
    text = f"data: {splits.name}" + (" (synthetic, drawn by the program)" if splits.synthetic else "")
    style: dict[str, Any] = {"ha": "right", "va": "top", "fontsize": 8, "color": "#666666", "parse_math": False}
    ax.annotate(text, (1, 0), (0, -34), "axes fraction", "offset points", **style)
    return ax


def learning_curves(run: Run, ax: Axes, *, label: str | None = None) -> Axes:
    """Validation accuracy by epoch; a dot on the epoch that was kept, a line where a phase begins."""
    epochs = [epoch.epoch for epoch in run.history]
    line = colour(run.strategy)
    ax.plot(epochs, [epoch.val_accuracy for epoch in run.history], color=line, label=label or run.strategy.name)
    ax.plot(run.best_epoch, run.best.val_accuracy, "o", color=line)
    for before, after in zip(run.history, run.history[1:], strict=False):
        if before.phase != after.phase:
            ax.axvline(before.epoch + 0.5, color=line, linestyle=":", linewidth=1)
    ax.set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1))
    return ax


def confusion(scores: Scores, ax: Axes, classes: Sequence[str] | None = None) -> Axes:
    """Rows: what it is. Columns: what the model says. Each row adds up to the class's images.

    Of more than fifty classes only the colours are drawn: nobody could read the names and the counts.
    """
    names = list(classes or [row.name for row in scores.per_class])
    counts = scores.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ax.set(xlabel="called", ylabel="is")
    if len(names) > NAMED:
        return ax
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    ax.set_yticks(range(len(names)), names, parse_math=False)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            dark = shares[row, column] > 0.5
            ax.text(column, row, str(count), ha="center", va="center", fontsize=8, color="white" if dark else "black")
    return ax


def image_sheet(images: Tensor, ax: Axes, *, columns: int = 8, gap: int = 2) -> Axes:
    """Draw images, uint8 (N, 3, H, W), as one sheet, row by row."""
    ax.imshow(_grid(images.permute(0, 2, 3, 1).numpy(), columns, gap, fill=255))
    ax.set_axis_off()
    return ax


def filters(model: TransferModel, ax: Axes, *, columns: int = 8) -> Axes:
    """Draw what the first convolution looks for: one small picture a filter, scaled to its own range."""
    first = next((m for m in model.stages.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.in_channels != 3:
        raise TransferError(f"{model.backbone} does not begin with a convolution over red, green and blue.")
    weight = first.weight.detach().cpu().permute(0, 2, 3, 1).numpy()
    reach = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    ax.imshow(_grid(weight / (2 * reach) + 0.5, columns, gap=1, fill=1.0), interpolation="nearest")
    ax.set_axis_off()
    return ax


def stages(model: TransferModel, ax: Axes) -> Axes:
    """One box a stage, shallow to deep, and the head: frozen or learning, with its number of parameters."""
    for x, (name, parameters, learns) in enumerate(model.parameter_table()):
        colour, hatch = (LEARNING, None) if learns else (FROZEN, "//")
        ax.bar(x, 1, width=0.86, color=colour, hatch=hatch, edgecolor="white")
        text = f"{name}\n{_short(parameters)}\n{'learns' if learns else 'frozen'}"
        ax.text(x, 0.5, text, ha="center", va="center", fontsize=9, color="black")
    ax.set(ylim=(0, 1), xlim=(-0.5, x + 0.5))
    ax.set_axis_off()
    return ax


def schedule(strategy: Strategy, model: TransferModel, ax: Axes) -> Axes:
    """Who learns how fast, epoch by epoch: one row a stage, darker is faster, hatched is frozen."""
    count = len(model.stages)
    phases = [phase for phase in strategy.phases for _ in range(phase.epochs)]
    factors = [schedule_factor(strategy, epoch, strategy.epochs) for epoch in range(strategy.epochs)]
    columns = [np.array(phase.rates(count)) * factor for phase, factor in zip(phases, factors, strict=True)]
    rates = np.array(columns).T
    shown = np.ma.masked_equal(rates, 0)
    ax.set_facecolor(FROZEN)
    ax.patch.set(hatch="//", edgecolor="white")
    edges, norm = (0.5, rates.shape[1] + 0.5, count + 0.5, -0.5), LogNorm(shown.min(), shown.max())
    picture = ax.imshow(shown, aspect="auto", cmap="YlOrBr", norm=norm, extent=edges)
    ax.set_yticks(range(count + 1), [*model.stage_names, "head"])
    ax.set(xlabel="epoch")
    ax.figure.colorbar(picture, ax=ax, label="learning rate")
    return ax


def comparison(results: dict[str, Sequence[float]], ax: Axes) -> Axes:
    """One row a strategy: each seed a dot, their mean a bar."""
    for row, (name, values) in enumerate(results.items()):
        ax.barh(row, np.mean(values), color=colour(name), alpha=0.35, height=0.6)
        ax.plot(values, [row] * len(values), "o", color=colour(name), markersize=5)
    ax.set_yticks(range(len(results)), list(results))
    ax.invert_yaxis()
    ax.set(xlabel="test accuracy, one dot a seed", xlim=(0, 1))
    return ax


def differences(rows: dict[str, Comparison], ax: Axes) -> Axes:
    """One row a comparison: each pair of runs a dot, the interval a line; orange where it leaves out zero."""
    for row, found in enumerate(rows.values()):
        line = COLOURS["fine-tuning"] if found.clear else COLOURS["from scratch"]
        ax.plot(found.interval, [row, row], color=line, linewidth=3, solid_capstyle="round")
        ax.plot(found.differences, [row] * found.n, "o", color=line, markersize=5, alpha=0.6)
    ax.axvline(0, color="#222222", linewidth=1)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.invert_yaxis()
    ax.set(xlabel="difference: a dot a pair of runs, a line for the 95 % interval")
    return ax


def _grid(pictures: np.ndarray, columns: int, gap: int, fill: float) -> np.ndarray:
    """Lay (N, H, W, C) out in rows with a gap between."""
    n, height, width, channels = pictures.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), fill, pictures.dtype)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def _short(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.0f} k" if count >= 1e3 else str(count)
