"""A trained model as an ONNX file that needs neither PyTorch nor this package, and a card that says what it is."""

from __future__ import annotations

import copy
import html
import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from transferlib.errors import CheckpointError, TransferError
from transferlib.model import TransferModel
from transferlib.storage import write_whole

TOLERANCE = 1e-4
"""The largest difference from PyTorch, in any probability, with which a file is written."""


@dataclass(frozen=True)
class Exported:
    """An ONNX file: where it is, its size in bytes, the largest difference of a probability from PyTorch's."""

    path: Path
    bytes: int
    difference: float


def export_onnx(model: TransferModel, path: str | Path, *, classes: Sequence[str], image_size: int) -> Exported:
    """Write `model` as ONNX, once onnxruntime has computed what PyTorch computes.

    The graph takes `images`, uint8, (N, 3, image_size, image_size) with any N, and gives
    `probabilities`, float32, (N, classes): scaling, mean and std are inside it. Its
    metadata_props hold, as JSON, `classes` and `preprocessing`. Of the exporters of PyTorch it
    is the newer one (torch.export, then onnxscript).

    Raises TransferError when a package is missing (pip install 'transferlib[export]'), when the
    network cannot be translated, or when a probability of random images differs by more than
    `TOLERANCE`; CheckpointError when the file cannot be written. Nothing is left behind then.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise TransferError(f"{path}: the name of an ONNX file ends with .onnx. Choose {path.with_suffix('.onnx')}.")
    if len(classes) != model.head.out_features:
        raise TransferError(f"{len(classes)} class names for {model.head.out_features} outputs: they must match.")
    onnx, onnxruntime = _packages()
    served = _Probabilities(copy.deepcopy(model).cpu()).eval()
    content = _graph(onnx, served, model, classes, image_size)
    difference = _difference(onnxruntime, content, served, image_size)
    if not difference <= TOLERANCE:  # so that a NaN is refused too
        raise TransferError(
            f"{path}: onnxruntime's probabilities differ from PyTorch's by {difference:.2g}, more than {TOLERANCE:g}. "
            f"Nothing was written; use {model.backbone} in PyTorch, or another backbone."
        )
    write_whole(path, content)
    return Exported(path, len(content), difference)


class _Probabilities(nn.Module):
    def __init__(self, model: TransferModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        probabilities: Tensor = self.model(images).softmax(1)
        return probabilities


def _packages() -> tuple[ModuleType, ModuleType]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError as error:
        raise TransferError(
            f"the export needs {error.name}, which is not installed. Run: pip install 'transferlib[export]'"
        ) from error
    return onnx, onnxruntime


def _random_images(n: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


def _graph(onnx: Any, served: _Probabilities, model: TransferModel, classes: Sequence[str], image_size: int) -> bytes:
    facts = {
        "classes": list(classes),
        "preprocessing": {
            **asdict(model.image_preprocess),
            "image_size": image_size,
            "before": "upright, RGB, central square, bicubic with antialiasing to image_size; uint8, channels first",
            "inside": "images / 255, minus mean, divided by std",
        },
        "output": "probabilities",
        "backbone": model.backbone,
        "weights": model.weights,
    }
    try:
        # Two images: the exporter takes a side of 1 for a constant.
        program: Any = torch.onnx.export(
            served,
            (_random_images(2, image_size),),
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
        proto = program.model_proto
        onnx.helper.set_model_props(
            proto, {name: fact if isinstance(fact, str) else json.dumps(fact) for name, fact in facts.items()}
        )
        content: bytes = proto.SerializeToString()
    except Exception as error:  # of several libraries; above 2 GB it is protobuf's
        raise TransferError(
            f"{model.backbone} cannot be translated to ONNX ({_first_line(error)}). Use another backbone."
        ) from error
    if isinstance(program.model.graph.inputs[0].shape[0], int):
        raise TransferError(
            f"{model.backbone} cannot be translated to ONNX: its graph takes a single size of batch. "
            "Use another backbone."
        )
    return content


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _difference(onnxruntime: Any, content: bytes, served: _Probabilities, image_size: int) -> float:
    """The largest one, over batches of 1 and of 3 random images."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    largest = []
    for n in (1, 3):
        images = _random_images(n, image_size)
        (got,) = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            largest.append((torch.from_numpy(got) - served(images)).abs().max())
    return float(torch.stack(largest).max())


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
    for name in ("accuracy", "balanced_accuracy", "auroc"):
        low, high = test["intervals_95"][name]
        value, limits = _number(test[name]), f"{_number(low)} to {_number(high)}"
        rows.append(f"| {name.replace('_', ' ').replace('auroc', 'AUROC')} | {value} | {limits} |")
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
