"""What `transferlib evaluate`, `predict` and `export` do with a trained model."""

import argparse
import csv
import io
import json
import os
import sys
import textwrap
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transferlib import evaluation
from transferlib.check.report import plain
from transferlib.cli.report import picture, to_json
from transferlib.cli.train import score_line
from transferlib.data.own.clean import passed_over
from transferlib.data.own.folder import labelled_split
from transferlib.data.own.images import decode_image, read
from transferlib.data.own.scan import images_in, ours, outside
from transferlib.data.own.texts import labelled_texts, unlabelled
from transferlib.data.splits import encode
from transferlib.engine import checkpoints
from transferlib.engine.processes import pick_device
from transferlib.errors import CheckpointError, DataError
from transferlib.files.waiting import each
from transferlib.files.whole import write_whole
from transferlib.model import TransferModel
from transferlib.networks.backbone import Preprocess
from transferlib.ship.card import model_card, read_metrics
from transferlib.ship.grad_cam import grad_cam, overlay
from transferlib.ship.onnx import export_onnx

KINDS = "JPEG, PNG, BMP, TIFF or WebP files"


def evaluate(args: argparse.Namespace) -> int:
    """Score a trained model on a labelled folder."""
    model, classes, facts = trained(args.model, args.device)
    if reads_texts(model):
        columns = {name: getattr(args, name) or facts.get(name, name) for name in ("text", "label")}
        split = labelled_texts(args.data, classes, on_bad=args.on_bad, **columns)
    else:
        size = side(model, facts)
        split = labelled_split(args.data, classes, image_size=size, on_bad=args.on_bad, depth=args.depth)
    scores = evaluation.evaluate(model, split, classes)
    if args.json:
        print(to_json(scores.to_dict()))
    else:
        print(f"{len(split)} {split.noun}: {score_line(scores)}")
        for row in scores.per_class:
            shares = f"recall {evaluation.shown(row.recall)}  precision {evaluation.shown(row.precision)}"
            print(f"  {row.name:24s} {row.images:5d} {split.noun}  {shares}")
    return 0


def predict(args: argparse.Namespace) -> int:
    """Name the class of each input, as CSV, a row at once, or as JSON at the end; 1 if some could not be read."""
    model, classes, facts = trained(args.model, args.device)
    texts, failed, maps = reads_texts(model), 0, None
    files = [] if texts else _files(args.images)
    if args.cam is not None:
        size = side(model, facts)  # texts are refused here
        maps = _Maps(outside("--cam", args.cam, *args.images), model, files, size)
    top = min(args.top or len(classes), len(classes))
    found: list[dict[str, Any]] = []
    if not args.json:
        if isinstance(sys.stdout, io.TextIOWrapper):  # Windows would write another encoding, and lines end twice
            sys.stdout.reconfigure(encoding="utf-8", newline="")
        more = [f"{word} {rank}" for rank in range(2, top + 1) for word in ("class", "probability")]
        told = ["file", "line", "text"] if texts else ["file"]
        _write_row(*told, "class", "probability", *(more if args.top else classes), *["cam"] * bool(maps))
    batches = _texts(args.images, args.text or facts.get("text", "text")) if texts else _images(files, model, facts)
    for names, batch in batches:
        if isinstance(batch, DataError):
            failed += 1
            print(f"error: {batch}", file=sys.stderr)
            continue
        for name, raw, shares in zip(names, batch, evaluation.predict(model, batch), strict=True):
            order = shares.argsort(descending=True, stable=True).tolist()
            best = [{"class": classes[index], "probability": shares[index].item()} for index in order[:top]]
            title = f"{plain(classes[order[0]])}: {shares[order[0]]:.3f}"
            cam = {"cam": str(maps.draw(Path(name["file"]), raw, order[0], title))} if maps else {}
            if args.json:
                found.append({**name, **best[0], "top": best, **cam})
            else:
                others = [cell for row in best[1:] for cell in row.values()] if args.top else shares.tolist()
                _write_row(*name.values(), *best[0].values(), *others, *cam.values())
    if args.json:
        print(json.dumps(found, indent=2))
    return 1 if failed else 0


def export(args: argparse.Namespace) -> int:
    """Write a trained model as ONNX, with its card beside it."""
    model, classes, facts = trained(args.model, "cpu")
    size = side(model, facts)
    out = Path(args.out)
    card = out.parent / "MODEL_CARD.md"
    for path in (out, card):
        if path.exists() and not args.overwrite:
            raise CheckpointError(f"{path} is already there: choose another place, or allow --overwrite.")
    metrics = read_metrics(Path(args.model))
    made = export_onnx(model, out, classes=classes, image_size=size)
    text = model_card(made, model, classes=classes, image_size=size, metrics=metrics)
    write_whole(card, text.encode())
    print(f"onnxruntime and PyTorch agree: the largest difference of a probability is {made.difference:.1g}")
    print(f"written to {out}: {made.bytes / 1e6:.1f} MB, takes uint8 (N, 3, {size}, {size}), gives probabilities")
    print(f"written to {card}: what it is, how good it is, and how to run it")
    return 0


