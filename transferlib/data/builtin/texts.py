"""Sets of short texts: the embedded one, and AG News."""

from __future__ import annotations

import csv
from importlib.resources import files

import numpy as np

from transferlib.data.own.texts import Tabs, drawn, groups_of, named_rows, split_of
from transferlib.data.splits import Splits, held_out_first, split_by_group
from transferlib.errors import DownloadError
from transferlib.files.download import cache_dir, fetch

AGNEWS_URL = "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv"
AGNEWS = {
    "train.csv": "76a0a2d2f92b286371fe4d4044640910a04a803fdd2538e0f3f29a5c6f6b672e",
    "test.csv": "521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699",
}
AGNEWS_CLASSES = ("World", "Sports", "Business", "Sci/Tech")


def triage(n_train: int | None = 160, *, seed: int = 0, n_val: int = 120, n_test: int = 200) -> Splits:
    """640 sentences in which somebody describes a complaint, and the medical specialty it belongs to.

    Eight specialties, 80 sentences each, written for this course; no patients. n_train: None
    takes all that val and test leave. Val and test do not depend on it. Raises DataError when
    more is asked for than there is.

    >>> splits = triage(80)
    >>> splits, len(splits.train.texts)
    (Splits('triage', 8 classes, texts: train 80, val 120, test 200), 80)
    """
    with (files("transferlib.data.builtin") / "triage.tsv").open(encoding="utf-8") as file:
        rows = list(named_rows(file, "specialty", "sentence", "triage.tsv", dialect=Tabs))
    credit = "Written for this course by the model that wrote it; no patients. Not for diagnosis. CC BY 4.0."
    return drawn(rows, "triage", n_train, n_val, n_test, seed, credit)


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
    groups = groups_of(rows)
    new = ~np.isin(groups[first:], groups[:first])  # a text that is in the training part is no test
    test = first + np.flatnonzero(new)
    if n_test is not None:
        test = test[split_by_group(labels[test], groups[test], (n_test,), seed=seed)[0]]
    known = np.arange(first)
    chosen = (*held_out_first(labels[known], groups[known], n_train, n_val, 0, seed=seed)[:2], test)
    train, val, test_part = (split_of(rows, labels, groups, part) for part in chosen)
    credit = "AG News, X. Zhang, J. Zhao and Y. LeCun 2015, from A. Gulli's corpus: for research, not for commerce."
    return Splits(train, val, test_part, AGNEWS_CLASSES, "agnews", augment="none", credits=credit)
