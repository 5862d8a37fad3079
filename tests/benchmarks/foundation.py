"""Figures of the foundation, as ratios measured in one run.

    python tests/benchmarks/foundation.py              # generator and feature extraction
    python tests/benchmarks/foundation.py REAL_DATA    # also accuracy on real folders: hymenoptera, isic9

Prints one JSON object.
"""

import argparse
import json
import platform
import statistics
import time
import warnings
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

import transferlib as tl
from transferlib.engine.memory import batched


def seconds(action, repeats=5):
    """The median time of `action`, after one run that does not count."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def generator():
    """Images a second of the synthetic dermatoscope at 96 px."""
    count = 300
    return count / seconds(lambda: tl.load_data("lesions", n_train=200, n_val=50, n_test=50, image_size=96), repeats=3)


def feature_extraction(epochs=20):
    """20 epochs of the head: cached, with the body run every epoch, and one bare forward pass."""
    splits = tl.load_data("photos", n_train=160, image_size=96)
    images = torch.cat([splits.train.images, splits.val.images])
    model = tl.TransferModel("efficientnet_lite0", len(splits.classes)).freeze_to(5).eval()

    def plain():
        optimizer = torch.optim.AdamW(model.head.parameters(), lr=3e-3)
        for _ in range(epochs):
            for index in torch.randperm(len(splits.train)).split(32):
                loss = cross_entropy(model(splits.train.images[index]), splits.train.labels[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            batched(model, splits.val.images)

    bare = seconds(lambda: batched(model.features, images))
    cached = seconds(lambda: tl.fit(model, splits, tl.feature_extraction(epochs)))
    return {"bare_forward_s": bare, "cached_s": cached, "cached_over_bare": cached / bare, "plain_s": seconds(plain, 1)}


def real_folder(path, image_size, sizes, epochs):
    """Test accuracy of three seeds, probe and fine-tuning, on a folder."""
    warnings.simplefilter("ignore")
    rows = []
    for n_train in sizes:
        for strategy in (tl.feature_extraction(20), tl.fine_tuning(epochs), tl.lp_ft(epochs)):
            scores = []
            for seed in range(3):
                splits = tl.load_data(
                    "folder", n_train=n_train, path=path, image_size=image_size, seed=seed, on_bad="skip"
                )
                model = tl.TransferModel("efficientnet_lite0", len(splits.classes), seed=seed)
                run = tl.fit(model, splits, strategy, seed=seed)
                scores.append((tl.evaluate(model, splits.test).accuracy, run.seconds))
            accuracies, times = zip(*scores, strict=True)
            rows.append(
                {
                    "folder": path.name,
                    "n_train": len(splits.train),
                    "strategy": strategy.name,
                    "accuracy": accuracies,
                    "mean": statistics.mean(accuracies),
                    "sd": statistics.stdev(accuracies),
                    "seconds": statistics.mean(times),
                }
            )
            print(rows[-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real_data", nargs="?", type=Path)
    parser.add_argument("--epochs", type=int, default=8, help="of fine-tuning on the real folders")
    args = parser.parse_args()
    tl.keep_freed_memory()
    facts = {"machine": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    facts["lesions_images_per_second"] = generator()
    facts["feature_extraction"] = feature_extraction()
    if args.real_data:
        facts["real"] = real_folder(args.real_data / "hymenoptera" / "hymenoptera_data", 128, (50, None), args.epochs)
        facts["real"] += real_folder(args.real_data / "isic9" / "images", 96, (50, None), args.epochs)
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
