"""Your own table of short texts."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from transferlib.data.splits import Split, Splits, encode, held_out_first
from transferlib.errors import DataError

Row = tuple[str, str]
"""A label and a text."""


def texts(
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
            rows = list(named_rows(file, label, text, str(path), tabs=path.suffix.lower() in (".tsv", ".tab")))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Give a UTF-8 file with a header.") from error
    sixth = len(rows) // 6
    return drawn(rows, path.stem, n_train, sixth if n_val is None else n_val, sixth if n_test is None else n_test, seed)


def named_rows(file: Iterable[str], label: str, text: str, name: str, *, tabs: bool) -> Iterator[Row]:
    """Label and text of each row of a table with a header. tabs: between its columns; a quotation mark is then one."""
    table = csv.DictReader(file, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL)
    try:
        if missing := {label, text} - set(table.fieldnames or ()):
            found = ", ".join(table.fieldnames or ()) or "nothing"
            raise DataError(f"{name} has no column {' and no '.join(sorted(missing))}; its header names: {found}.")
        for row in table:
            pair = (row[label] or "").strip(), (row[text] or "").strip()
            if not all(pair):
                problem = "label or text is empty. Fill it in or delete the line"
                raise DataError(f"{name}, line {table.line_num}: {problem}.")
            yield pair
    except csv.Error as error:
        raise DataError(f"{name}, line {table.line_num}: {error}. Save it again as CSV.") from error


def groups_of(rows: list[Row]) -> np.ndarray:
    """One number for all texts that are the same but for capitals and spaces."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(" ".join(text.casefold().split()), len(numbers)) for _, text in rows])


def drawn(
    rows: list[Row], name: str, n_train: int | None, n_val: int, n_test: int, seed: int, credits: str = ""
) -> Splits:
    """Three splits of labelled texts, those that are alike on one side. Raises DataError for a contradiction."""
    classes = tuple(sorted({label for label, _ in rows}))
    labels, groups = np.array([classes.index(label) for label, _ in rows], dtype=np.int64), groups_of(rows)
    first: dict[int, Row] = {}
    for group, row in zip(groups.tolist(), rows, strict=True):
        label, text = first.setdefault(group, row)
        if label != row[0]:
            raise DataError(f"{name}: {text!r} is labelled {label!r} and {row[0]!r}. Decide, and delete one.")
    parts = held_out_first(labels, groups, n_train, n_val, n_test, seed=seed)
    train, val, test = (split_of(rows, labels, groups, part) for part in parts)
    return Splits(train, val, test, classes, name, augment="none", credits=credits)


def split_of(rows: list[Row], labels: np.ndarray, groups: np.ndarray, part: np.ndarray) -> Split:
    """The texts of those rows."""
    inputs = encode([rows[index][1] for index in part.tolist()])
    return Split(inputs, torch.from_numpy(labels[part]).long(), torch.from_numpy(groups[part]).long())
