"""The measured map: similarity of the data × number of images × strategy × seed.

    python lessons/studies/map.py            # every cell that map.json does not hold yet: about ten hours of one core
    python lessons/studies/map.py --most 64  # only up to 64 training images
    python lessons/studies/map.py --folder isic9=PHOTOS  # also on photographs of your own, under that name
    python lessons/studies/map.py --seen 64  # into map-64.json: what the network sees when nobody enlarges

Four data sets, always at hand, at a rising distance from the source: photographs; the same photographs with their
blocks of 8 pixels in one fixed random order (nothing but the arrangement is lost, and no class becomes ambiguous);
synthetic lesions; digits. Every cell is written as soon as it is measured, so the study can be stopped and started at
will. The recorded map also holds two real sets, given as folders: ants and bees, and skin lesions (isic9). Images are
kept at 64 pixels; pretrained networks see them at 128, and each run from scratch takes the better of both sizes on the
validation images. Nobody augments, so whatever is frozen is computed once; validation (64 images) chooses the epoch;
the test split (400, of a folder what it has) is read once.

map.json, the log, holds every run; the map that the package reads, transferlib/advice/map.json, is distilled from it.
map-64.json holds the map of the first edition, which let the network see 64 pixels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from record import Cell, fill, taught, timed
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn.functional import avg_pool2d

import transferlib as tl
from transferlib.advice.places import MAP_SIZE, recipes
from transferlib.advice.similarity import SEEN, similarity
from transferlib.files.whole import write_whole

RESULT = Path(__file__).with_name("map.json")
MAP = Path(tl.__file__).with_name("advice") / "map.json"
LEAST = 3  # seeds that a place needs to be on the map
SETS = ("photos", "photos, blocks of 8", "lesions", "digits")
SIZES = (32, 128, 512, 64, 256, 16)  # in this order
SEEDS = range(5)
# Where something simpler wins: the same network without its source, trained and frozen.
BLANK_TWIN = "from scratch, the large network"
BLANK_FROZEN = "feature extraction, the blank network"
TWINS = (BLANK_TWIN, BLANK_FROZEN)
LONG_TRAINED = "from scratch, long-trained"
# The verdict on progressive unfreezing hangs on its schedule, the one on fine-tuning on its epochs: `variants`.
VARIANT_SETS, VARIANT_SIZES = ("photos", "lesions", "isic9"), (32, 128)
LONG_TRAINED_SETS = ("photos", "lesions", "digits", "isic9")
N_VAL, N_TEST = 64, 400
scramble = taught("08", "scramble").scramble


def long_trained(n: int) -> tl.Strategy:
    """Augmented, and with several times the epochs: the opponent of lesson 3."""
    return tl.from_scratch(min(120, max(60, 16_000 // n)))


def variants(n: int) -> dict[str, tl.Strategy]:
    """Two strategies of the map otherwise: each phase with a schedule of its own; half, and three times the epochs."""
    usual = recipes(n, augment="none")
    thawing, tuning = usual["progressive unfreezing"], usual["fine-tuning"]
    return {
        f"{thawing.name}, restarts": replace(thawing, schedule="restarts"),
        f"{tuning.name}, half as long": tl.fine_tuning(
            max(1, tuning.epochs // 2), augment="none"
        ),
        f"{tuning.name}, three times as long": tl.fine_tuning(
            3 * tuning.epochs, augment="none"
        ),
    }


@lru_cache(maxsize=2)
def load(
    name: str, n: int, seed: int, path: str | None = None, image_size: int = MAP_SIZE
) -> tl.Splits:
    """One of the four sets, or a folder."""
    common = {"image_size": image_size, "n_val": N_VAL, "seed": seed}
    if path:
        return tl.load_data("folder", n, path=path, on_bad="skip", **common)
    source, _, block = name.partition(", blocks of ")
    splits = tl.load_data(source, n, n_test=N_TEST, **common)
    if block:
        parts = {p: getattr(splits, p) for p in ("train", "val", "test")}
        parts = {
            p: replace(split, inputs=scramble(split.images, int(block)))
            for p, split in parts.items()
        }
        splits = replace(splits, name=name, **parts)
    return splits


def pixels(splits: tl.Splits) -> float:
    """Logistic regression on pixels, 16 × 16: the opponent that uses no network."""
    flat = [
        avg_pool2d(s.images / 255, MAP_SIZE // 16).flatten(1).numpy()
        for s in (splits.train, splits.test)
    ]
    fit = LogisticRegression(C=0.1, max_iter=1000).fit(
        flat[0], splits.train.labels.numpy()
    )
    return float(fit.score(flat[1], splits.test.labels.numpy()))


def at_the_best_size(
    splits: tl.Splits,
    backbone: str,
    recipe: tl.Strategy,
    seed: int,
    sizes: Sequence[int],
    stages: dict[str, Tensor] | None = None,
) -> tuple[tl.TransferModel, tl.Run, Cell]:
    """Train at each size at which the network may see the images, and keep what does best on validation.

    stages: with what they begin, where it is neither random nor what the backbone learned.
    """
    tried = []
    for size in sizes:
        model = tl.TransferModel(
            backbone,
            len(splits.classes),
            pretrained=recipe.pretrained and stages is None,
            seed=seed,
            input_size=size,
        )
        if stages is not None:
            model.stages.load_state_dict(stages)
        run, spent = timed(lambda model=model: tl.fit(model, splits, recipe, seed=seed))
        tried.append((model, run, {"seen": size, **spent}))
    return max(tried, key=lambda t: (t[1].best.val_accuracy, -t[1].best.val_loss))


def measure(
    name: str,
    n: int,
    strategy: str,
    seed: int,
    path: str | None,
    sizes: Sequence[int],
    kept: int = MAP_SIZE,
) -> Cell:
    """One cell. Of several sizes at which the network sees the images, validation chooses."""
    splits = load(name, n, seed, path, kept)
    cell: Cell = {
        "set": name,
        "n": n,
        "strategy": strategy,
        "seed": seed,
        "classes": len(splits.classes),
    }
    if strategy == "pixels":
        return {**cell, "accuracy": pixels(splits)}
    if strategy == "similarity":
        reader = tl.TransferModel("efficientnet_lite0", input_size=sizes[0])
        found = asdict(similarity(splits.train, len(splits.classes), reader))
        return {
            **cell,
            **{key: round(found[key], 4) for key in ("features", "pixels", "shift")},
        }
    usual = recipes(n, augment="none") | variants(n)
    if strategy == LONG_TRAINED:
        recipe = long_trained(n)
    elif strategy == BLANK_TWIN:
        recipe = usual["from scratch"]
    elif strategy == BLANK_FROZEN:
        recipe = replace(usual["feature extraction"], pretrained=False)
    else:
        recipe = usual[strategy]
    large = recipe.pretrained or strategy in TWINS
    backbone = "efficientnet_lite0" if large else "small_cnn"
    model, run, about = at_the_best_size(splits, backbone, recipe, seed, sizes)
    scores = tl.evaluate(model, splits.test)
    return {
        **cell,
        **about,
        "accuracy": scores.accuracy,
        "balanced_accuracy": scores.balanced_accuracy,
        "val_accuracy": run.best.val_accuracy,
        "best_epoch": run.best_epoch,
        "kept_phase": run.best.phase,
        "epochs": len(run.history),
    }


def distil(told: dict) -> dict:
    """The places of a log, on the seeds that all its strategies have: a mean similarity, and accuracies by seed."""
    found: dict[tuple[str, int], dict[str, dict[int, Cell]]] = {}
    for cell in told["cells"]:
        cells = found.setdefault((cell["set"], cell["n"]), {})
        cells.setdefault(cell["strategy"], {})[cell["seed"]] = cell
    names, places = recipes(1), []
    for (data, n), cells in found.items():
        wanted = ("similarity", *names)
        seeds = sorted(set.intersection(*(set(cells.get(name, {})) for name in wanted)))
        if len(seeds) < LEAST:
            continue
        rows = [cells["similarity"][seed] for seed in seeds]
        means = {
            key: float(np.mean([row[key] for row in rows]))
            for key in ("features", "pixels", "shift")
        }
        about = {"images": n, "classes": rows[0]["classes"], **means}
        accuracies = {
            name: [cells[name][seed]["accuracy"] for seed in seeds] for name in names
        }
        places.append({"data": data, "similarity": about, "accuracies": accuracies})
    return {
        "command": told["command"],
        "measured": told["measured"][-1],
        "places": places,
    }


def add_folder(parser: argparse.ArgumentParser) -> None:
    """The option of a study that can also measure photographs of one's own: pairs of a name and a path."""
    parser.add_argument(
        "--folder",
        action="append",
        default=[],
        type=lambda pair: pair.split("=", 1),
        metavar="NAME=PATH",
        help="also a folder with one sub-folder a class; may be repeated",
    )


