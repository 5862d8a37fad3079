"""What `transferlib data check` and `data sheet` do, and how the others get their data."""

import argparse
import sys
from pathlib import Path
from typing import Any

from transferlib.check.page import place, write_page
from transferlib.check.report import check_folder, plain
from transferlib.cli.report import picture
from transferlib.data import SOURCES
from transferlib.data.load import load_data
from transferlib.data.own.scan import ours, outside
from transferlib.data.splits import Splits
from transferlib.errors import DataError
from transferlib.plots import image_sheet


def check(args: argparse.Namespace) -> int:
    """Report on a folder; 1 if training must not go on."""
    out = place(args.report, args.folder) if args.report is not None else None
    report = check_folder(args.folder, groups=args.groups, image_size=args.image_size, depth=args.depth)
    print(report.to_json() if args.json else report)
    if out is not None:
        write_page(report, out)
        print(f"written to {str(out)!r}: report.html and report.json", file=sys.stderr)
    return 0 if report.ok else 1


def load_splits(args: argparse.Namespace) -> Splits:
    """A folder if there is one at that path, else a data set of that name."""
    options: dict[str, Any] = {"n_train": args.n_train, "image_size": args.image_size, "seed": args.seed}
    if args.data in SOURCES and not Path(args.data).exists():
        if args.groups or args.depth:
            raise DataError(f"--groups and --depth are for a folder of your own, and {args.data!r} is none.")
        return load_data(args.data, **options)
    mine = {name: getattr(args, name) for name in ("on_bad", "cache", "groups", "depth")}
    return load_data("folder", path=args.data, **mine, **options)


def described(splits: Splits) -> str:
    """The data in a line, its classes, and a note a line on what was done to them."""
    classes = ", ".join(map(plain, splits.classes[:12])) + ", …" * (len(splits.classes) > 12)
    return "\n".join([str(splits), f"classes: {classes}", *(f"note: {note}" for note in splits.notes)])


def sheet(args: argparse.Namespace) -> int:
    """Draw the first 64 training images."""
    out = outside("--out", args.out, args.data)
    if out.exists() and not ours(out):
        raise DataError(f"--out {args.out!r} is there and no sheet of ours. Give another name.")
    splits = load_splits(args)
    print(splits)
    with picture(out, (8, 8), dpi=150) as axes:
        title = f"{plain(splits.name)}: training images{' (synthetic)' * splits.synthetic}"
        image_sheet(splits.train.images[:64], axes).set_title(title, parse_math=False)
    print(f"{splits.credits}\nwritten to {args.out}")
    return 0
