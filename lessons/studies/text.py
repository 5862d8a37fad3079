"""Strategies on text: number of sentences × strategy × seed, on the embedded `triage` with MiniLM.

    python lessons/studies/text.py           # every cell that text.json does not hold yet: an hour on one core

Validation (120 sentences) chooses the epoch; the test split (200) is read once. Resumable at any cell.
"""

from __future__ import annotations

import sys
from pathlib import Path

from record import Cell, fill
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import transferlib as tl
from transferlib.strategies import Strategy

RESULT = Path(__file__).with_name("text.json")
SIZES = (16, 40, 80, 160, 320)
SEEDS = range(3)
BAG = "bag of words"


def recipes(n: int) -> dict[str, Strategy]:
    """One recipe a strategy for every size; few sentences get more epochs."""
    epochs = min(15, max(6, 800 // n))
    made = (
        tl.feature_extraction(60),
        tl.progressive_unfreezing(epochs, 1e-3),
        tl.lp_ft(epochs, 1e-3),
        tl.fine_tuning(epochs, 1e-3),
        tl.from_scratch(2 * epochs, 3e-4),
    )
    return {strategy.name: strategy for strategy in made}


def bag_of_words(splits: tl.Splits) -> float:
    """Which words occur, weighted by how rare they are, and logistic regression: no network at all."""
    pipe = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=10, max_iter=1000),
    )
    pipe.fit(splits.train.texts, splits.train.labels.numpy())
    return float(pipe.score(splits.test.texts, splits.test.labels.numpy()))


def measure(n: int, strategy: str, seed: int) -> Cell:
    """One cell."""
    splits = tl.load_data("triage", n, seed=seed)
    cell: Cell = {"n": n, "strategy": strategy, "seed": seed}
    if strategy == BAG:
        return {**cell, "accuracy": bag_of_words(splits)}
    recipe = recipes(n)[strategy]
    model = tl.TransferModel(
        "minilm", len(splits.classes), pretrained=recipe.pretrained, seed=seed
    )
    run = tl.fit(model, splits, recipe, seed=seed)
    return {
        **cell,
        "accuracy": tl.evaluate(model, splits.test).accuracy,
        "val_accuracy": run.best.val_accuracy,
        "best_epoch": run.best_epoch,
        "seconds": round(run.seconds, 2),
    }


def main() -> None:
    tl.keep_freed_memory()
    wanted = [
        (n, strategy, seed)
        for n in SIZES
        for seed in SEEDS
        for strategy in (BAG, *recipes(n))
        # A blank encoder learns nothing from few sentences; one size shows it.
        if strategy != "from scratch" or n == 160
    ]
    command = "python lessons/studies/text.py"
    fill(RESULT, command, ("n", "strategy", "seed"), wanted, measure)


if __name__ == "__main__":
    sys.exit(main())
