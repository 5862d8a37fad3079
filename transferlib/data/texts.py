"""Sets of short texts: the embedded one, AG News, and your own table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from transferlib.data.download import cache_dir, fetch
from transferlib.data.splits import Split, Splits, encode, held_out_first, split_by_group
from transferlib.errors import DataError, DownloadError

AGNEWS_URL = "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv"
AGNEWS = {
    "train.csv": "76a0a2d2f92b286371fe4d4044640910a04a803fdd2538e0f3f29a5c6f6b672e",
    "test.csv": "521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699",
}
AGNEWS_CLASSES = ("World", "Sports", "Business", "Sci/Tech")

Row = tuple[str, str]
"""A label and a text."""


def triage(n_train: int | None = 160, *, seed: int = 0, n_val: int = 120, n_test: int = 200) -> Splits:
    """640 sentences in which somebody describes a complaint, and the medical specialty it belongs to.

    Eight specialties, 80 sentences each, written for this course; no patients. n_train: None
    takes all that val and test leave. Val and test do not depend on it. Raises DataError when
    more is asked for than there is.

    >>> splits = triage(80)
    >>> splits, len(splits.train.texts)
    (Splits('triage', 8 classes, texts: train 80, val 120, test 200), 80)
    """
    with (files("transferlib.data") / "triage.tsv").open(encoding="utf-8") as file:
        rows = list(_named(file, "specialty", "sentence", "triage.tsv", dialect=_Tabs))
    credit = "Written for this course by the model that wrote it; no patients. Not for diagnosis. CC BY 4.0."
    return _drawn(rows, "triage", n_train, n_val, n_test, seed, credit)


def table(
    n_train: int | None = None,
    *,
    path: Path | str,
    text: str = "text",
    label: str = "label",
    seed: int = 0,
    n_val: int | None = None,
    n_test: int | None = None,
) -> Splits:
    """Your own texts: a CSV file, or a TSV if its name ends so, with a header and one text a row.

    text, label: the names of the columns. Texts that differ only in capitals and spaces are one
    group, so no copy crosses a split; two labels for one text are an error. n_val, n_test: None
    takes a sixth each. Raises DataError with the line where something is wrong.
    """
    path = Path(path).expanduser()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            tabs = path.suffix.lower() in (".tsv", ".tab")
            rows = list(_named(file, label, text, str(path), dialect=_Tabs if tabs else csv.excel))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Give a UTF-8 file with a header.") from error
    sixth = len(rows) // 6
    return _drawn(
        rows, path.stem, n_train, sixth if n_val is None else n_val, sixth if n_test is None else n_test, seed
    )


def agnews(n_train: int | None = None, *, seed: int = 0, n_val: int = 1_000, n_test: int | None = 2_000) -> Splits:
    """AG News: 120,000 and 7,600 titles and first sentences of news in 4 topics (30 MB to download).

    val is drawn from the official training part; n_train: None takes the rest of it. n_test: a
    stratified part of the official test split; None takes all of it. Raises DownloadError.
    """
    parts = []
    for name, digest in AGNEWS.items():
        path = fetch(f"{AGNEWS_URL}/{name}", cache_dir() / "agnews" / name, sha256=digest)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                parts.append([(AGNEWS_CLASSES[int(row[0]) - 1], f"{row[1]}. {row[2]}") for row in csv.reader(file)])
        except (ValueError, IndexError, csv.Error) as error:
            raise DownloadError(f"{path} is not a file of AG News: {error}. Delete it and load again.") from error
    rows, labels = parts[0] + parts[1], np.array([AGNEWS_CLASSES.index(name) for name, _ in parts[0] + parts[1]])
    first = len(parts[0])
    groups = _groups(rows)
    new = ~np.isin(groups[first:], groups[:first])  # a text that is in the training part is no test
    test = first + np.flatnonzero(new)
    if n_test is not None:
        test = test[split_by_group(labels[test], groups[test], (n_test,), seed=seed)[0]]
    known = np.arange(first)
    chosen = (*held_out_first(labels[known], groups[known], n_train, n_val, 0, seed=seed)[:2], test)
    train, val, test_part = (_split(rows, labels, groups, part) for part in chosen)
    credit = "AG News, X. Zhang, J. Zhao and Y. LeCun 2015, from A. Gulli's corpus: for research, not for commerce."
    return Splits(train, val, test_part, AGNEWS_CLASSES, "agnews", augment="none", credits=credit)


class _Tabs(csv.excel_tab):
    quoting = csv.QUOTE_NONE  # a quotation mark is one


def _named(file: Iterable[str], label: str, text: str, name: str, *, dialect: type[csv.Dialect]) -> Iterator[Row]:
    """Label and text of each row of a table with a header."""
    reader = csv.DictReader(file, dialect=dialect)
    missing = {label, text} - set(reader.fieldnames or ())
    if missing:
        found = ", ".join(reader.fieldnames or ()) or "nothing"
        raise DataError(f"{name} has no column {' and no '.join(sorted(missing))}; its header names: {found}.")
    try:
        for row in reader:
            if not (row[label] or "").strip() or not (row[text] or "").strip():
                raise DataError(
                    f"{name}, line {reader.line_num}: label or text is empty. Fill it in or delete the line."
                )
            yield row[label].strip(), row[text].strip()
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: {error}. Save it again as CSV.") from error


def _groups(rows: list[Row]) -> np.ndarray:
    """One number for all texts that are the same but for capitals and spaces."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(" ".join(text.casefold().split()), len(numbers)) for _, text in rows])


def _drawn(
    rows: list[Row], name: str, n_train: int | None, n_val: int, n_test: int, seed: int, credits: str = ""
) -> Splits:
    classes = tuple(sorted({label for label, _ in rows}))
    labels, groups = np.array([classes.index(label) for label, _ in rows], dtype=np.int64), _groups(rows)
    first: dict[int, int] = {}
    for row, (group, label) in enumerate(zip(groups.tolist(), labels.tolist(), strict=True)):
        if labels[first.setdefault(group, row)] != label:
            one, other = rows[first[group]], rows[row]
            raise DataError(f"{name}: {one[1]!r} is labelled {one[0]!r} and {other[0]!r}. Decide, and delete one.")
    parts = held_out_first(labels, groups, n_train, n_val, n_test, seed=seed)
    train, val, test = (_split(rows, labels, groups, part) for part in parts)
    return Splits(train, val, test, classes, name, augment="none", credits=credits)


def _split(rows: list[Row], labels: np.ndarray, groups: np.ndarray, part: np.ndarray) -> Split:
    inputs = encode([rows[index][1] for index in part.tolist()])
    return Split(inputs, torch.from_numpy(labels[part]).long(), torch.from_numpy(groups[part]).long())
