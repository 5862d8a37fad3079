"""Your own table of short texts, read strictly: nothing is cut, swallowed or dropped without a word."""

import csv
import io
import mimetypes
import os
import re
import shlex
import sys
import unicodedata
import warnings
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from transferlib.data.own.clean import related
from transferlib.data.own.folder import FLATTERED, OnBad, foreign, refuse_absent, refuse_or_warn
from transferlib.data.own.names import alike, by_key, label_of, number, seen, some
from transferlib.data.own.scan import part_of
from transferlib.data.splits import PARTS, Split, Splits, encode, held_out_first
from transferlib.errors import DataError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
WHO = "patient(en)?|subject|person|user|author|speaker|customer|client|student|conversation|thread|session|document"
IDS = re.compile(rf"({WHO}|case|mrn|ticket|dialogu?e|video)s?[ _-]?(id|name|no|nr|number)?|id")
"""Columns that say, by their names, which rows belong together."""
NOTHING = {"nan", "na", "n/a", "#n/a", "null", "none", "#name?", "#ref!", "#value!"}
"""What programs write into a cell that is empty."""
TABLES = (".csv", ".tsv", ".tab")
"""What the names of tables end with; in all but the first a tab separates, and a quotation mark is part of a text."""


class Row(NamedTuple):
    """A text with its label, the id of what it belongs to, and the line of the file on which its row begins."""

    label: str
    text: str
    group: str = ""
    line: int = 0


