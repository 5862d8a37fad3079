"""Lighter and safer: what of a network moves, how far back one goes, what a small one learns from it. Five seeds.

    python lessons/studies/lighter.py  # every cell that lighter.json does not hold yet: half an hour on one core

`digits` (128 images in total, seen at 128): from a fitted probe, the head goes on alone, or BatchNorm's scales with it,
or everything. `triage` (80 sentences in total): from a head made of one sentence a class, LoRA and head, everything, or
the head alone. Their rates were chosen on the validation sentences of another draw, which are in the record too.
Tests: the test split, and the same sentences typed in haste. `photos`: a small blank network learns 120 steps from 128
names, or from what a probe says of 640 patches that nobody named: its probabilities, or its first answers alone. Names
and first answers again with lesson 3's training from scratch: mirrored and turned copies, several times the steps, 128
pixels, the last epoch kept; and so with a teacher who is asked again about each copy (Beyer et al. 2022).
"""

from __future__ import annotations

import copy
import functools
import json
from dataclasses import replace
from pathlib import Path

import torch
from record import Cell, fill, taught, timed
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

import transferlib as tl
from transferlib.data.transforms import augment

RESULT = Path(__file__).with_name("lighter.json")
SEEDS, OTHER = range(5), 100
NAMES = "names, long-trained"
COPIES = (
    "opinions of each copy, long-trained",
    "first answers to each copy, long-trained",
)
LONG = (NAMES, "first answers, long-trained", *COPIES)
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
RATES = {
    "LoRA": (5e-4, 2e-3, 8e-3),
    "everything": (5e-5, 2e-4),
    "head alone": (1e-3, 4e-3, 1.6e-2, 6.4e-2),
}
LESSON = taught(
    "11",
    *("train", "accuracy", "scales", "with_lora", "in_haste", "between", "student"),
    *("sure", "DOORS", "Cut", "zero_shot_start"),
)


def probed(s: tl.Splits) -> tuple[tl.TransferModel, Tensor]:
    """A pretrained network with a head fitted to its features, and these."""
    model = tl.TransferModel("efficientnet_lite0", len(s.classes), input_size=128)
    seen = tl.extract_features(model, s.train.inputs)
    fit = tl.linear_probe(seen, s.train.labels)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor(fit.coef_))
        model.head.bias.copy_(torch.tensor(fit.intercept_))
    return model, seen


def digits(way: str, seed: int) -> Cell:
    s = tl.load_data("digits", 128, image_size=64, n_val=16, n_test=200, seed=seed)
    model, seen = probed(s)
    body, head = nn.Sequential(*model.stages), model.head
    rates = {
        "probe": [],
        "head": [(1e-3, head.parameters())],
        "scales": [(3e-3, LESSON.scales(body)), (1e-3, head.parameters())],
        "everything": [(2e-4, body.parameters()), (1e-3, head.parameters())],
    }[way]

    def learn() -> None:
        if way == "head":
            LESSON.train(head, seen, s.train.labels, rates, epochs=5, seed=seed)
        elif rates:
            pixels = model.preprocess.apply(s.train.inputs)
            network = nn.Sequential(body, head)
            LESSON.train(network, pixels, s.train.labels, rates, epochs=5, seed=seed)

    _, spent = timed(learn)
    right = LESSON.accuracy(model.eval(), s.test.inputs, s.test.labels)
    return {"accuracy": right, **spent}


def tokens(model: tl.TransferModel, texts: list[str]) -> Tensor:
    return model.preprocess.apply(tl.encode(texts))


def trained(
    method: str, rate: float, s: tl.Splits, seed: int
) -> tuple[tl.TransferModel, nn.Sequential, nn.Sequential]:
    """The network before and after 15 epochs."""
    model, network = LESSON.zero_shot_start(s.classes)
    before = copy.deepcopy(network)
    head = list(network[-1].parameters())
    if method == "head alone":
        rates = [(rate, head)]
    elif method == "LoRA":
        rates = [(rate, LESSON.with_lora(network, seed=seed)), (1e-3, head)]
    else:
        rates = [(rate, network[:-1].parameters()), (1e-3, head)]
    words = tokens(model, s.train.texts)
    LESSON.train(network, words, s.train.labels, rates, epochs=15, seed=seed)
    return model, before, network


def rate(method: str, rate: str, seed: int) -> Cell:
    s = tl.load_data("triage", 80, seed=seed)
    model, _, after = trained(method, float(rate), s, seed)
    right = LESSON.accuracy(after, tokens(model, s.val.texts), s.val.labels)
    return {"val_accuracy": right, "accuracy": right}


def chosen(method: str) -> float:
    cells = [c for c in json.loads(RESULT.read_text())["cells"] if c["way"] == method]

    def score(r: float) -> float:
        return sum(
            c["val_accuracy"]
            for c in cells
            if c["what"] == "rate" and c["rate"] == f"{r:g}"
        )

    return max(RATES[method], key=score)


