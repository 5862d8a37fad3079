"""The words of the command line: one function a command, whose docstring is its help and whose body its options."""

import argparse
import inspect
import math
from collections.abc import Callable
from typing import Any

from transferlib import strategies
from transferlib.data import SOURCES
from transferlib.networks import NETWORKS

Add = Callable[..., object]  # argparse's add_argument
EXIT_CODES = "exit codes: 0 all went well, 1 an error, 2 wrong usage, 130 interrupted (Ctrl-C, SIGTERM), 141 output cut"
BACKBONE = f"{', '.join(NETWORKS)}, timm:NAME or hf:NAME; default: efficientnet_lite0, for texts minilm"
DEVICE = "cpu, cuda, …; default: a GPU if there is one"
ON_BAD = "leave files that cannot be used out (%(default)s)"
AS_WRITTEN: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter}
STRATEGIES = {
    "from-scratch": strategies.from_scratch,
    "feature-extraction": strategies.feature_extraction,
    "fine-tuning": strategies.fine_tuning,
    "progressive-unfreezing": strategies.progressive_unfreezing,
    "lp-ft": strategies.lp_ft,
}


def make_parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    what, end = "Transfer learning on your own photographs and texts.", "example: transferlib train PHOTOS --out run"
    parser = argparse.ArgumentParser("transferlib", description=what, epilog=f"{end}\n\n{EXIT_CODES}", **AS_WRITTEN)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module, command in (("train", train), ("train", advise), ("use", evaluate), ("use", predict), ("use", export)):
        _add_command(commands, module, command)
    look = commands.add_parser("data", help="check a folder, or draw a data set")
    looks = look.add_subparsers(required=True, metavar="COMMAND")
    for command in (check, sheet):
        _add_command(looks, "data", command)
    return parser


def _add_command(commands: Any, module: str, command: Callable[[Add], None]) -> None:
    """A command that runs the function of its name in that module of `transferlib.cli`."""
    description, _, epilog = inspect.cleandoc(command.__doc__ or "").partition("\n\n")
    short = description[:1].lower() + description[1:].rstrip(".")
    parser = commands.add_parser(command.__name__, help=short, description=description, epilog=epilog, **AS_WRITTEN)
    parser.set_defaults(run=(module, command.__name__))
    command(parser.add_argument)


def train(add: Add) -> None:
    """Train a model on a folder with one sub-folder a class, or on a table of texts.

    example: transferlib train PHOTOS --out run
    example: transferlib train PHOTOS --strategy fine-tuning --epochs 8 --out tuned --dry-run
    example: transferlib train PHOTOS --strategy progressive-unfreezing --out slow --resume
    example: transferlib train letters.csv --text letter --label department --out letters
    """
    _add_data(add)
    _add_network(add)
    add("--strategy", choices=STRATEGIES, default="feature-extraction", help="(%(default)s)")
    add("--epochs", type=int, help="in total; default: the strategy's")
    add("--lr", type=float, help="learning rate of the head; default: the strategy's")
    add("--batch-size", type=int, help="default: the strategy's")
    add("--patience", type=int, help="stop after so many epochs without a better validation accuracy")
    add("--device", help=DEVICE)
    add("--out", required=True, help="folder for the report and the model")
    add("--overwrite", action="store_true", help="replace a model that is already there")
    add("--resume", action="store_true", help="go on with a run that was interrupted or killed")
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="of the computation (%(default)s)")
    planned = "say what would learn, how fast, in how much memory and about how long; train and write nothing"
    add("--dry-run", action="store_true", help=planned)
    add("--json", action="store_true", help="print one JSON object at the end, progress to stderr")


def advise(add: Add) -> None:
    """Say which strategy suits a folder, why, and what to expect; trains nothing.

    The advice rests on a map that was measured with the embedded network on images of 64 pixels; texts have none.

    example: transferlib advise PHOTOS
    example: transferlib advise PHOTOS --budget 120 --json
    """
    _add_data(add)
    _add_network(add)
    add("--budget", type=float, default=math.inf, metavar="SECONDS", help="leave out what would take longer")
    add("--json", action="store_true", help="print JSON")


def evaluate(add: Add) -> None:
    """Score a trained model on a labelled folder (its test part, if it has one), or on a table of texts.

    example: transferlib evaluate run PHOTOS
    example: transferlib evaluate run PHOTOS --on-bad skip --json
    """
    add("model", help="the folder that train wrote")
    add("data", help="folder with one sub-folder a class, or with train/ and test/; or a table of texts, read whole")
    _add_columns(add, ("text", "label"), "as in training")
    add("--json", action="store_true", help="print JSON")
    add("--device", help=DEVICE)
    add("--on-bad", choices=("error", "skip"), default="error", help=ON_BAD)
    _add_depth(add)


