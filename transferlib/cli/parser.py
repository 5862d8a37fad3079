"""The words of the command line."""

from __future__ import annotations

import argparse
import math
from typing import Any

from transferlib import strategies
from transferlib.data import SOURCES
from transferlib.networks import NETWORKS

EXIT_CODES = "exit codes: 0 all went well, 1 an error, 2 wrong usage, 130 interrupted (Ctrl-C, SIGTERM)"
STRATEGIES = {
    "from-scratch": strategies.from_scratch,
    "feature-extraction": strategies.feature_extraction,
    "fine-tuning": strategies.fine_tuning,
    "progressive-unfreezing": strategies.progressive_unfreezing,
    "lp-ft": strategies.lp_ft,
}


def make_parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    parser = argparse.ArgumentParser(
        "transferlib",
        description="Transfer learning on your own photographs.",
        epilog=f"example: transferlib train PHOTOS --out run\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = _command(
        commands,
        "train",
        ("train", "train"),
        "train a model on a folder with one sub-folder a class",
        "transferlib train PHOTOS --out run",
        "transferlib train PHOTOS --strategy fine-tuning --epochs 8 --out tuned --dry-run",
        "transferlib train PHOTOS --strategy progressive-unfreezing --out slow --resume",
    )
    _data_arguments(train)
    train.add_argument("--strategy", choices=STRATEGIES, default="feature-extraction", help="(%(default)s)")
    _backbone_argument(train)
    train.add_argument("--epochs", type=int, help="in total; default: the strategy's")
    train.add_argument("--lr", type=float, help="learning rate of the head; default: the strategy's")
    train.add_argument("--batch-size", type=int, help="default: the strategy's")
    train.add_argument("--patience", type=int, help="stop after so many epochs without a better validation accuracy")
    _device_argument(train)
    train.add_argument("--out", required=True, help="folder for the report and the model")
    train.add_argument("--overwrite", action="store_true", help="replace a model that is already there")
    train.add_argument("--resume", action="store_true", help="go on with a run that was interrupted or killed")
    train.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the computation (%(default)s)")
    train.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would learn, how fast, in how much memory and about how long; train and write nothing",
    )
    train.add_argument("--json", action="store_true", help="print one JSON object at the end, progress to stderr")

    advise = _command(
        commands,
        "advise",
        ("train", "advise"),
        "say which strategy suits a folder, why, and what to expect; trains nothing",
        "transferlib advise PHOTOS",
        "transferlib advise PHOTOS --budget 120 --json",
        notes="The advice rests on a map that was measured with the embedded network on images of 64 pixels.",
    )
    _data_arguments(advise)
    _backbone_argument(advise)
    advise.add_argument(
        "--budget", type=float, default=math.inf, metavar="SECONDS", help="leave out what would take longer"
    )
    advise.add_argument("--json", action="store_true", help="print JSON")

    test = _command(
        commands,
        "evaluate",
        ("use", "evaluate"),
        "score a trained model on a labelled folder (its test part, if it has one)",
        "transferlib evaluate run PHOTOS",
        "transferlib evaluate run PHOTOS --on-bad skip --json",
    )
    test.add_argument("model", help="the folder that train wrote")
    test.add_argument("data", help="folder with one sub-folder a class, or with train/ and test/")
    test.add_argument("--json", action="store_true", help="print JSON")
    _device_argument(test)
    _bad_argument(test)

    guess = _command(
        commands,
        "predict",
        ("use", "predict"),
        "print the class of image files as CSV",
        "transferlib predict run a.jpg b.jpg > calls.csv",
        "transferlib predict run PHOTOS --top 3 --json --cam maps",
        notes="A file that cannot be read is one line on stderr; the others go on, and the exit code is 1.\n"
        "A CSV cell that begins with = + - @, tab or carriage return gets an apostrophe in front, so that\n"
        "no spreadsheet takes a file's or a class's name for a formula. JSON holds the names as they are.",
    )
    guess.add_argument("model", help="the folder that train wrote")
    guess.add_argument("images", nargs="+", help="image files, or folders of them")
    guess.add_argument("--top", type=_positive, metavar="K", help="only the K most probable classes; default: all")
    guess.add_argument("--json", action="store_true", help="print JSON instead of CSV")
    guess.add_argument(
        "--cam",
        metavar="FOLDER",
        help="write one PNG an image there: where the evidence for the class is (Grad-CAM); not for transformers",
    )
    _device_argument(guess)

    export = _command(
        commands,
        "export",
        ("use", "export"),
        "write a trained model as ONNX, preprocessing inside, with a model card beside it",
        "transferlib export run model.onnx",
        notes="It takes uint8 images, (N, 3, H, W), and gives probabilities. A file whose probabilities differ from\n"
        "PyTorch's by more than 1e-4 is not written. Needs: pip install 'transferlib[export]'",
    )
    export.add_argument("model", help="the folder that train wrote")
    export.add_argument("out", help="the file to write, NAME.onnx; MODEL_CARD.md goes beside it")
    export.add_argument("--overwrite", action="store_true", help="replace files that are already there")

    look = commands.add_parser("data", help="check a folder, or draw a data set").add_subparsers(
        required=True, metavar="COMMAND"
    )
    check = _command(
        look,
        "check",
        ("data", "check"),
        "find broken files, copies, contradicting labels and tiny classes; ends with 1 if training must not go on",
        "transferlib data check PHOTOS --report findings",
    )
    check.add_argument("folder")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.add_argument("--report", metavar="OUT", help="folder to write report.html, with pictures, and report.json to")
    check.add_argument(
        "--image-size", type=int, default=224, help="side in pixels that training will use (%(default)s)"
    )
    check.add_argument(
        "--groups", metavar="REGEX", help="what belongs together: its first (group) is an id in the file's name"
    )
    sheet = _command(
        look,
        "sheet",
        ("data", "sheet"),
        "draw the first 64 training images",
        "transferlib data sheet PHOTOS --out sheet.png",
        "transferlib data sheet digits --n-train 64 --out sheet.png",
    )
    _data_arguments(sheet, image_size=96)
    sheet.add_argument("--out", required=True, help="a PNG, PDF or SVG file")
    return parser


def _command(
    commands: Any, name: str, run: tuple[str, str], help_text: str, *examples: str, notes: str = ""
) -> argparse.ArgumentParser:
    epilog = "\n".join(f"example: {example}" for example in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog=f"{notes}\n\n{epilog}" if notes else epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _data_arguments(parser: argparse.ArgumentParser, image_size: int = 224) -> None:
    names = ", ".join(name for name in SOURCES if name not in ("folder", "texts", "dataset"))
    parser.add_argument("data", help=f"a folder with one sub-folder a class, or one of: {names}")
    parser.add_argument("--image-size", type=int, default=image_size, help="side in pixels (%(default)s)")
    parser.add_argument("--n-train", type=int, help="train on so many images only; default: all")
    parser.add_argument("--seed", type=int, default=0, help="draws splits, first weights and order (%(default)s)")
    parser.add_argument(
        "--cache", metavar="FOLDER", help="keep decoded images, and features too large for memory, in files there"
    )
    _bad_argument(parser)


def _backbone_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backbone", default="efficientnet_lite0", help=f"{', '.join(NETWORKS)}, or timm:NAME (%(default)s)"
    )


def _bad_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-bad", choices=("error", "skip"), default="error", help="leave files that cannot be used out (%(default)s)"
    )


def _device_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="cpu, cuda, …; default: a GPU if there is one")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number
