"""The card that goes with an exported model and says what it is; its words are in card.md.jinja."""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transferlib.errors import CheckpointError
from transferlib.evaluation import metric_name
from transferlib.files.template import fill
from transferlib.model import TransferModel
from transferlib.ship.onnx import Exported, pixels_code

CARD = Path(__file__).with_name("card.md.jinja")
Metrics = dict[str, Any]


def read_metrics(run: Path) -> Metrics | None:
    """What the card says of what `transferlib train` measured, from metrics.json in `run`; None without that file.

    Raises CheckpointError for a file that says something else.
    """
    path = run / "metrics.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        trained, data, test = found["run"], found["data"], found["test"]
        scores = [(metric_name(name), test[name], low, high) for name, (low, high) in test["intervals_95"].items()]
        rows = [(row["name"], row["images"], row["recall"], row["precision"]) for row in test["per_class"]]
        return {
            "strategy": trained["strategy"]["name"],
            "seed": trained["seed"],
            "data": data["name"],
            "synthetic": data["synthetic"],
            "notes": list(data["notes"]),
            "images": test["images"],
            "scores": [(name, *map(_number, values)) for name, *values in scores],
            "per_class": [(name, images, *map(_number, shares)) for name, images, *shares in rows],
        }
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        remedy = "Train again, or remove the file: the card then names no scores"
        raise CheckpointError(f"{path}: not what `transferlib train` writes ({error!r}). {remedy}.") from error


def model_card(
    exported: Exported, model: TransferModel, *, classes: Sequence[str], image_size: int, metrics: Metrics | None = None
) -> str:
    """What a reader of the ONNX file must know, as Markdown (after Mitchell et al. 2019).

    metrics: from `read_metrics`; without it the card says that nothing was measured.
    """
    facts = {"exported": exported, "model": model, "classes": classes, "image_size": image_size, "metrics": metrics}
    return markdown(CARD, code=pixels_code(), **facts)


def markdown(template: Path, **facts: Any) -> str:
    """A Jinja template, filled in; what is filled in stays text, whatever Markdown or HTML it looks like."""
    text = fill(template, finalize=_plain, **facts)
    return text.encode("utf-8", "backslashreplace").decode()  # bytes of a file's name that are no text: \udcXX


def _plain(value: object) -> object:
    """One line that Markdown takes as text: names of folders can hold anything. What is marked as safe stays."""
    if hasattr(value, "__html__"):
        return value
    return html.escape(" ".join(str(value).split()), quote=False).replace("|", "\\|").replace("`", "\\`")


def _number(value: float | None) -> str:
    return "not defined" if value is None or value != value else f"{value:.3f}"