def texts(
    n_train: int | None = None,
    *,
    path: str | PathLike[str],
    text: str = "text",
    label: str = "label",
    groups: str | None = None,
    seed: int = 0,
    n_val: int | None = None,
    n_test: int | None = None,
    on_bad: OnBad = "error",
) -> Splits:
    """Your own texts: a table in UTF-8 with a header and one text a row, such as a CSV or a TSV file.

    text, label: the names of the columns, in capitals or not. What separates them (a comma, semicolon, tab or bar)
    is seen from the header; in a .tsv a quotation mark is part of a text. groups: a column that says which rows
    belong together (of one author, one patient, one conversation). Texts that differ only in capitals, spaces and
    Unicode form always do, and what belongs together is on one side. n_val, n_test: None takes a sixth each.

    A row with more or fewer cells than the header, or one that a stray quotation mark swallows, is always an error.
    on_bad: "error" also refuses rows without label or text, texts with two labels, and classes with fewer unrelated
    texts than there are splits; "skip" leaves them out, warns and notes it. Raises DataError with the lines.
    """
    path = Path(path).expanduser()
    rows, left_out = sound(labelled(path, label, text, groups))
    needed = 1 + (n_val != 0) + (n_test != 0)
    unrelated = set(zip((row.label for row in rows), groups_of(rows).tolist(), strict=True))
    counts = Counter(label for label, _ in unrelated)
    if small := [f"{name!r} has {number(n, 'unrelated text')}" for name, n in sorted(counts.items()) if n < needed]:
        why = f"too small to be in every split ({needed} unrelated texts needed)"
        left_out.append(f"{number(len(small), 'class', 'classes')} {why}: {some(small)}")
        rows = [row for row in rows if counts[row.label] >= needed]
    refuse_or_warn(path, left_out, on_bad)
    share = max(len(rows) // 6, len({row.label for row in rows}))
    sizes = [share if n is None else n for n in (n_val, n_test)]
    notes = (*(f"Left out: {reason}." for reason in left_out), *_described(rows))
    splits = drawn(rows, path.stem, n_train, sizes[0], sizes[1], seed, notes=notes)
    labels = {part: getattr(splits, part).labels.numpy() for part in PARTS}
    refuse_absent(path, splits.classes, {part: given for part, given in labels.items() if len(given)}, "text")
    return splits


def labelled_texts(
    path: str | PathLike[str], classes: tuple[str, ...], *, text: str, label: str, on_bad: OnBad = "error"
) -> Split:
    """All texts of a table, to score a model that knows `classes`, in their order, with a warning; else as `texts`."""
    path = Path(path).expanduser()
    rows, left_out = sound(labelled(path, label, text))
    places = {_spelled(name): place for place, name in enumerate(classes)}
    left_out += foreign((row.label for row in rows), places)
    rows = [row for row in rows if row.label in places]
    refuse_or_warn(path, left_out, on_bad)
    if not rows:
        raise DataError(f"{path} holds no text that can be used: give a table with a header and one text a row.")
    warnings.warn(f"{path}: all its {len(rows)} texts are scored. {FLATTERED}", stacklevel=2)
    labels = np.array([places[row.label] for row in rows])
    return split_of(rows, labels, groups_of(rows), np.arange(len(rows)))


def unlabelled(name: str, column: str) -> list[dict[str, Any]]:
    """What somebody wants to have classified: a "text" each, with its "file" and "line".

    name: a table, of which `column` is read; another file with one text a line, or "-", standard input; or a text.
    Raises DataError for what looks like a file and is none.
    """
    path, is_word = Path(name), len(name.split()) == 1
    if path.suffix.lower() in TABLES:
        rows = [(line, text) for line, (text,) in table(path, (column,))]
    # os.path: to pathlib a text that is longer than a name may be is an error
    elif name == "-" or os.path.isfile(name):  # noqa: PTH113
        lines = io.StringIO(read(path), newline=None)  # those of an old Mac, too
        rows = [(line, text) for line, text in enumerate(lines, start=1) if text.strip()]
    elif os.path.isdir(name) or (is_word and (os.sep in name or mimetypes.guess_type(name)[0])):  # noqa: PTH112
        raise DataError(f"{name!r} is no file that can be read. Give a table, a file with one text a line, or a text.")
    else:
        return [{"file": "", "line": 1, "text": utf8(os.fsencode(name), "the text").strip()}]
    return [{"file": name, "line": line, "text": text.strip()} for line, text in rows]


def labelled(path: Path, label: str, text: str, groups: str | None = None) -> list[Row]:
    """The rows of a table, each label in one Unicode form; warns of labels that look alike or may stand for none."""
    found = table(path, (label, text, *([groups] if groups else [])))
    rows = [Row(_spelled(name), words.strip(), "".join(group).strip(), line) for line, (name, words, *group) in found]
    for doubt in _doubts(rows, [name for _, (name, *_) in found], groups):
        warnings.warn(f"{path}: {doubt}.", stacklevel=3)
    return rows


def _doubts(rows: Sequence[Row], names: Sequence[str], groups: str | None) -> Iterator[str]:
    """What should be looked at in the rows of a table, and in the names of their labels as they are written there."""
    for same in by_key(sorted({" ".join(name.split()) for name in names}), _spelled):
        if len(same) > 1:
            yield f"{' and '.join(map(ascii, same))} are one class, written in several Unicode forms"
    labels = {row.label for row in rows}
    for same in alike(sorted(labels)):
        told = f"{' and '.join(map(ascii, same))} are {len(same)} classes, and look alike"
        yield f"{told}. If they are one, write them alike"
    if nothing := sorted(cell for cell in labels | {row.text for row in rows} if cell.casefold() in NOTHING):
        told = f"{' and '.join(map(repr, nothing))} may stand for no label at all, or for no text"
        yield f"{told}. If so, leave those cells empty"
    if groups and (bare := [f"line {row.line}" for row in rows if not row.group]):
        yield f"{number(len(bare), 'row')} without {groups!r}, each a group of its own: {some(bare)}"
    if odd := [f"line {row.line}" for row in rows if re.search("\ufffd|Ã[\u0080-\u00bf]|â€", row.text)]:
        told = f"{number(len(odd), 'text')} with letters that another encoding has spoilt: {some(odd)}"
        yield f"{told}. Save the table as UTF-8 where it comes from"


def sound(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Leave out rows without label or text and texts with two labels; what remains, and in words what does not."""
    left_out, full = [], [row for row in rows if row.label and seen(row.text)]
    if empty := [f"line {row.line}" for row in rows if not (row.label and seen(row.text))]:
        left_out.append(f"{number(len(empty), 'row')} without a label or without a text: {some(empty)}")
    told, kept = [], []
    for one, *others in by_key(full, lambda row: _key(row.text)):
        if other := next((row for row in others if row.label != one.label), None):
            said = f"{one.label!r} (line {one.line}) and {other.label!r} (line {other.line})"
            told.append(f"{one.text[:60]!r} is labelled {said}")
        else:
            kept += [one, *others]
    if told:
        left_out.append(f"{number(len(told), 'text')} with two different labels: {some(told)}")
    return sorted(kept, key=lambda row: row.line), left_out


def read(path: Path) -> str:
    """What a file says, or standard input if it is called "-". Raises DataError."""
    try:
        return utf8(sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}). Give a table of texts, a file.") from error


def utf8(data: bytes, name: str) -> str:
    """Bytes as text. Raises DataError with the line that is not UTF-8."""
    try:
        content, bad = data.decode("utf-8-sig"), data.find(b"\0")
    except UnicodeDecodeError as error:
        content, bad = "", len(data) - len(error.object) + error.start
    if bad >= 0:
        line, before = data.count(b"\n", 0, bad) + 1, data[data.rfind(b"\n", 0, bad) + 1 : bad][-30:]
        place = f", after {before.decode('ascii', 'replace')!r}," if before else ""
        form = "UTF-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "WINDOWS-1252"
        remedy = f"a spreadsheet saves it as 'CSV UTF-8'; or run: iconv -f {form} -t UTF-8 OLD > NEW"
        told = f"{name}, line {line}: the byte 0x{data[bad]:02x}{place} is not UTF-8"
        raise DataError(f"{told}. If this is a table of texts, {remedy}.")
    return content


def table(path: Path, wanted: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Of each row of a table, the line on which it begins and its cells in the wanted columns: see `cells`."""
    return cells(read(path), str(path), wanted, tabs=path.suffix.lower() in TABLES[1:])


def cells(content: str, name: str, wanted: Sequence[str], *, tabs: bool = False) -> list[tuple[int, list[str]]]:
    """Of each row of a table with a header, the line on which it begins and its cells in the wanted columns.

    tabs: between its columns, and a quotation mark is one. Of several columns the first is the label. Raises DataError.
    """
    lines = list(io.StringIO(content, newline=""))

    def rows(mark: str) -> Any:  # strict: a mark that is not doubled is an error, never a guess
        quoting: Any = csv.QUOTE_NONE if tabs and mark == "\t" else csv.QUOTE_MINIMAL
        return csv.reader(lines, delimiter=mark, quoting=quoting, strict=True)

    columns = [seen(column).casefold() for column in wanted]
    headers = {mark: _header(rows(mark)) for mark in sorted(SEPARATORS, key=lambda mark: tabs and mark != "\t")}
    mark = max(headers, key=lambda mark: (len({*columns} & {*headers[mark]}), len(headers[mark])))
    header = headers[mark]
    for column in columns:
        if (n := header.count(column)) != 1:
            told = f"{n} columns called" if n else "no column"
            remedy = "Rename all but one" if n else "Say what yours is called: text=, label= (--text, --label)"
            names = ", ".join(filter(None, header))[:80] or "nothing"
            raise DataError(f"{name} has {told} {column!r}; its first line names: {names}. {remedy}.")
    places = [header.index(column) for column in columns]
    width = max(place for place, column in enumerate(header, start=1) if column)  # spreadsheets add empty columns
    found, wrong, start, reader = list[tuple[int, int, list[str]]](), [], 1, rows(mark)
    try:
        for row in reader:
            if width <= len(row) <= len(header) and not any(map(str.strip, row[width:])):
                found.append((start, reader.line_num, row))
            elif any(map(str.strip, row)):
                wrong.append(f"line {start} has {len(row)}, {mark.join(row)[:60]!r}")
            start = reader.line_num + 1
    except csv.Error as error:
        remedy = "Close the quotation mark that opens there, and write a mark inside a text twice"
        remedy = f"Shorten that text, if it is one. {remedy}" if "limit" in str(error) else remedy
        raise DataError(f"{name}, line {start}: {error}. {remedy}.") from error
    if wrong:
        remedy = f"A {SEPARATORS[mark]} inside a text must be {'taken out' if tabs else 'between quotation marks'}"
        raise DataError(f"{name} has {width} columns, but {some(wrong)}. {remedy}.")
    labels = {row[places[0]] for start, end, row in found if start == end and len(places) > 1} - {""}
    for start, end, _ in found:
        inside = [line for line in range(start, end + 1) if _row_like(lines[line - 1], mark, labels)]
        if len(inside) > 1:
            told = f"lines {start} to {end} are one text by a quotation mark, but lines {inside[0]} and {inside[1]}"
            raise DataError(f"{name}: {told} look like rows. Close it, or join the lines of that text.")
    found = [(start, end, row) for start, end, row in found[1:] if any(map(str.strip, row))]
    for place, column in enumerate(header[:width] if len(places) > 1 else []):
        values = {row[place] for *_, row in found}
        if place in places:
            continue
        if len(values) < 9 and len({*map(part_of, values)} - {""}) > 1:
            told = f"its column {column!r} names parts, {some(sorted(map(repr, values)))}, and is not heeded"
            warnings.warn(f"{name}: {told}. Give each part a table: train on one, evaluate on another.", stacklevel=2)
        if len(places) == 2 and IDS.fullmatch(column) and (n := len(values)) < len(found):
            told = f"its column {column!r} names {n} for {len(found)} rows. To keep the rows of one on one side"
            told = f"{told}: groups={column!r} (--groups {shlex.quote(column)} in the terminal)"
            warnings.warn(f"{name}: {told}.", stacklevel=2)
    return [(start, [row[place] for place in places]) for start, _, row in found]


def _header(rows: Iterator[list[str]]) -> list[str]:
    """The names of the columns, in small letters."""
    try:
        return [seen(cell).casefold() for cell in next(filter(None, rows), [])]
    except csv.Error:
        return []


def _row_like(line: str, mark: str, labels: set[str]) -> bool:
    """Whether a line could be a row: a known label between separators, and not with a space behind it as in prose."""
    found = line.rstrip("\r\n").split(mark)
    near = pairwise([*found, ""])
    return len(found) > 1 and any(one.strip('"') in labels and not after.startswith(" ") for one, after in near)


def _spelled(label: str) -> str:
    """A label or a column's name in one form: Unicode has several for the same letters."""
    return label_of(" ".join(label.split()))


def _key(text: str) -> str:
    """What texts have in common that are the same but for capitals, spaces and Unicode form."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def groups_of(rows: Sequence[Row]) -> np.ndarray:
    """One number for all rows whose texts are the same (see `texts`) or that are of one group."""
    keys = ((("text", _key(row.text)), *[("group", row.group)] * bool(row.group)) for row in rows)
    return np.array(related(keys), dtype=np.int64)


def _described(rows: Sequence[Row]) -> Iterator[str]:
    """Notes on the texts that are used."""
    if copies := [n for n in Counter(_key(row.text) for row in rows).values() if n > 1]:
        yield f"{number(len(copies), 'text')} {'occurs' if len(copies) == 1 else 'occur'} more than once, on one side."
    if rows:
        half, most, longest = np.percentile([len(row.text.split()) for row in rows], (50, 90, 100)).round()
        yield f"Words: half of the texts have at most {half:.0f}, nine in ten {most:.0f}, the longest {longest:.0f}."


def drawn(
    rows: Sequence[Row], name: str, n_train: int | None, n_val: int, n_test: int, seed: int, **facts: Any
) -> Splits:
    """Three splits of labelled texts, those that belong together on one side. facts: more of `Splits`."""
    classes = tuple(sorted({row.label for row in rows}))
    places = {label: place for place, label in enumerate(classes)}
    labels, groups = np.array([places[row.label] for row in rows], dtype=np.int64), groups_of(rows)
    parts = held_out_first(labels, groups, n_train, n_val, n_test, seed=seed)
    train, val, test = (split_of(rows, labels, groups, part) for part in parts)
    return Splits(train, val, test, classes, name, augment="none", **facts)


def split_of(rows: Sequence[Row], labels: np.ndarray, groups: np.ndarray, part: np.ndarray) -> Split:
    """The texts of those rows."""
    inputs = encode([rows[index].text for index in part.tolist()])
    return Split(inputs, torch.from_numpy(labels[part]).long(), torch.from_numpy(groups[part]).long())
