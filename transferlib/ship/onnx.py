"""A trained model as an ONNX file that needs neither PyTorch nor this package, and a card that says what it is."""

import copy
import inspect
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transferlib.data.own.pixels import square, to_pixels, to_rgb, used_bits
from transferlib.errors import TransferError
from transferlib.files.waiting import waiting
from transferlib.files.whole import write_whole
from transferlib.model import TransferModel
from transferlib.networks.backbone import installed

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
    metadata_props hold, as JSON, `classes` and `preprocessing`, and as Python `to_pixels`, which makes its input of a
    picture. Of the exporters of PyTorch it
    is the newer one (torch.export, then onnxscript).

    Raises TransferError when a package is missing (pip install 'transferlib[export]'), when the
    network cannot be translated, or when a probability of random images differs by more than
    `TOLERANCE`; CheckpointError when the file cannot be written. Nothing is left behind then.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        better = path.parent / (path.stem or "model")
        raise TransferError(f"{path}: the name of an ONNX file ends with .onnx. Choose {better}.onnx.")
    if len(classes) != model.num_classes:
        raise TransferError(f"{len(classes)} class names for {model.num_classes} outputs: they must match.")
    for package in ("onnx", "onnxruntime", "onnxscript"):
        missing = f"the export needs {package}, which is not installed"
        installed(package, missing, "'transferlib[export]'", TransferError)
    served = nn.Sequential(copy.deepcopy(model).cpu(), nn.Softmax(1)).eval()
    facts = _facts(model, classes, image_size)
    try:
        with waiting(f"translating {model.backbone} to ONNX"):
            content = _graph(served, image_size, facts)
    except Exception as error:  # of several libraries; above 2 GB it is protobuf's
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        told = f"{model.backbone} cannot be translated to ONNX ({reason})"
        raise TransferError(f"{told}. Use another backbone.") from error
    difference = _difference(content, served, image_size)
    if not difference <= TOLERANCE:  # so that a NaN is refused too
        found = f"onnxruntime's probabilities differ from PyTorch's by {difference:.2g}, more than {TOLERANCE:g}"
        raise TransferError(f"{path}: {found}. Nothing was written; use another backbone.")
    write_whole(path, content)
    return Exported(path, len(content), difference)


def pixels_code() -> str:
    """What this package does to a picture before a network sees it, in Python with Pillow and NumPy alone."""
    return "\n\n".join(inspect.getsource(function) for function in (used_bits, to_rgb, square, to_pixels))


def _facts(model: TransferModel, classes: Sequence[str], image_size: int) -> dict[str, str]:
    """What the file says of itself."""
    preprocessing = asdict(model.image_preprocess) | {
        "image_size": image_size,
        "before": "to_pixels(image, image_size): first page, upright (EXIF), 16 bits scaled by those that are used, "
        "transparency on white, RGB, central square, bicubic with antialiasing to image_size; uint8, channels first",
        "inside": "images / 255, bicubic with antialiasing to input_size if there is one, minus mean, divided by std",
    }
    return {
        "classes": json.dumps(list(classes)),
        "preprocessing": json.dumps(preprocessing),
        "to_pixels": pixels_code(),
        "output": "probabilities",
        "backbone": model.backbone,
        "weights": model.weights,
    }


def _random_images(n: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


def _graph(served: nn.Module, image_size: int, facts: dict[str, str]) -> bytes:
    program: Any = torch.onnx.export(
        served,
        (_random_images(2, image_size),),  # two images: the exporter takes a side of 1 for a constant
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    if isinstance(program.model.graph.inputs[0].shape[0], int):
        raise ValueError("its graph takes a single size of batch")
    program.model.metadata_props.update(facts)
    content: bytes = program.model_proto.SerializeToString()
    return content


@torch.no_grad()
def _difference(content: bytes, served: nn.Module, image_size: int) -> float:
    """The largest one, over batches of 1 and of 3 random images."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    largest = []
    for n in (1, 3):
        images = _random_images(n, image_size)
        (got,) = session.run(None, {"images": images.numpy()})
        largest.append((torch.from_numpy(got) - served(images)).abs().max())
    return float(torch.stack(largest).max())
