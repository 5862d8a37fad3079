"""Lighter and safer: what of a network moves, how far back one goes, what a small one learns from it. Five seeds.

    python lessons/studies/lighter.py  # every cell that lighter.json does not hold yet: a quarter of an hour on one core

`digits` (128 images in total, seen at 128): from a fitted probe, the head goes on alone, or BatchNorm's scales with it,
or everything. `triage` (80 sentences in total): from a head made of one sentence a class, LoRA or everything. Their
rates were chosen on the validation sentences of another draw, which are in the record too. Tests: the test split,
and the same sentences typed in haste. `photos`: a small blank network learns 120 steps from 128 names, or from what a
probe says of 640 patches that nobody named: its probabilities, or its first answers alone.
"""

from __future__ import annotations

import copy
import functools
import json
import random
import time
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from record import Cell, fill
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn.functional import (
    cross_entropy,
    kl_div,
    log_softmax,
    normalize,
    one_hot,
)

import transferlib as tl

RESULT = Path(__file__).with_name("lighter.json")
SEEDS, OTHER = range(5), 100
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
RATES = {"LoRA": (5e-4, 2e-3, 8e-3), "everything": (5e-5, 2e-4)}
DOORS = {
    "cardiology": "my heart, my pulse or my blood pressure",
    "dermatology": "my skin, my hair or my nails",
    "ear_nose_throat": "my ears, my nose or my throat",
    "gastroenterology": "my stomach, my bowels or my digestion",
    "neurology": "my brain, my nerves or my memory",
    "ophthalmology": "my eyes or my sight",
    "orthopaedics": "my bones, my joints or my back",
    "psychiatry": "my mood, my fears or my thoughts",
}


