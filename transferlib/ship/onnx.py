"""A trained model as an ONNX file that needs neither PyTorch nor this package, and a card that says what it is."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from transferlib.errors import TransferError
from transferlib.files.whole import write_whole
from transferlib.model import TransferModel

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
    if len(classes) != model.num_classes:
        raise TransferError(f"{len(classes)} class names for {model.num_classes} outputs: they must match.")
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
