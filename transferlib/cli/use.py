"""What `transferlib evaluate`, `predict` and `export` do with a trained model."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from transferlib.cli.report import finite
from transferlib.cli.train import score_line
from transferlib.data.own.folder import labelled_split
from transferlib.data.own.images import SUFFIXES, load_image
from transferlib.engine import checkpoints
from transferlib.engine.processes import pick_device
from transferlib.errors import CheckpointError, DataError
from transferlib.evaluation import evaluate as score_model
from transferlib.evaluation import predict as probabilities_of
from transferlib.files.whole import write_whole
from transferlib.model import TransferModel
from transferlib.ship.card import model_card, read_metrics
from transferlib.ship.grad_cam import grad_cam, overlay
from transferlib.ship.onnx import export_onnx


def evaluate(args: argparse.Namespace) -> int:
    """Score a trained model on a labelled folder."""
    model, facts = checkpoints.load(args.model)
    classes = tuple(facts["classes"])
    split = labelled_split(args.data, classes, image_size=image_size(facts), on_bad=args.on_bad)
    scores = score_model(model.to(pick_device(args.device)), split, classes)
    if args.json:
        print(json.dumps(finite(scores.to_dict()), indent=2))
    else:
        print(f"{len(split)} images: {score_line(scores)}")
        for row in scores.per_class:
            print(f"  {row.name:24s} {row.images:5d} images  recall {row.recall:.3f}  precision {row.precision:.3f}")
    return 0


def predict(args: argparse.Namespace) -> int:
    """Name the class of each file, as CSV or JSON; 1 if some file could not be read."""
    model, facts = checkpoints.load(args.model)
    model.to(pick_device(args.device))
    classes, size = facts["classes"], image_size(facts)
    files, failed = _files(args.images)
    maps = _Maps(Path(args.cam), model, files, size) if args.cam else None
    top = min(args.top or len(classes), len(classes))
    rows = _Json() if args.json else _Csv(classes, args.top and top, cam=bool(maps))
    for path in files:
        try:
            pixels = load_image(path, size)
        except DataError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
            continue
        shares = probabilities_of(model, pixels[None])[0]
        best = [(classes[index], float(shares[index])) for index in shares.argsort(descending=True, stable=True)]
        cam = maps.draw(path, pixels, int(shares.argmax()), *best[0]) if maps else None
        rows.add(path, best[:top], shares.tolist(), cam)
    rows.end()
    return 1 if failed else 0


def export(args: argparse.Namespace) -> int:
    """Write a trained model as ONNX, with its card beside it."""
    model, facts = checkpoints.load(args.model)
    out = Path(args.out)
    card = out.parent / "MODEL_CARD.md"
    for path in (out, card):
        if path.exists() and not args.overwrite:
            raise CheckpointError(f"{path} is already there: choose another place, or allow --overwrite.")
    metrics = read_metrics(Path(args.model))
    size = image_size(facts)
    made = export_onnx(model, out, classes=facts["classes"], image_size=size)
    text = model_card(made, model, classes=facts["classes"], image_size=size, metrics=metrics)
    write_whole(card, text.encode())
    print(f"onnxruntime and PyTorch agree: the largest difference of a probability is {made.difference:.1g}")
    print(f"written to {out}: {made.bytes / 1e6:.1f} MB, takes uint8 (N, 3, {size}, {size}), gives probabilities")
    print(f"written to {card}: what it is, how good it is, and how to run it")
    return 0


def image_size(facts: dict[str, Any]) -> int:
    """The side, in pixels, of the images that a saved model was trained on."""
    return int(facts.get("image_size", facts["preprocess"]["image_size"]))


def _files(names: Sequence[str]) -> tuple[list[Path], int]:
    """Files as they are named, folders as the image files in them, sorted; and how many folders had none."""
    found: list[Path] = []
    empty = 0
    for path in map(Path, names):
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not inside:
            empty += 1
            print(f"error: {str(path)!r} holds no image file. Give a folder of {KINDS}.", file=sys.stderr)
        found += inside
    return found, empty


KINDS = "JPEG, PNG, BMP, TIFF or WebP files"


class _Csv:
    """One row a file, written at once."""

    def __init__(self, classes: Sequence[str], top: int | None, *, cam: bool) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):  # Windows would write another encoding, and lines end twice
            sys.stdout.reconfigure(encoding="utf-8", newline="")
        self.writer, self.top = csv.writer(sys.stdout), top
        more = [f"{name} {rank}" for rank in range(2, (top or 1) + 1) for name in ("class", "probability")]
        self._write(["file", "class", "probability", *(more if top else classes), *["cam"] * cam])

    def add(self, path: Path, best: list[tuple[str, float]], shares: list[float], cam: Path | None) -> None:
        flat = [cell for name, share in best[: self.top or 1] for cell in (name, f"{share:.4f}")]
        rest = [] if self.top else [f"{share:.4f}" for share in shares]
        self._write([str(path), *flat, *rest, *([str(cam)] if cam else [])])

    def _write(self, cells: list[str]) -> None:
        self.writer.writerow(map(safe_cell, cells))

    def end(self) -> None:
        sys.stdout.flush()


class _Json:
    """A list with one object a file, written at the end."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, path: Path, best: list[tuple[str, float]], shares: list[float], cam: Path | None) -> None:
        named = [{"class": name, "probability": share} for name, share in best]
        self.rows.append({"file": str(path), **named[0], "top": named, **({"cam": str(cam)} if cam else {})})

    def end(self) -> None:
        print(json.dumps(self.rows, indent=2))


def safe_cell(text: str) -> str:
    """A CSV cell that no spreadsheet takes for a formula, and that every encoding can hold.

    One that begins with = + - @, a tab or a carriage return gets an apostrophe in front (OWASP,
    CSV injection). Bytes of a file name that are no text are written as \\udcXX.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


class _Maps:
    """Grad-CAM overlays, one PNG an image."""

    def __init__(self, folder: Path, model: TransferModel, files: list[Path], size: int) -> None:
        self.folder, self.model = folder, model
        grad_cam(model, torch.zeros(1, 3, size, size))  # a network without maps is refused first
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{folder}: cannot be a folder for maps ({error.strerror}).") from error
        self.taken = {path.resolve() for path in files}  # a map never replaces an image

    def draw(self, path: Path, pixels: Tensor, target: int, name: str, share: float) -> Path:
        """Write the image, blended with its map and titled with class and probability."""
        blended = overlay(pixels[None], grad_cam(self.model, pixels[None], target))[0]
        figure = Figure(figsize=(4, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.imshow(blended.permute(1, 2, 0).numpy())
        axes.set_axis_off()
        # matplotlib's own wrapping would read dollars as formulas in spite of parse_math=False.
        axes.set_title(textwrap.fill(f"{name}: {share:.3f}", 40), parse_math=False)
        picture = io.BytesIO()
        figure.savefig(picture, dpi=100, format="png")
        target_path = next(free for free in self._names(path) if free.resolve() not in self.taken)
        self.taken.add(target_path.resolve())
        write_whole(target_path, picture.getvalue())
        return target_path

    def _names(self, path: Path) -> Iterator[Path]:
        stem = path.stem.encode("utf-8", "surrogateescape")[:200].decode("utf-8", "ignore")  # names have 255 bytes
        yield self.folder / f"{stem}.cam.png"
        for number in range(2, 2**31):
            yield self.folder / f"{stem}-{number}.cam.png"