def train(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    rates: list,
    epochs: int,
    seed: int,
) -> None:
    """Train some parameters in place. rates: pairs (learning rate, parameters)."""
    network.requires_grad_(False).eval()
    groups = [{"lr": rate, "params": list(p)} for rate, p in rates]
    for group in groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    steps = epochs * -(-len(labels) // 16)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=generator).split(16):
            optimizer.zero_grad()
            cross_entropy(network(inputs[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def accuracy(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    answers = torch.cat([network(part).argmax(1) for part in inputs.split(40)])
    return (answers == labels).float().mean().item()


def scales(network: nn.Module) -> list[nn.Parameter]:
    norms = (m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    return [p for norm in norms for p in norm.parameters()]


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
        "scales": [(3e-3, scales(body)), (1e-3, head.parameters())],
        "everything": [(2e-4, body.parameters()), (1e-3, head.parameters())],
    }[way]
    begun = time.process_time()
    if way == "head":
        train(head, seen, s.train.labels, rates, 5, seed)
    elif rates:
        pixels = model.preprocess.apply(s.train.inputs)
        train(nn.Sequential(body, head), pixels, s.train.labels, rates, 5, seed)
    took = time.process_time() - begun
    right = accuracy(model.eval(), s.test.inputs, s.test.labels)
    return {"accuracy": right, "seconds": round(took, 1)}


def in_haste(text: str, seed: int) -> str:
    """In three of ten words of four letters or more, two neighbouring inner letters change places."""
    chance, words = random.Random(f"{seed} {text}"), text.split(" ")
    for i, word in enumerate(words):
        if len(word) > 3 and chance.random() < 0.3:
            j = chance.randrange(1, len(word) - 2)
            words[i] = word[:j] + word[j + 1] + word[j] + word[j + 2 :]
    return " ".join(words)


class Cut(nn.Module):
    """Without the columns in which no sentence of a batch has a token left: the same answers, sooner."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : (x >= 0).sum(1).max()]


def tokens(model: tl.TransferModel, texts: list[str]) -> Tensor:
    return model.preprocess.apply(tl.encode(texts))


def zero_shot(classes: tuple[str, ...]) -> tuple[tl.TransferModel, nn.Sequential]:
    """MiniLM with a head of one sentence a class; 20 × cosine, the scale at which the encoder was trained."""
    model = tl.TransferModel("minilm", len(classes))
    sentences = tl.encode([f"Something is wrong with {DOORS[c]}." for c in classes])
    doors = tl.extract_features(model, sentences)
    with torch.no_grad():
        model.head.weight.copy_(20 / doors.norm(dim=1).mean() * normalize(doors))
        model.head.bias.zero_()
    return model, nn.Sequential(Cut(), *model.stages, model.head)


def with_lora(network: nn.Module, seed: int, rank: int = 4) -> list[nn.Parameter]:
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["query", "value"])
    inject_adapter_in_model(config, network)
    return [p for name, p in network.named_parameters() if "lora_" in name]


def trained(
    method: str, rate: float, s: tl.Splits, seed: int
) -> tuple[tl.TransferModel, nn.Sequential, nn.Sequential]:
    """The network before and after 15 epochs."""
    model, network = zero_shot(s.classes)
    before = copy.deepcopy(network)
    head = list(network[-1].parameters())
    body = with_lora(network, seed) if method == "LoRA" else network[:-1].parameters()
    rates = [(rate, body), (1e-3, head)]
    train(network, tokens(model, s.train.texts), s.train.labels, rates, 15, seed)
    return model, before, network


def between(before: nn.Module, after: nn.Module, alpha: float) -> nn.Module:
    mixed, other = copy.deepcopy(before), after.state_dict()
    mixed.load_state_dict(
        {
            name: t.lerp(other[name], alpha) if t.is_floating_point() else t
            for name, t in before.state_dict().items()
        }
    )
    return mixed


def rate(method: str, rate: str, seed: int) -> Cell:
    s = tl.load_data("triage", 80, seed=seed)
    model, _, after = trained(method, float(rate), s, seed)
    return {
        "val_accuracy": (
            a := accuracy(after, tokens(model, s.val.texts), s.val.labels)
        ),
        "accuracy": a,
    }


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
    hasty = [in_haste(text, seed) for text in s.test.texts]
    if method == "no training":  # opponents that move nothing of the encoder
        model, network = zero_shot(s.classes)
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
    begun = time.process_time()
    r = chosen(method)
    model, before, after = trained(method, r, s, seed)
    took = round(time.process_time() - begun, 1)
    tests = [tokens(model, texts) for texts in (s.test.texts, hasty)]
    if method == "LoRA":
        networks = [after]
    else:
        networks = [between(before, after, alpha) for alpha in ALPHAS]
    order = (tests[0] >= 0).sum(1).argsort()  # sentences of one length together
    tests, names = [test[order] for test in tests], s.test.labels[order]
    test, haste = ([accuracy(n, test, names) for n in networks] for test in tests)
    known = accuracy(after, tokens(model, s.train.texts), s.train.labels)
    return {
        "rate": f"{r:g}",
        "test": test,
        "haste": haste,
        "train_accuracy": known,
        "accuracy": test[-1],
        "seconds": took,
    }


def student(images: Tensor, targets: Tensor, epochs: int, seed: int) -> nn.Module:
    """A small network that learns to give these probabilities; it sees the pictures as they are kept."""
    model = tl.TransferModel(
        "small_cnn", targets.shape[1], pretrained=False, seed=seed
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=generator).split(32):
            optimizer.zero_grad()
            said = log_softmax(model(images[batch]), 1)
            kl_div(said, targets[batch], reduction="batchmean").backward()
            optimizer.step()
    return model.eval()


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


def photos(way: str, seed: int) -> Cell:
    s, many, teacher, opinions = classroom(seed)
    if way == "teacher":
        known = (opinions.argmax(1) == many.labels).float().mean().item()
        right = accuracy(teacher, s.test.inputs, s.test.labels)
        return {"accuracy": right, "on the unnamed": known}
    sure = functools.partial(one_hot, num_classes=len(s.classes))
    images, targets, epochs = {
        "names": (s.train.inputs, sure(s.train.labels).float(), 30),
        "opinions": (many.inputs, opinions, 6),
        "first answers": (many.inputs, sure(opinions.argmax(1)).float(), 6),
    }[way]
    learned = student(images, targets, epochs, seed)
    return {"accuracy": accuracy(learned, s.test.inputs, s.test.labels)}


def measure(what: str, way: str, r: str, seed: int) -> Cell:
    cell: Cell = {"what": what, "way": way, "rate": r, "seed": seed}
    if what == "digits":
        return cell | digits(way, seed)
    if what == "photos":
        return cell | photos(way, seed)
    if what == "rate":
        return cell | rate(way, r, seed)
    return cell | triage(way, seed) | {"rate": r}


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    wanted = [
        ("rate", way, f"{r:g}", seed)
        for seed in (OTHER,)
        for way, rates in RATES.items()
        for r in rates
    ]
    ways = (
        ("photos", "set", ("teacher", "names", "opinions", "first answers")),
        ("triage", "chosen", ("no training", "everything", "LoRA")),
        ("digits", "set", ("probe", "head", "scales", "everything")),
    )
    wanted += [
        (what, way, r, seed)
        for what, r, names in ways
        for seed in SEEDS
        for way in names
    ]
    keys = ("what", "way", "rate", "seed")
    fill(RESULT, "python lessons/studies/lighter.py", keys, wanted, measure)


if __name__ == "__main__":
    main()
