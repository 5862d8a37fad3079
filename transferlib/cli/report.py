"""What `transferlib train` leaves behind for a reader."""

import io
import json
import logging
import platform
import shlex
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transferlib import plots
from transferlib.check.report import plain
from transferlib.data.own.scan import MARK
from transferlib.data.splits import Splits
from transferlib.errors import TransferError
from transferlib.evaluation import Scores, finite
from transferlib.files.waiting import waiting
from transferlib.files.whole import write_whole
from transferlib.model import TransferModel
from transferlib.run import Run
from transferlib.ship.card import markdown

log = logging.getLogger(__name__)
WRITTEN = ("README.md", "metrics.json", "curves.png", "confusion.png", "schedule.png")
README = Path(__file__).with_name("readme.md.jinja")


def to_json(value: Any) -> str:
    """JSON that every reader takes: null for what is no number."""
    return json.dumps(finite(value), indent=2)


@contextmanager
def picture(path: Path, size: tuple[float, float] = (6.4, 4.4), dpi: int = 120) -> Iterator[Axes]:
    """Axes to draw on. The picture is then written, whole or not at all, in the format that the name ends with."""
    figure, kind = Figure(size, layout="constrained"), path.suffix[1:].lower() or "png"
    if kind not in ("png", "pdf", "svg"):  # what has room for the mark
        raise TransferError(f"{path}: the name of a picture ends with .png, .pdf or .svg, not .{kind}.")
    made = {"Software" if kind == "png" else "Creator": MARK}
    yield figure.subplots()
    content = io.BytesIO()
    with warnings.catch_warnings(record=True) as said, waiting(f"drawing {path.name}"):
        warnings.simplefilter("always")
        figure.savefig(content, dpi=dpi, format=kind, metadata=made)
    others = [warning.message for warning in said if "missing from font" not in str(warning.message)]
    if len(others) < len(said):
        log.warning("%s: letters of the names that its font lacks are drawn as boxes", path.name)
    for message in others:
        warnings.warn(message, stacklevel=2)
    write_whole(path, content.getvalue())


def write_report(folder: Path, model: TransferModel, splits: Splits, run: Run, scores: Scores) -> dict[str, Any]:
    """Write metrics.json, README.md and three figures into `folder`, each whole or not at all.

    Returns what is in metrics.json. Raises CheckpointError when the folder cannot be written.
    """
    data = {name: getattr(splits, name) for name in ("name", "classes", "synthetic", "notes")}
    versions = {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.platform()}
    recorded = {"run": run.to_dict(), "test": scores.to_dict(), "data": data, "versions": versions}
    facts: dict[str, Any] = finite(recorded)
    path = folder.as_posix()
    text = markdown(README, run=run, splits=splits, scores=scores, folder=path, argument=shlex.quote(path))
    write_whole(folder / "metrics.json", to_json(facts).encode())
    write_whole(folder / "README.md", text.encode())
    # matplotlib cannot draw bytes that are no text
    shown = replace(splits, name=plain(splits.name), classes=tuple(map(plain, splits.classes)))
    with picture(folder / "curves.png") as axes:
        plots.learning_curves(run, axes).set_title(f"{run.strategy.name}: the dot is the epoch that was kept")
        plots.mark_source(axes, shown)
    with picture(folder / "confusion.png") as axes:
        plots.confusion(scores, axes, shown.classes).set_title(f"{len(scores.labels)} test {splits.test.noun}")
        plots.mark_source(axes, shown)
    with picture(folder / "schedule.png") as axes:
        plots.schedule(run.strategy, model, axes).set_title("who learns how fast")
    return facts