def or_left_out(measure: Callable[..., Cell], folders: dict[str, str]) -> Callable:
    """The same, but None, and a line, for a cell for which a folder has too few images."""

    def measured(name: str, *key: object) -> Cell | None:
        try:
            return measure(name, *key)
        except tl.DataError as error:
            if name not in folders:
                raise
            print(name, *key, f"left out: {error}", flush=True)
            return None

    return measured


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--most",
        type=int,
        default=max(SIZES),
        help="training images of the largest cells",
    )
    add_folder(parser)
    parser.add_argument("--strategy", help="only this one")
    parser.add_argument(
        "--seen",
        type=int,
        default=SEEN,
        metavar="PIXELS",
        help="side at which pretrained networks see the images (%(default)s)",
    )
    args = parser.parse_args()
    folders = dict(args.folder)
    tl.keep_freed_memory()
    threadpool_limits(1, user_api="blas")
    extra = (*TWINS, LONG_TRAINED, *variants(1))
    wanted = [
        (name, n, strategy, seed)
        for n in SIZES
        if n <= args.most
        for seed in SEEDS
        for name in (*SETS, *folders)
        for strategy in ("similarity", *recipes(n), "pixels", *extra)
        if args.strategy in (None, strategy)
        if strategy not in extra or seed < 3 or strategy in TWINS
        if strategy not in TWINS or (name == "digits" and n in VARIANT_SIZES)
        if strategy != LONG_TRAINED or name in LONG_TRAINED_SETS
        if strategy not in variants(n) or (name in VARIANT_SETS and n in VARIANT_SIZES)
    ]
    wanted.sort(key=lambda cell: (SIZES.index(cell[1]), cell[2] in extra))

    def measured(name: str, n: int, strategy: str, seed: int) -> Cell:
        sizes = {args.seen}
        if strategy.startswith("from scratch"):
            sizes |= {MAP_SIZE}
        return measure(name, n, strategy, seed, folders.get(name), sorted(sizes))

    keys, command = ("set", "n", "strategy", "seed"), "python lessons/studies/map.py"
    log = RESULT
    if args.seen != SEEN:
        log = RESULT.with_stem(f"map-{args.seen}")
        command += f" --seen {args.seen}"
    fill(log, command, keys, wanted, or_left_out(measured, folders))
    if log == RESULT:
        distilled = distil(json.loads(log.read_text()))
        write_whole(MAP, f"{json.dumps(distilled, indent=1)}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
