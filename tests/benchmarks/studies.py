"""Three studies of transferlib alone: what fixed views cost in accuracy, what the allocator gives each strategy, and
how time and memory grow with the number of images.

python tests/benchmarks/studies.py views photos --seed 0 --real-data FOLDER     # one JSON line
python tests/benchmarks/studies.py allocator fine-tuning --size 224 --keep-freed-memory
python tests/benchmarks/studies.py scale 10000
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from prepare import CACHE, folder

from transferlib.engine.memory import keep_freed_memory

VIEWS: tuple[int | None, ...] = (1, 2, 4, 8, None)
SETS: dict[str, dict[str, Any]] = {
    "photos": {"n_train": 120, "image_size": 96},
    "lesions": {"n_train": 120, "image_size": 96},
    "hymenoptera": {"n_train": 120, "image_size": 128},  # fewer than there are, so that seeds draw different ones
    # Mirrored digits are no digits, but here only fixed and fresh views are compared, and both are mirrored.
    "digits": {"n_train": 120, "image_size": 64},
}
STRATEGIES: dict[str, tuple[str, dict[str, Any]]] = {
    "feature extraction": ("feature_extraction", {}),
    "feature extraction, 4 views": ("feature_extraction", {"views": 4}),
    "fine-tuning": ("fine_tuning", {"epochs": 2}),
    "LP-FT": ("lp_ft", {"epochs": 2}),
    "progressive unfreezing": ("progressive_unfreezing", {"epochs": 4}),
    "from scratch": ("from_scratch", {"epochs": 2}),
}


def views(name: str, seed: int, real_data: Path | None, epochs: int) -> list[dict[str, Any]]:
    """Test accuracy of the probe with K fixed views, and with fresh ones every epoch (K = None)."""
    import torch

    import transferlib as tl

    where = {"path": folder(name, real_data), "on_bad": "skip"} if name == "hymenoptera" else {}
    splits = tl.load_data("folder" if where else name, seed=seed, **SETS[name], **where)
    kind = "flip" if splits.augment == "none" else splits.augment
    model = tl.TransferModel("efficientnet_lite0", len(splits.classes), seed=seed).freeze_to(5)
    head = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    with torch.no_grad():  # the body is frozen, so all settings share these
        test = torch.cat([model.features(images) for images in splits.test.images.split(64)])
    rows = []
    for count in VIEWS:
        model.head.load_state_dict(head)
        run = tl.fit(model, splits, tl.feature_extraction(epochs, views=count, augment=kind), seed=seed)
        with torch.no_grad():
            accuracy = (model.head(test).argmax(1) == splits.test.labels).double().mean().item()
        rows.append({"data": splits.name, "seed": seed, "views": count, "accuracy": accuracy, "seconds": run.seconds})
    return rows


def allocator(strategy: str, size: int, images: int, repeats: int) -> dict[str, Any]:
    """Seconds of `fit` on embedded photographs: the first time in this process, and the median of all times."""
    import transferlib as tl

    splits = tl.load_data("photos", n_train=images, n_val=16, n_test=16, image_size=size)
    make, options = STRATEGIES[strategy]
    taken = []
    for _ in range(repeats):
        model = tl.TransferModel("efficientnet_lite0", len(splits.classes))
        before = time.perf_counter()
        tl.fit(model, splits, getattr(tl, make)(batch_size=32, **options))
        taken.append(time.perf_counter() - before)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    facts = {"strategy": strategy, "size": size, "images": images, "repeats": repeats}
    return {**facts, "first": taken[0], "seconds": statistics.median(taken), "peak_mb": peak}


def scale(images: int, size: int) -> dict[str, Any]:
    """Seconds, and memory that no file stands behind, of a probe of so many simulated images in a memory-mapped file.

    The file is sparse, so that a million images need no disk; reading them costs no disk time either.
    """
    import torch

    import transferlib as tl
    from transferlib import features as feed

    feed.CACHE_LIMIT = 64 * 1024**2
    model, labels = tl.TransferModel("efficientnet_lite0", 2), torch.arange(images) % 2
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as place:
        file = Path(place, "images.bin")
        with file.open("wb") as opened:
            opened.truncate(images * 3 * size**2)
        mapped = torch.from_file(str(file), shared=True, size=images * 3 * size**2, dtype=torch.uint8)
        train = tl.Split(mapped.view(images, 3, size, size), labels, torch.arange(images))
        black, twos = torch.zeros(100, 3, size, size, dtype=torch.uint8), torch.arange(100) % 2
        val, test = (tl.Split(black, twos, torch.arange(100) + first) for first in (images, images + 100))
        splits = tl.Splits(train, val, test, ("even", "odd"), "simulated", augment="none", synthetic=True)
        strategy = tl.feature_extraction(2, batch_size=256)
        with _Anonymous() as memory:
            run = tl.fit(model, splits, strategy, cache=Path(place, "features"), half_features=True)
        kept = sum(path.stat().st_size for path in Path(place, "features").glob("*.bin"))
    return {
        "images": images,
        "size": size,
        "seconds": run.seconds,
        "epoch": run.history[-1].seconds,  # the first one had the features to make
        "anonymous_mb": memory.most,
        "file_mb": kept / 1e6,
    }


class _Anonymous:
    """The most memory, in MB, beyond that at its start which the system could not take from files again (Linux)."""

    def __enter__(self) -> _Anonymous:
        self.start, self.most, self.over = self._now(), 0.0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(0.05):
            self.most = max(self.most, self._now() - self.start)

    @staticmethod
    def _now() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=("views", "allocator", "scale"))
    parser.add_argument("what", help=f"views: {', '.join(SETS)}; allocator: {', '.join(STRATEGIES)}; scale: a number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real-data", type=Path)
    parser.add_argument("--epochs", type=int, default=20, help="of the probe, for views")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep-freed-memory", action="store_true")
    args = parser.parse_args()
    kept = keep_freed_memory() if args.keep_freed_memory else False
    if args.study == "views":
        print(json.dumps({"rows": views(args.what, args.seed, args.real_data, args.epochs)}))
    elif args.study == "scale":
        print(json.dumps({**scale(int(args.what), args.size), "kept": kept}))
    else:
        print(json.dumps({**allocator(args.what, args.size, args.images, args.repeats), "kept": kept}))


if __name__ == "__main__":
    main()
