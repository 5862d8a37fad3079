"""The command line: train, evaluate, predict and look at data, on the reader's own photographs."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transferlib import checkpoints, data, strategies
from transferlib.allocator import keep_freed_memory
from transferlib.backbones import list_backbones
from transferlib.data.check import check_folder
from transferlib.data.folder import labelled_split
from transferlib.data.images import decode
from transferlib.data.splits import Splits
from transferlib.errors import DataError, TransferError
from transferlib.evaluation import Scores, evaluate, predict
from transferlib.model import TransferModel, pick_device
from transferlib.report import write_report
from transferlib.training import Epoch, TrainingInterrupted, fit

STRATEGIES = {
    "from-scratch": strategies.from_scratch,
    "feature-extraction": strategies.feature_extraction,
    "fine-tuning": strategies.fine_tuning,
    "progressive-unfreezing": strategies.progressive_unfreezing,
    "lp-ft": strategies.lp_ft,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 if all went well, 1 on an error, 130 on Ctrl-C."""
    args = _parser().parse_args(argv)
    keep_freed_memory()
    warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)
    try:
        return int(args.run(args))
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _train(args: argparse.Namespace) -> int:
    out = Path(args.out)
    if (out / "model.json").exists() and not args.overwrite:
        raise TransferError(f"{out} already holds a model: choose another --out, or allow --overwrite.")
    splits = _load(args)
    print(splits)
    for note in splits.notes:
        print(f"note: {note}")
    options = {"epochs": args.epochs, "lr": args.lr, "patience": args.patience, "batch_size": args.batch_size}
    strategy = STRATEGIES[args.strategy](**{name: value for name, value in options.items() if value is not None})
    model = TransferModel(args.backbone, len(splits.classes), pretrained=strategy.pretrained, seed=args.seed)

    def show(epoch: Epoch) -> None:
        print(
            f"epoch {epoch.epoch:3d}/{strategy.epochs}  phase {epoch.phase}  training loss {epoch.train_loss:.3f}  "
            f"validation loss {epoch.val_loss:.3f}  accuracy {epoch.val_accuracy:.3f}  {epoch.seconds:.1f} s",
            flush=True,
        )

    interrupted = False
    try:
        run = fit(model, splits, strategy, seed=args.seed, device=args.device, progress=show)
    except TrainingInterrupted as stop:
        run, interrupted = stop.run, True
        if not run.history:
            raise
        print(f"interrupted: keeping the weights of epoch {run.best_epoch}")
    for note in run.notes:
        print(f"note: {note}")
    scores = evaluate(model, splits.test, splits.classes)
    checkpoints.save(model, out, classes=splits.classes, image_size=args.image_size)
    write_report(out, model, splits, run, scores)
    print(f"test: {_line(scores)}")
    print(f"written to {out}: metrics.json, figures, the model, and README.md, which says how to load it")
    return 130 if interrupted else 0


def _evaluate(args: argparse.Namespace) -> int:
    model, facts = checkpoints.load(args.model)
    classes = tuple(facts["classes"])
    split = labelled_split(args.data, classes, image_size=_image_size(facts), on_bad=args.on_bad)
    scores = evaluate(model.to(pick_device(args.device)), split, classes)
    if args.json:
        print(json.dumps(scores.to_dict(), indent=2))
    else:
        print(f"{len(split)} images: {_line(scores)}")
        for row in scores.per_class:
            print(f"  {row.name:24s} {row.images:5d} images  recall {row.recall:.3f}  precision {row.precision:.3f}")
    return 0


def _predict(args: argparse.Namespace) -> int:
    model, facts = checkpoints.load(args.model)
    classes, size = facts["classes"], _image_size(facts)
    model.to(pick_device(args.device))
    writer = csv.writer(sys.stdout)
    writer.writerow(["file", "class", "probability", *classes])
    failed = 0
    for path in _files(args.images):
        try:
            shares = predict(model, decode(path, size)[None])[0]
        except DataError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
            continue
        best = int(shares.argmax())
        writer.writerow([path, classes[best], f"{shares[best]:.4f}", *(f"{share:.4f}" for share in shares)])
    return 1 if failed else 0


def _check(args: argparse.Namespace) -> int:
    report = check_folder(args.folder)
    print(json.dumps(report.to_json(), indent=2) if args.json else report)
    return 0 if report.ok else 1


def _sheet(args: argparse.Namespace) -> int:
    from matplotlib.figure import Figure

    from transferlib.plots import image_sheet

    splits = _load(args)
    print(splits)
    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = image_sheet(splits.train.images[:64], figure.subplots())
    axes.set_title(f"{splits.name}: training images{' (synthetic)' * splits.synthetic}")
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=150)
    print(f"{splits.credits}\nwritten to {args.out}")
    return 0


