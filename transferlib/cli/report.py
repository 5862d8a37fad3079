"""What `transferlib train` leaves behind for a reader."""

from __future__ import annotations

import io
import json
import math
import platform
import shlex
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from transferlib import plots
from transferlib.data.splits import Splits
from transferlib.evaluation import Scores
from transferlib.files.whole import write_whole
from transferlib.model import TransferModel
from transferlib.run import Run

README = """# {strategy} of {backbone} on {data}

Test accuracy {accuracy:.3f} on {images} images; `metrics.json` has intervals, the table by class,
every epoch, the settings and the versions.{synthetic}

Load the model:

```python
import transferlib as tl

model, facts = tl.load({path})
probabilities = tl.predict(model, images)  # images: uint8, (N, 3, {size}, {size})
```

or, from a terminal:

    transferlib predict {argument} photo.jpg

Take it elsewhere, as ONNX:

    transferlib export {argument} model.onnx
"""


def finite(value: Any) -> Any:
    """Lists, dicts and values with None for what JSON has no number for: nan and the infinities."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_report(folder: Path, model: TransferModel, splits: Splits, run: Run, scores: Scores) -> dict[str, Any]:
    """Write metrics.json, README.md and three figures into `folder`, each whole or not at all.

    Returns what is in metrics.json. Raises CheckpointError when the folder cannot be written.
    """
    recorded = {
        "run": run.to_dict(),
        "test": scores.to_dict(),
        "data": {"name": splits.name, "classes": splits.classes, "synthetic": splits.synthetic, "notes": splits.notes},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.platform()},
    }
    facts: dict[str, Any] = finite(recorded)
    text = README.format(
        strategy=run.strategy.name.capitalize(),
        backbone=run.backbone,
        data=splits.name,
        accuracy=scores.accuracy,
        images=len(scores.labels),
        synthetic="\n\nThe images are synthetic." if splits.synthetic else "",
        path=json.dumps(folder.as_posix()),
        argument=shlex.quote(folder.as_posix()),
        size=splits.test.images.shape[-1],
    )
    write_whole(folder / "metrics.json", json.dumps(facts, indent=2).encode())
    write_whole(folder / "README.md", text.encode())
    for name, figure in _figures(model, splits, run, scores).items():
        picture = io.BytesIO()
        figure.savefig(picture, dpi=120)
        write_whole(folder / f"{name}.png", picture.getvalue())
    return facts


def _figures(model: TransferModel, splits: Splits, run: Run, scores: Scores) -> dict[str, Figure]:
    figures = {name: Figure(figsize=(6.4, 4.4), layout="constrained") for name in ("curves", "confusion", "schedule")}
    axes = {name: figure.subplots() for name, figure in figures.items()}
    plots.learning_curves(run, axes["curves"]).set_title(f"{run.strategy.name}: the dot is the epoch that was kept")
    plots.confusion(scores, axes["confusion"], splits.classes).set_title(f"{len(scores.labels)} test images")
    plots.schedule(run.strategy, model, axes["schedule"]).set_title("who learns how fast")
    for name in ("curves", "confusion"):
        plots.mark_source(axes[name], splits)
    return figures
