"""What `transferlib data check` and `data sheet` do, and how the others get their data."""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from transferlib.check.page import place, write_page
from transferlib.check.report import check_folder, plain
from transferlib.cli.report import picture, to_json
from transferlib.data import SOURCES
from transferlib.data.load import load_data, options_of
from transferlib.data.own.scan import ours, outside
from transferlib.data.own.texts import TABLES
from transferlib.data.splits import Splits
from transferlib.errors import DataError
from transferlib.files.waiting import waiting
from transferlib.plots import image_sheet


def check(args: argparse.Namespace) -> int:
    """Report on a folder or a table; 1 if training must not go on."""
    if is_table(args.folder):
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always")
            splits = load_splits(argparse.Namespace(data=args.folder, **vars(args)))
        first = "; ".join(str(doubt.message).rstrip(".") for doubt in doubts)
        verdict = f"ready, but look at this first: {first}" if first else "ready: transferlib train takes it as it is"
        facts = {"ok": True, "verdict": verdict, "data": str(splits), "classes": splits.classes, "notes": splits.notes}
        print(to_json(facts) if args.json else f"{described(splits)}\n{verdict}")
        return 0
    out = place(args.report, args.folder) if args.report is not None else None
    report = check_folder(args.folder, groups=args.groups, image_size=args.image_size, depth=args.depth)
    print(report.to_json() if args.json else report)
    if out is not None:
        with waiting("drawing the report"):
            write_page(report, out)
        print(f"written to {str(out)!r}: report.html and report.json", file=sys.stderr)
    return 0 if report.ok else 1


def load_splits(args: argparse.Namespace) -> Splits:
    """A folder or a table if there is one at that path, else a data set of that name; with the options it takes."""
    name, options = args.data, dict[str, Any](vars(args))
    if not SOURCES.get(name, "").startswith("builtin.") or Path(name).exists():
        name, options["path"] = "texts" if is_table(args.data) else "folder", args.data
    known = options_of(name)
    asked = [option for option in ("groups", "depth", "text", "label", "report") if options.get(option)]
    if strange := [f"--{option}" for option in asked if option not in known]:
        raise DataError(f"{args.data!r} takes no {' and no '.join(strange)}: leave it out.")
    return load_data(name, **{key: value for key, value in options.items() if key in known and value is not None})


def is_table(path: str) -> bool:
    """Whether it is a file, or called like a table."""
    return Path(path).is_file() or (Path(path).suffix.lower() in TABLES and not Path(path).is_dir())


def described(splits: Splits) -> str:
    """The data in a line, its classes, and a note a line on what was done to them."""
    classes = ", ".join(map(plain, splits.classes[:12])) + ", …" * (len(splits.classes) > 12)
    return "\n".join([str(splits), f"classes: {classes}", *(f"note: {note}" for note in splits.notes)])


def sheet(args: argparse.Namespace) -> int:
    """Draw the first 64 training images."""
    out = outside("--out", args.out, args.data)
    if out.exists() and not ours(out):
        raise DataError(f"--out {args.out!r} is there and no sheet of ours. Give another name.")
    with picture(out, (8, 8), dpi=150) as axes:  # a name that cannot be written is refused first
        splits = load_splits(args)
        print(splits)
        title = f"{plain(splits.name)}: training images{' (synthetic)' * splits.synthetic}"
        image_sheet(splits.train.images[:64], axes).set_title(title, parse_math=False)
    print(f"{splits.credits}\nwritten to {args.out}")
    return 0
