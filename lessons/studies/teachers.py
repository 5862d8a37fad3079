"""What a source is worth that no label made: lesson 13's self-taught network against other teachers and none.

    python lessons/studies/teachers.py  # every cell that teachers.json does not hold yet: three hours on one core

Sources for synthetic lesions: none (a blank network); none, but its BatchNorm averages are those of lesions; lesions
without their labels, taught by the cells of lesson 13; as many pictures of sixteen lesions only; as many steps on as
many patches of sixteen photographs, in colour, without their labels and with them, and grey with them; ImageNet. All
but the last are the same small network, which sees the lesions as they are kept, at 64 pixels; the last is the course's
larger one, at 128. Three ways to use each: a probe (standardised features; validation chooses its freedom), the map's
recipe of fine-tuning, and its recipe from scratch, begun with what the source left. Two sources are used in a fourth
way, lesson 3's long training from scratch, at 64 or 128 pixels. Validation (64 images) chooses size and epoch, the test
split (400) is read once.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from map import at_the_best_size, long_trained
from record import Cell, fill, taught
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import transferlib as tl
from transferlib.advice.places import recipes

RESULT = Path(__file__).with_name("teachers.json")
NONE, COUNTED, IMAGENET = "none", "none, averages counted", "ImageNet"
FEW = "sixteen lesions without labels"
CELLAR = "lesions without labels"
POOLS = {
    CELLAR: ("lesions", {}),
    FEW: ("lesions", {"photos_per_lesion": 250, "n_val": 1001, "n_test": 1001}),
    "photographs without labels": ("photos", {"color": True}),
    "photographs with labels": ("photos", {"color": True}),
    "grey ones with labels": ("photos", {}),
}
SOURCES = (NONE, COUNTED, *POOLS, IMAGENET)
LONG = "long-trained"
WAYS = ("probe", "fine-tuning", "full rate", LONG)
SIZES, SEEDS, STEPS, POOL = (32, 128, 512), range(5), 800, 4000
LESSON = taught("13", "look", "twins", "pretrain")


@lru_cache(maxsize=4)
def source(name: str, seed: int) -> dict[str, torch.Tensor]:
    """The state of the small network's stages after its lessons."""
    blank = tl.TransferModel("small_cnn", 2, pretrained=False, seed=seed)
    if name == NONE:
        return blank.stages.state_dict()
    data, options = POOLS.get(name, ("lesions", {}))
    options = {"image_size": 64, "n_val": 16, "n_test": 16, **options}
    pool = tl.load_data(data, POOL, seed=1000 + seed, **options).train
    if name == COUNTED:
        with torch.no_grad():
            for images in pool.images.split(128):
                blank.stages.train()(blank.preprocess.apply(images))
        return blank.stages.state_dict()
    labels = pool.labels if "with labels" in name else None
    model, _ = LESSON.pretrain(pool.images, STEPS, seed, labels)
    return model.stages.state_dict()


def probe(name: str, splits: tl.Splits, seed: int) -> float:
    """Test accuracy of the probe whose freedom validation prefers."""
    if name == IMAGENET:
        model = tl.TransferModel("efficientnet_lite0", input_size=128)
    else:
        model = tl.TransferModel("small_cnn", pretrained=False)
        model.stages.load_state_dict(source(name, seed))
    parts = (splits.train, splits.val, splits.test)
    features = [tl.extract_features(model, part.images).numpy() for part in parts]
    train, val, test = map(StandardScaler().fit(features[0]).transform, features)
    probes = [
        tl.linear_probe(train, splits.train.labels, freedom=freedom)
        for freedom in (0.001, 0.01, 0.1, 1)
    ]
    best = max(probes, key=lambda fitted: fitted.score(val, splits.val.labels))
    return float(best.score(test, splits.test.labels))


def measure(name: str, n: int, way: str, seed: int) -> Cell:
    """One cell."""
    splits = tl.load_data("lesions", n, image_size=64, n_val=64, n_test=400, seed=seed)
    cell: Cell = {"source": name, "n": n, "way": way, "seed": seed}
    if way == "probe":
        return {**cell, "accuracy": probe(name, splits, seed)}
    usual = recipes(n, augment="none")
    scratch = long_trained(n) if way == LONG else usual["from scratch"]
    recipe = usual.get(way) or replace(scratch, pretrained=True, name=way)
    if name == IMAGENET:
        backbone, sizes, stages = "efficientnet_lite0", (128,), None
    else:
        backbone, stages = "small_cnn", source(name, seed)
        sizes = (64, 128) if way == LONG else (64,)
    model, _, about = at_the_best_size(splits, backbone, recipe, seed, sizes, stages)
    return {**cell, **about, "accuracy": tl.evaluate(model, splits.test).accuracy}


def wanted() -> list[tuple[str, int, str, int]]:
    """Every cell."""
    return [
        (name, n, way, seed)
        for seed in SEEDS
        for name in SOURCES
        for way in WAYS
        for n in SIZES
        if name not in (NONE, COUNTED)
        or way != "fine-tuning"  # nothing to be gentle with
        if name != COUNTED or way == "probe"  # training counts them anew
        if name != FEW or way == "probe"  # asked only what variety is worth to it
        if name != IMAGENET or way != "full rate"  # the map's recipe is a tenth
        if way != LONG or name in (NONE, CELLAR)  # hours: the opponent, and its rival
    ]


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    keys = ("source", "n", "way", "seed")
    fill(RESULT, "python lessons/studies/teachers.py", keys, wanted(), measure)


if __name__ == "__main__":
    main()
