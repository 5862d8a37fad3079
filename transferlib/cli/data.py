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
from transferlib.data.splits import Splits
from transferlib.files.waiting import waiting
from transferlib.plots import image_sheet


def check(args: argparse.Namespace) -> int:
    """Report on a folder; 1 if training must not go on."""
    out = place(args.report, args.folder) if args.report is not None else None
    report = check_folder(args.folder, groups=args.groups, image_size=args.image_size)
    print(report.to_json() if args.json else report)
    if out is not None:
        with waiting("drawing the report"):
            write_page(report, out)
        print(f"written to {str(out)!r}: report.html and report.json", file=sys.stderr)
    return 0 if report.ok else 1


def load_splits(args: argparse.Namespace) -> Splits:
    """A folder if there is one at that path, else a data set of that name."""
    options: dict[str, Any] = {"n_train": args.n_train, "image_size": args.image_size, "seed": args.seed}
    if args.data in SOURCES and not Path(args.data).exists():
        return load_data(args.data, **options)
    return load_data("folder", path=args.data, on_bad=args.on_bad, cache=args.cache, **options)


def described(splits: Splits) -> str:
    """The data in a line, and a note a line on what was done to them."""
    return "\n".join([str(splits), *(f"note: {note}" for note in splits.notes)])


def sheet(args: argparse.Namespace) -> int:
    """Draw the first 64 training images."""
    with picture(Path(args.out), (8, 8), dpi=150) as axes:  # a name that cannot be written is refused first
        splits = load_splits(args)
        print(splits)
        title = f"{plain(splits.name)}: training images{' (synthetic)' * splits.synthetic}"
        image_sheet(splits.train.images[:64], axes).set_title(title, parse_math=False)
    print(f"{splits.credits}\nwritten to {args.out}")
    return 0