def predict(add: Add) -> None:
    """Print the class of image files, or of texts, as CSV.

    Texts are what the model was trained on: give a table with a header (.csv, .tsv; it needs no labels), any
    other file with one text a line, - for standard input, or a text itself, in quotation marks.

    A file that cannot be read is one line on stderr; the others go on, and the exit code is 1.
    A CSV cell that begins with = + - @, tab or carriage return gets an apostrophe in front, so that
    no spreadsheet takes a name or a text for a formula. JSON holds them as they are.

    example: transferlib predict run a.jpg b.jpg > calls.csv
    example: transferlib predict run PHOTOS --top 3 --json --cam maps
    """
    add("model", help="the folder that train wrote")
    add("images", nargs="+", metavar="INPUT", help="image files, or folders of them; or texts, see below")
    _add_columns(add, ("text",), "as in training")
    add("--top", type=_positive, metavar="K", help="only the K most probable classes; default: all")
    add("--json", action="store_true", help="print JSON instead of CSV")
    maps = "write one PNG an image there: where the evidence for the class is (Grad-CAM); not for transformers"
    add("--cam", metavar="FOLDER", help=maps)
    add("--device", help=DEVICE)


def export(add: Add) -> None:
    """Write a trained model as ONNX, preprocessing inside, with a model card beside it.

    It takes uint8 images, (N, 3, H, W), and gives probabilities. A file whose probabilities differ from
    PyTorch's by more than 1e-4 is not written. Needs: pip install 'transferlib[export]'

    example: transferlib export run model.onnx
    """
    add("model", help="the folder that train wrote")
    add("out", help="the file to write, NAME.onnx; MODEL_CARD.md goes beside it")
    add("--overwrite", action="store_true", help="replace files that are already there")


def check(add: Add) -> None:
    """Find broken files, copies, contradicting labels and tiny classes; ends with 1 if training must not go on.

    example: transferlib data check PHOTOS --report findings
    """
    add("folder", help="one sub-folder a class; or a table of texts")
    _add_columns(add, ("text", "label"), "%(dest)s")
    add("--json", action="store_true", help="print JSON")
    add("--report", metavar="OUT", help="folder to write report.html, with pictures, and report.json to")
    add("--image-size", type=int, default=224, help="side in pixels that training will use (%(default)s)")
    _add_groups(add)


def sheet(add: Add) -> None:
    """Draw the first 64 training images.

    example: transferlib data sheet PHOTOS --out sheet.png
    example: transferlib data sheet digits --n-train 64 --out sheet.png
    """
    _add_data(add, image_size=96)
    add("--out", required=True, help="a PNG, PDF or SVG file")


def _add_data(add: Add, image_size: int = 224) -> None:
    names = ", ".join(name for name, module in SOURCES.items() if module.startswith("builtin."))
    add("data", help=f"a folder with one sub-folder a class, a table of texts (.csv, .tsv), or one of: {names}")
    _add_columns(add, ("text", "label"), "%(dest)s")
    add("--image-size", type=int, default=image_size, help="side in pixels at which the images are kept (%(default)s)")
    add("--n-train", type=int, help="train on so many images only; default: all")
    add("--seed", type=int, default=0, help="draws splits, first weights and order (%(default)s)")
    add("--cache", metavar="FOLDER", help="keep decoded images, and features too large for memory, in files there")
    add("--on-bad", choices=("error", "skip"), default="error", help=ON_BAD)
    _add_groups(add)


def _add_groups(add: Add) -> None:
    told = "what belongs together (one patient, one author): its first (group) is an id in the file's name, or path"
    add("--groups", metavar="REGEX", help=f"{told}; of a table, a column")
    _add_depth(add)


def _add_depth(add: Add) -> None:
    told = "how deep the class folders lie: 1 directly in the folder or its parts, 2 inside other folders"
    add("--depth", type=int, choices=(1, 2), help=told)


def _add_columns(add: Add, names: tuple[str, ...], default: str) -> None:
    for name in names:
        add(f"--{name}", metavar="COLUMN", help=f"the column of a table that holds the {name}; default: {default}")


def _add_network(add: Add) -> None:
    add("--backbone", help=BACKBONE)
    seen = "side in pixels at which the network sees the images, however large they are kept; default: as they are. "
    add("--input-size", type=_positive, metavar="PIXELS", help=f"{seen}Of texts: how many tokens are read; default: 64")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number