def triage(method: str, seed: int) -> Cell:
    s = tl.load_data("triage", 80, seed=seed)
    hasty = [LESSON.in_haste(text, seed) for text in s.test.texts]
    if method == "no training":  # opponents that move nothing of the encoder
        model, network = LESSON.zero_shot_start(s.classes)
        seen = normalize(tl.extract_features(model, s.train.inputs))
        doors = normalize(network[-1].weight.detach())
        means = torch.eye(len(doors))[s.train.labels].T @ seen + 5 * doors
        fit = tl.linear_probe(seen, s.train.labels, freedom=10)
        cell = {}
        for name, texts in (("test", s.test.texts), ("haste", hasty)):
            table = normalize(tl.extract_features(model, tl.encode(texts)))
            nearest = (table @ normalize(means).T).argmax(1)
            cell[f"means {name}"] = (nearest == s.test.labels).float().mean().item()
            cell[f"probe {name}"] = fit.score(table.numpy(), s.test.labels)
        return cell | {"accuracy": cell["probe test"]}
    r = chosen(method)
    (model, before, after), spent = timed(lambda: trained(method, r, s, seed))
    tests = [tokens(model, texts) for texts in (s.test.texts, hasty)]
    if method == "everything":
        networks = [LESSON.between(before, after, alpha) for alpha in ALPHAS]
    else:
        networks = [after]
    order = (tests[0] >= 0).sum(1).argsort()  # sentences of one length together
    tests, names = [test[order] for test in tests], s.test.labels[order]
    test, haste = (
        [LESSON.accuracy(n, test, names) for n in networks] for test in tests
    )
    known = LESSON.accuracy(after, tokens(model, s.train.texts), s.train.labels)
    return {
        "rate": f"{r:g}",
        "test": test,
        "haste": haste,
        "train_accuracy": known,
        "accuracy": test[-1],
        **spent,
    }


@functools.lru_cache(1)
def classroom(seed: int) -> tuple:
    """What teacher and students need; the names of the many are only for the teacher's own score."""
    s = tl.load_data("photos", 128, image_size=64, n_val=16, n_test=160, seed=seed)
    many = tl.load_data(
        "photos", 640, image_size=64, n_val=16, n_test=16, seed=seed + 100
    ).train
    teacher, _ = probed(s)
    with torch.no_grad():
        opinions = teacher.head(tl.extract_features(teacher, many.inputs)).softmax(1)
    return s, many, teacher, opinions


def asked_again(teacher: tl.TransferModel, kind: str, soft: bool) -> dict[str, object]:
    """Options of a strategy: the student sees a changed copy, and learns what the teacher says of that same copy."""
    copies: list[Tensor] = []

    def changed(image: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        copies.append(augment(image[None], kind, generator)[0])
        return copies[-1]

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if logits.requires_grad:  # not in validation, which has names
            said = tl.predict(teacher, torch.stack(copies))
            copies.clear()
            labels = said if soft else said.argmax(1)
        return cross_entropy(logits, labels)

    return {"augment": changed, "loss": loss}


def photos(way: str, seed: int) -> Cell:
    s, many, teacher, opinions = classroom(seed)
    if way == "teacher":
        known = (opinions.argmax(1) == many.labels).float().mean().item()
        right = LESSON.accuracy(teacher, s.test.inputs, s.test.labels)
        return {"accuracy": right, "on the unnamed": known}
    if way in LONG:
        train = s.train if way == NAMES else replace(many, labels=opinions.argmax(1))
        model = tl.TransferModel(
            "small_cnn", 16, pretrained=False, seed=seed, input_size=128
        )
        asked = {}
        if way in COPIES:
            asked = asked_again(teacher, s.augment, soft=way == COPIES[0])
        # as many steps for few images as for many
        epochs = 120 * 128 // len(train)
        recipe = tl.from_scratch(epochs, monitor="last", **asked)
        tl.fit(model, replace(s, train=train), recipe, seed=seed)
        return {"accuracy": tl.evaluate(model, s.test).accuracy}
    images, targets, epochs = {
        "names": (s.train.inputs, LESSON.sure(s.train.labels), 30),
        "opinions": (many.inputs, opinions, 6),
        "first answers": (many.inputs, LESSON.sure(opinions.argmax(1)), 6),
    }[way]
    learned = LESSON.student(images, targets, epochs, seed)
    return {"accuracy": LESSON.accuracy(learned, s.test.inputs, s.test.labels)}


def measure(what: str, way: str, r: str, seed: int) -> Cell:
    cell: Cell = {"what": what, "way": way, "rate": r, "seed": seed}
    if what == "digits":
        return cell | digits(way, seed)
    if what == "photos":
        return cell | photos(way, seed)
    if what == "rate":
        return cell | rate(way, r, seed)
    return cell | triage(way, seed) | {"rate": r}


def wanted() -> list[tuple[str, str, str, int]]:
    """Every cell."""
    cells = [
        ("rate", way, f"{r:g}", seed)
        for seed in (OTHER,)
        for way, rates in RATES.items()
        for r in rates
    ]
    ways = (
        ("photos", "set", ("teacher", "names", "opinions", "first answers", *LONG)),
        ("triage", "chosen", ("no training", "everything", "LoRA", "head alone")),
        ("digits", "set", ("probe", "head", "scales", "everything")),
    )
    return cells + [
        (what, way, r, seed)
        for what, r, names in ways
        for seed in SEEDS
        for way in names
    ]


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    keys = ("what", "way", "rate", "seed")
    fill(RESULT, "python lessons/studies/lighter.py", keys, wanted(), measure)


if __name__ == "__main__":
    main()