def _load(args: argparse.Namespace) -> Splits:
    """A folder if there is one at that path, else a data set of that name."""
    options: dict[str, Any] = {"n_train": args.n_train, "image_size": args.image_size, "seed": args.seed}
    if args.data in data.SOURCES and not Path(args.data).exists():
        return data.load_data(args.data, **options)
    return data.load_data("folder", path=args.data, on_bad=args.on_bad, **options)


def _image_size(facts: dict[str, Any]) -> int:
    return int(facts.get("image_size", facts["preprocess"]["image_size"]))


def _files(names: Sequence[str]) -> list[Path]:
    """Files as they are named; folders as the files in them, sorted."""
    found: list[Path] = []
    for path in map(Path, names):
        found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return found


def _line(scores: Scores) -> str:
    low, high = scores.intervals["accuracy"]
    return (
        f"accuracy {scores.accuracy:.3f} (95 % interval {low:.3f} to {high:.3f}), "
        f"balanced accuracy {scores.balanced_accuracy:.3f}, AUROC {scores.auroc:.3f}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("transferlib", description="Transfer learning on your own photographs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = _command(
        commands,
        "train",
        _train,
        "train a model on a folder with one sub-folder a class",
        "transferlib train PHOTOS --strategy fine-tuning --out run",
    )
    _data_arguments(train)
    train.add_argument("--strategy", choices=STRATEGIES, default="feature-extraction")
    train.add_argument(
        "--backbone", default="efficientnet_lite0", help=f"{', '.join(list_backbones())}, or timm:NAME (%(default)s)"
    )
    train.add_argument("--epochs", type=int, help="in total; default: the strategy's")
    train.add_argument("--lr", type=float, help="learning rate of the head; default: the strategy's")
    train.add_argument("--batch-size", type=int, help="default: the strategy's")
    train.add_argument("--patience", type=int, help="stop after so many epochs without a better validation accuracy")
    train.add_argument("--device", help="cpu, cuda, …; default: a GPU if there is one")
    train.add_argument("--out", required=True, help="folder for the report and the model")
    train.add_argument("--overwrite", action="store_true", help="replace a model that is already there")

    test = _command(
        commands,
        "evaluate",
        _evaluate,
        "score a trained model on a labelled folder (its test part, if it has one)",
        "transferlib evaluate run PHOTOS",
    )
    test.add_argument("model", help="the folder that train wrote")
    test.add_argument("data", help="folder with one sub-folder a class, or with train/ and test/")
    test.add_argument("--json", action="store_true", help="print JSON")
    test.add_argument("--device")
    _bad_argument(test)

    guess = _command(
        commands,
        "predict",
        _predict,
        "print the class of image files as CSV",
        "transferlib predict run a.jpg b.jpg > calls.csv",
    )
    guess.add_argument("model", help="the folder that train wrote")
    guess.add_argument("images", nargs="+", help="image files, or folders of them")
    guess.add_argument("--device")

    look = commands.add_parser("data", help="check a folder, or draw a data set").add_subparsers(
        required=True, metavar="COMMAND"
    )
    check = _command(
        look,
        "check",
        _check,
        "find broken files, copies, contradicting labels and tiny classes; ends with 1 if training must not go on",
        "transferlib data check PHOTOS",
    )
    check.add_argument("folder")
    check.add_argument("--json", action="store_true", help="print JSON")
    sheet = _command(
        look, "sheet", _sheet, "draw the first 64 training images", "transferlib data sheet lesions --out sheet.png"
    )
    _data_arguments(sheet, image_size=96)
    sheet.add_argument("--out", required=True, help="a PNG, PDF or SVG file")
    return parser


def _command(commands: Any, name: str, run: Any, help_text: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".", epilog=f"example: {example}"
    )
    parser.set_defaults(run=run)
    return parser


def _data_arguments(parser: argparse.ArgumentParser, image_size: int = 224) -> None:
    names = ", ".join(name for name in data.SOURCES if name != "folder")
    parser.add_argument("data", help=f"a folder with one sub-folder a class, or one of: {names}")
    parser.add_argument("--image-size", type=int, default=image_size, help="side in pixels (%(default)s)")
    parser.add_argument("--n-train", type=int, help="train on so many images only; default: all")
    parser.add_argument("--seed", type=int, default=0)
    _bad_argument(parser)


def _bad_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-bad", choices=("error", "skip"), default="error", help="leave files that cannot be used out (%(default)s)"
    )
