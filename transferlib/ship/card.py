"""The card that goes with an exported model and says what it is."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transferlib.errors import CheckpointError
from transferlib.evaluation import metric_name
from transferlib.model import TransferModel
from transferlib.ship.onnx import Exported


def read_metrics(run: Path) -> dict[str, Any] | None:
    """What `transferlib train` measured, from metrics.json in `run`; None if there is no such file.

    Raises CheckpointError for a file that says something else.
    """
    path = run / "metrics.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _scores(found)
        _origin(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not what `transferlib train` writes ({error!r}). Train again, or remove the file: the card then "
            "names no scores."
        ) from error
    return found


def model_card(
    exported: Exported,
    model: TransferModel,
    *,
    classes: Sequence[str],
    image_size: int,
    metrics: dict[str, Any] | None = None,
) -> str:
    """What a reader of the ONNX file must know, as Markdown (after Mitchell et al. 2019).

    metrics: from `read_metrics`; without it the card says that nothing was measured.
    """
    trained, data = _origin(metrics)
    listed = "\n".join(f"{index}. {_plain(name)}" for index, name in enumerate(classes))
    expects = model.image_preprocess
    mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (expects.mean, expects.std))
    return f"""# Model card: {exported.path.name}

## What it is

An image classifier: {model.backbone} (weights to begin with: {model.weights}){trained}, exported to ONNX
({exported.bytes / 1e6:.1f} MB). On random images its probabilities differ from PyTorch's by at most
{exported.difference:.1g}.

* Input `images`: uint8, (N, 3, {image_size}, {image_size}), RGB, any N. The graph itself divides by 255, subtracts the
  mean ({mean}) and divides by the std ({std}).
* Output `probabilities`: float32, (N, {len(classes)}), in the order of the classes.

## Data

{data}

## Classes

{listed}

## Measured scores

{_scores(metrics)}

## Intended use

To name which of the {len(classes)} classes above an image shows, for images taken like those it was trained on. It is
made for learning and for prototypes; a person should check what follows from its answers.

## Limits

* It always answers with one of its classes, also for an image that shows none of them.
* Its probabilities are not calibrated; on images of another kind, camera or place they can be high and wrong.
* The scores are those of one test set; with few images their intervals are wide.
* It is no medical device and must not be used to make decisions about people.

## How to run it

```python
{_example(exported.path.name, image_size)}```
"""


def _example(name: str, size: int) -> str:
    return textwrap.dedent(f"""\
        import json, numpy, onnxruntime
        from PIL import Image, ImageOps

        session = onnxruntime.InferenceSession({json.dumps(name)}, providers=["CPUExecutionProvider"])
        photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
        pixels = numpy.asarray(ImageOps.fit(photo, ({size}, {size}), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
        probabilities = session.run(None, {{"images": pixels[None]}})[0][0]
        print(json.loads(session.get_modelmeta().custom_metadata_map["classes"])[probabilities.argmax()], probabilities)
        """)


def _origin(metrics: dict[str, Any] | None) -> tuple[str, str]:
    """How it was trained, and on what."""
    if metrics is None:
        return "", "Not recorded."
    run, data = metrics["run"], metrics["data"]
    lines = [_plain(data["name"]) + " (synthetic images)" * bool(data["synthetic"]), ""]
    lines += [f"* {_plain(note)}" for note in data["notes"]]
    return f", trained by {run['strategy']['name']} (seed {run['seed']})", "\n".join(lines).strip()


def _scores(metrics: dict[str, Any] | None) -> str:
    if metrics is None:
        return "None: there is no metrics.json beside the model, so nothing is known about how good it is."
    test = metrics["test"]
    rows = ["| | | 95 % interval |", "|---|---|---|"]
    for name, (low, high) in test["intervals_95"].items():
        rows.append(f"| {metric_name(name)} | {_number(test[name])} | {_number(low)} to {_number(high)} |")
    rows += ["", f"On {test['images']} test images, by class:", "", "| class | images | recall | precision |"]
    rows.append("|---|---|---|---|")
    for row in test["per_class"]:
        rows.append(f"| {_plain(row['name'])} | {row['images']} | {row['recall']:.3f} | {row['precision']:.3f} |")
    return "\n".join(rows)


def _number(value: float | None) -> str:
    return "not defined" if value is None or value != value else f"{value:.3f}"


def _plain(text: str) -> str:
    """One line that Markdown takes as text: names of folders can hold anything."""
    return html.escape(" ".join(str(text).split()), quote=False).replace("|", "\\|").replace("`", "\\`")