def trained(folder: str, device: str | None) -> tuple[TransferModel, tuple[str, ...], dict[str, Any]]:
    """A saved model, its classes, and the facts beside it."""
    model, facts = checkpoints.load(folder)
    return model.to(pick_device(device)), tuple(facts["classes"]), facts


def side(model: TransferModel, facts: dict[str, Any]) -> int:
    """The side, in pixels, at which a model's images are kept. Raises TransferError for a model of texts."""
    return int(facts.get("image_size") or model.image_preprocess.native_size)


def reads_texts(model: TransferModel) -> bool:
    """Whether a model was made for texts."""
    return not isinstance(model.preprocess, Preprocess)


Batch = tuple[list[dict[str, Any]], Tensor | DataError]
"""What identifies each input of a batch, and the batch; or why an input cannot be read."""


def _images(files: list[Path | DataError], model: TransferModel, facts: dict[str, Any]) -> Iterator[Batch]:
    """One image after the other, so that its row is written at once."""
    for path in each(files, "predicting, files"):
        try:
            if isinstance(path, DataError):
                raise path
            pixels, *_, remark = decode_image(read(path), side(model, facts), name=os.fspath(path))
        except DataError as error:
            yield [], error
            continue
        if remark:
            print(f"note: {str(path)!r}: {remark}", file=sys.stderr)
        yield [{"file": str(path)}], pixels[None]


def _texts(names: list[str], column: str) -> Iterator[Batch]:
    """The texts of tables, of files with one a line, or on the command line itself."""
    for name in names:
        try:
            rows = unlabelled(name, column)
            yield from (([], DataError(f"{name!r}, line {row['line']}: no text.")) for row in rows if not row["text"])
            full = [row for row in rows if row["text"]]
            for first in range(0, len(full), 32):
                part = full[first : first + 32]
                yield part, encode([row["text"] for row in part])
        except DataError as error:
            yield [], error


def _files(names: list[str]) -> list[Path | DataError]:
    """Files as they are named, folders as the image files in them, sorted; an error for a folder without any."""
    found: list[Path | DataError] = []
    for name in names:
        path = Path(name)
        inside, ignored = images_in(path) if name and path.is_dir() else ([path], {})
        for told in passed_over(ignored):
            print(f"note: {str(path)!r}: passed over {told}", file=sys.stderr)
        found += inside or [DataError(f"{str(path)!r} holds no image file. Give a folder of {KINDS}.")]
    return found


def _write_row(*cells: Path | str | float) -> None:
    """A row of the CSV on standard output."""
    texts = (f"{cell:.4f}" if isinstance(cell, float) else safe_cell(str(cell)) for cell in cells)
    csv.writer(sys.stdout).writerow(texts)


def safe_cell(text: str) -> str:
    """A CSV cell that no spreadsheet takes for a formula, and that every encoding can hold.

    One that begins with = + - @, a tab or a carriage return gets an apostrophe in front (OWASP,
    CSV injection). Bytes of a file name that are no text are written as \\udcXX.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


class _Maps:
    """Grad-CAM overlays, one PNG an image."""

    def __init__(self, folder: Path, model: TransferModel, files: list[Path | DataError], size: int) -> None:
        self.folder, self.model = folder, model
        grad_cam(model, torch.zeros(1, 3, size, size))  # a network without maps is refused first
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{folder}: cannot be a folder for maps ({error.strerror}).") from error
        self.taken = {path.resolve() for path in files if isinstance(path, Path)}  # a map never replaces an image

    def draw(self, path: Path, pixels: Tensor, target: int, title: str) -> Path:
        """Write the image, blended with its map."""
        stem = path.stem.encode("utf-8", "surrogateescape")[:200].decode("utf-8", "ignore")  # names have 255 bytes
        names = (self.folder / f"{stem}{f'-{number}' if number > 1 else ''}.cam.png" for number in count(1))
        free = next(name for name in names if name.resolve() not in self.taken and (ours(name) or not name.exists()))
        self.taken.add(free.resolve())
        blended = overlay(pixels[None], grad_cam(self.model, pixels[None], target))[0]
        with picture(free, (4, 4.4), dpi=100) as axes:
            axes.imshow(blended.permute(1, 2, 0).numpy())
            axes.set_axis_off()
            # matplotlib's own wrapping would read dollars as formulas in spite of parse_math=False.
            axes.set_title(textwrap.fill(title, 40), parse_math=False)
        return free
