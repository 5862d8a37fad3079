"""Sets of short texts: the embedded one, and AG News."""

import csv
from importlib.resources import files

import numpy as np

from transferlib.data.builtin.public import SETS, credited, fetched
from transferlib.data.own.texts import Row, cells, drawn, groups_of, split_of
from transferlib.data.splits import Splits, draw, held_out_first
from transferlib.errors import DownloadError
from transferlib.files.download import cache_dir


def triage(n_train: int | None = 160, *, seed: int = 0, n_val: int = 120, n_test: int = 200) -> Splits:
    """640 sentences in which somebody describes a complaint, and the medical specialty it belongs to.

    Eight specialties, 80 sentences each, written for this course; no patients. n_train: None
    takes all that val and test leave. Val and test do not depend on it. Raises DataError when
    more is asked for than there is.

    >>> splits = triage(80)
    >>> splits, len(splits.train.texts)
    (Splits('triage', 8 classes, texts: train 80, val 120, test 200), 80)
    """
    content = (files("transferlib.data.builtin") / "triage.tsv").read_text("utf-8")
    rows = [Row(label, text) for _, (label, text) in cells(content, "triage.tsv", ("specialty", "sentence"), tabs=True)]
    credit = "Written for this course by the model that wrote it; no patients. Not for diagnosis. CC BY 4.0."
    return drawn(rows, "triage", n_train, n_val, n_test, seed, credits=credit)


def agnews(n_train: int | None = None, *, seed: int = 0, n_val: int = 1_000, n_test: int | None = 2_000) -> Splits:
    """AG News: 120,000 and 7,600 titles and first sentences of news in 4 topics (30 MB to download).

    val is drawn from the official training part; n_train: None takes the rest of it. n_test: a
    stratified part of the official test split; None takes all of it. Raises DownloadError.
    """
    topics = SETS["agnews"]["classes"]
    rows: list[Row] = []
    for name in SETS["agnews"]["files"]:
        path = fetched("agnews", cache_dir() / "agnews" / name)
        first = len(rows)  # of this part, in the end of the test part
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows += [Row(topics[int(row[0]) - 1], f"{row[1]}. {row[2]}") for row in csv.reader(file)]
        except (ValueError, IndexError, csv.Error) as error:
            raise DownloadError(f"{path} is not a file of AG News: {error}. Delete it and load again.") from error
    labels, groups = np.array([topics.index(row.label) for row in rows]), groups_of(rows)
    new = ~np.isin(groups[first:], groups[:first])  # a text that is in the training part is no test
    test = draw(labels, groups, first + np.flatnonzero(new), n_test, seed=seed)
    train, val, _ = held_out_first(labels[:first], groups[:first], n_train, n_val, 0, seed=seed)
    parts = [split_of(rows, labels, groups, part) for part in (train, val, test)]
    return credited("agnews", parts, topics, "none")
