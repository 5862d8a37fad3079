"""One measurement in one process: trains one peer once, or times one physical limit, and prints one JSON line.

    python tests/benchmarks/peers.py sklearn --data _build/bench/photos --size 96 --keep-freed-memory

The clock starts when everything is imported and runs until the test images are scored: decoding, building the
network, training and validation are inside. Each peer does what its own documentation does; a comment says where
a setting differs. All read the same JPEG files, load the same weights and use batches of 32.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transferlib.engine.memory import keep_freed_memory

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "_build" / "bench" / "tf_efficientnet_lite0.safetensors"
ARCHITECTURE = "tf_efficientnet_lite0"
BATCH = 32
# The weights want (pixel - 127) / 128; timm's own configuration for them is this, and the peers use it.
MEAN = STD = (0.5, 0.5, 0.5)


@dataclass
class Job:
    """What to measure, the clock, and what was found."""

    data: Path
    size: int
    epochs: int
    seed: int
    workers: int
    facts: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    _started: float = 0.0

    @property
    def classes(self) -> int:
        return sum(path.is_dir() for path in (self.data / "train").iterdir())

    def start(self) -> None:
        """Call after the imports."""
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    @contextlib.contextmanager
    def off_the_clock(self) -> Iterator[None]:
        before = time.perf_counter()
        yield
        self._started += time.perf_counter() - before

    def epoch(self, val: float, test: Callable[[], float] | None = None) -> None:
        """Note the end of an epoch. Scoring the test images here is for the curve only: the clock stands."""
        row = {"seconds": self.seconds, "val": float(val)}
        self.curve.append(row)
        if test and len(self.curve) < self.epochs:  # the last one is scored by the peer itself, on the clock
            with self.off_the_clock():
                row["test"] = test()

    def frozen(self, body: dict[str, Any]) -> None:
        """Count the body's tensors that are no longer what was loaded; call at the end of the frozen stretch."""
        with self.off_the_clock():
            from safetensors.torch import load_file

            initial = load_file(WEIGHTS)
            names = [n for n in initial if n in body and not bool((body[n].detach().cpu() == initial[n]).all())]
            buffers = [n for n in names if n.endswith(("running_mean", "running_var", "num_batches_tracked"))]
            self.facts["moved"] = {
                "parameters": len(names) - len(buffers),
                "buffers": len(buffers),
                "of": sum(name in body for name in initial),
            }

    def finish(self, accuracy: float) -> None:
        """Stop the clock; only the first call counts."""
        if "seconds" not in self.facts:
            self.facts["seconds"] = self.seconds
            self.facts["accuracy"] = float(accuracy)
            self.facts["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            # Workers that have ended; the largest of them, not their sum.
            self.facts["peak_mb_worker"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            if self.curve:
                self.curve[-1].setdefault("test", float(accuracy))
        self.facts["curve"] = self.curve


def build(num_classes: int = 0) -> Any:
    """timm's network with the common weights."""
    import timm

    overlay = {"file": str(WEIGHTS)}
    net = timm.create_model(ARCHITECTURE, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay)
    if num_classes:
        import torch

        net.classifier = torch.nn.Linear(net.num_features, num_classes)
    return net


def loaders(job: Job, train: list[Any], test: list[Any], batch: int = BATCH, normalise: bool = True) -> dict[str, Any]:
    """DataLoaders over ImageFolder, as the tutorials of PyTorch and Lightning make them."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    tail = [transforms.ToTensor(), *([transforms.Normalize(MEAN, STD)] if normalise else [])]
    made = {}
    for part in ("train", "val", "test"):
        steps = transforms.Compose([*(train if part == "train" else test), *tail])
        data = datasets.ImageFolder(str(job.data / part), steps)
        made[part] = DataLoader(data, batch_size=batch, shuffle=part == "train", num_workers=job.workers)
    return made


def accuracy(model: Any, loader: Any) -> float:
    """Share of right answers in evaluation mode; leaves every module in the mode it was in."""
    import torch

    modes = {module: module.training for module in model.modules()}
    model.eval()
    right = count = 0
    with torch.no_grad():
        for images, labels in loader:
            right += int((model(images).argmax(1) == labels).sum())
            count += len(labels)
    for module, mode in modes.items():
        module.training = mode
    return right / count


# PyTorch's own tutorial: pytorch.org/tutorials/beginner/transfer_learning_tutorial.html


def tutorial(job: Job, *, head_only: bool) -> None:
    """Its train_model: 25 epochs there. Batches of 32 instead of its 4, which makes it faster."""
    import copy

    import timm  # noqa: F401
    import torch
    from torch import nn, optim
    from torchvision import transforms

    job.start()
    larger = round(job.size * 256 / 224)
    data = loaders(
        job,
        [transforms.RandomResizedCrop(job.size), transforms.RandomHorizontalFlip()],
        [transforms.Resize(larger), transforms.CenterCrop(job.size)],
    )
    model = build()
    if head_only:
        for parameter in model.parameters():
            parameter.requires_grad = False
    model.classifier = nn.Linear(model.num_features, job.classes)
    learning = model.classifier.parameters() if head_only else model.parameters()
    optimizer = optim.SGD(learning, lr=0.001, momentum=0.9)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    criterion = nn.CrossEntropyLoss()
    best, best_accuracy = copy.deepcopy(model.state_dict()), 0.0
    for _ in range(job.epochs):
        for phase in ("train", "val"):
            model.train(phase == "train")
            right = 0
            for inputs, labels in data[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    _, calls = torch.max(outputs, 1)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                loss.item()  # it adds the loss up
                right += int(torch.sum(calls == labels.data))
            if phase == "train":
                scheduler.step()
        share = right / len(data["val"].dataset)
        if share > best_accuracy:
            best, best_accuracy = copy.deepcopy(model.state_dict()), share
        job.epoch(share, lambda: accuracy(model, data["test"]))
    model.load_state_dict(best)
    job.finish(accuracy(model, data["test"]))
    if head_only:
        job.frozen(model.state_dict())


# fastai: docs.fast.ai/tutorial.vision.html; timm's networks by their name.


def fastai(job: Job, *, head_only: bool) -> None:
    """`fine_tune(epochs - 1)`: one frozen epoch, then all; or the same learner kept frozen, `fit_one_cycle`."""
    import fastai.vision.all as vision
    import timm  # noqa: F401

    job.start()
    vision.set_seed(job.seed)
    dls = vision.ImageDataLoaders.from_folder(
        job.data, train="train", valid="val", item_tfms=vision.Resize(job.size), bs=BATCH, num_workers=job.workers
    )
    overlay = {"file": str(WEIGHTS)}  # what timm would fetch from the hub
    learn = vision.vision_learner(
        dls, ARCHITECTURE, metrics=vision.accuracy, pretrained_cfg_overlay=overlay, path=job.data
    )
    test = dls.test_dl(vision.get_image_files(job.data / "test"), with_labels=True)
    body = learn.model[0].model

    class Note(vision.Callback):
        order = 60  # after the recorder

        def after_epoch(self) -> None:
            frozen = not job.curve or head_only
            job.epoch(self.recorder.values[-1][-1], lambda: accuracy(self.learn.model, test))
            if frozen:
                job.frozen(body.state_dict())

    with learn.no_bar(), learn.no_logging():
        if head_only:
            learn.fit_one_cycle(job.epochs, cbs=Note())
        else:
            learn.fine_tune(job.epochs - 1, cbs=Note())
        job.finish(learn.validate(dl=test)[1])


# Lightning: lightning.ai/docs, BackboneFinetuning, and its computer vision fine-tuning example.


def lightning(job: Job) -> None:
    """The first half of the epochs frozen, then all; Adam at 1e-3, as in its example."""
    import logging

    import timm  # noqa: F401
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import BackboneFinetuning, Callback
    from torch import nn
    from torch.nn.functional import cross_entropy
    from torchmetrics import Accuracy
    from torchvision import transforms

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = build()
            self.head = nn.Linear(self.backbone.num_features, job.classes)
            self.scores = nn.ModuleDict({p: Accuracy("multiclass", num_classes=job.classes) for p in ("val", "test")})

        def forward(self, images: Any) -> Any:
            return self.head(self.backbone(images))

        def training_step(self, batch: Any, index: int) -> Any:
            return cross_entropy(self(batch[0]), batch[1])

        def _score(self, part: str, batch: Any) -> None:
            logits = self(batch[0])
            self.scores[part](logits, batch[1])
            self.log(f"{part}_loss", cross_entropy(logits, batch[1]))
            self.log(f"{part}_accuracy", self.scores[part])

        def validation_step(self, batch: Any, index: int) -> None:
            self._score("val", batch)

        def test_step(self, batch: Any, index: int) -> None:
            self._score("test", batch)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(filter(lambda p: p.requires_grad, self.parameters()), lr=1e-3)

    unfreeze = max(job.epochs // 2, 1)

    class Note(Callback):
        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            job.epoch(trainer.callback_metrics["val_accuracy"], lambda: accuracy(module, data["test"]))
            if len(job.curve) <= unfreeze:
                job.frozen(module.backbone.state_dict())

    job.start()
    square = transforms.Resize((job.size, job.size))
    data = loaders(job, [square, transforms.RandomHorizontalFlip()], [square])
    trainer = Trainer(
        max_epochs=job.epochs,
        accelerator="cpu",
        callbacks=[BackboneFinetuning(unfreeze_backbone_at_epoch=unfreeze), Note()],
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Module()
    trainer.fit(model, data["train"], data["val"])
    job.finish(trainer.test(model, data["test"], verbose=False)[0]["test_accuracy"])


# Keras 3 on torch: keras.io/guides/transfer_learning


def keras(job: Job, *, head_only: bool, own_network: bool = False) -> None:
    """The guide's workflow: base with training=False, pooling, dropout, dense; frozen first, then all at 1e-5.

    The base is the common network in keras.layers.TorchModuleWrapper; with `own_network` it is Keras's
    EfficientNetB0, whose weights cannot be had offline: random ones, for the time only.
    """
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import timm  # noqa: F401
    from torchvision import transforms

    job.start()
    keras.utils.set_random_seed(job.seed)
    keras.config.set_image_data_format("channels_first")  # torch's own order: no transposing
    square = transforms.Resize((job.size, job.size))
    data = loaders(
        job, [square, transforms.RandomHorizontalFlip(), transforms.RandomRotation(36)], [square], normalise=False
    )
    inputs = keras.Input((3, job.size, job.size))
    x = keras.layers.Rescaling(255.0 if own_network else 2.0, offset=0.0 if own_network else -1.0)(inputs)
    if own_network:
        base = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(3, job.size, job.size))
        x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))
    else:
        net = build()

        class Base(keras.layers.TorchModuleWrapper):
            # fit() overrides the training=False that a wrapper was called with; the guide relies on it.
            def call(self, images: Any, training: bool | None = None) -> Any:
                return super().call(images, training=False)

        base = Base(net, output_shape=(None, net.num_features))
        x = base(x)
    outputs = keras.layers.Dense(job.classes)(keras.layers.Dropout(0.2)(x))
    model = keras.Model(inputs, outputs)
    before = [value.copy() for value in base.get_weights()] if own_network else []

    def fit(epochs: int, optimizer: Any) -> None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
        model.fit(data["train"], validation_data=data["val"], epochs=epochs, verbose=0, callbacks=[Note()])

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            job.epoch(logs["val_accuracy"], lambda: float(model.evaluate(data["test"], verbose=0)[1]))

    base.trainable = False
    frozen = job.epochs if head_only else max(job.epochs // 2, 1)
    fit(frozen, keras.optimizers.Adam())
    if own_network:
        with job.off_the_clock():
            pairs = zip(before, base.get_weights(), strict=True)
            moved = sum(bool((old != new).any()) for old, new in pairs)
            job.facts["moved"] = {"parameters": moved, "buffers": 0, "of": len(before)}
    else:
        job.frozen(net.state_dict())
    if not head_only:
        base.trainable = True
        fit(job.epochs - frozen, keras.optimizers.Adam(1e-5))
    job.finish(model.evaluate(data["test"], verbose=0)[1])


# Features once, then logistic regression.


def sklearn(job: Job) -> None:
    """timm's network without classifier, its own transform, and scikit-learn's LogisticRegression.

    It needs no validation images, so it learns from those too. crop_pct 1: the whole picture, as the others see it.
    """
    import numpy as np
    import timm
    import torch
    from sklearn.linear_model import LogisticRegression
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    job.start()
    net = build().eval()
    config = timm.data.resolve_model_data_config(net) | {"input_size": (3, job.size, job.size), "crop_pct": 1.0}
    transform = timm.data.create_transform(**config, is_training=False)

    def features(part: str) -> tuple[Any, Any]:
        data = ImageFolder(str(job.data / part), transform)
        loader = DataLoader(data, batch_size=2 * BATCH, num_workers=job.workers)
        with torch.inference_mode():
            pairs = [(net(images).numpy(), labels.numpy()) for images, labels in loader]
        return tuple(np.concatenate(column) for column in zip(*pairs, strict=True))  # type: ignore[return-value]

    (x, y), (more_x, more_y) = features("train"), features("val")
    classifier = LogisticRegression(max_iter=1000).fit(np.concatenate([x, more_x]), np.concatenate([y, more_y]))
    job.finish(classifier.score(*features("test")))
    job.frozen(net.state_dict())


# transferlib, as its command line does it.


def transferlib(job: Job, strategy: str, **options: Any) -> None:
    """load_data on the folder, fit, evaluate. feature_extraction keeps its own 20 epochs: they cost milliseconds."""
    # By name: the package imports what it needs when that is first wanted, and imports are not on the clock.
    import transferlib.data.own.folder
    import transferlib.networks.lite0  # noqa: F401  timm is behind it
    from transferlib import TransferModel, evaluate, fit, load_data, strategies

    job.start()
    splits = load_data("folder", path=job.data, image_size=job.size, on_bad="skip")
    model = TransferModel("efficientnet_lite0", len(splits.classes), seed=job.seed)
    probe = strategy == "feature_extraction"
    if strategy == "progressive_unfreezing":
        options["steps"] = min(4, job.epochs)
    plan = getattr(strategies, strategy)(**({} if probe else {"epochs": job.epochs}), batch_size=BATCH, **options)

    def note(epoch: Any) -> None:
        def score() -> float:
            modes = {module: module.training for module in model.modules()}
            share = evaluate(model, splits.test).accuracy
            for module, mode in modes.items():
                module.training = mode
            return share

        job.epoch(epoch.val_accuracy, None if probe else score)

    run = fit(model, splits, plan, seed=job.seed, progress=note)
    job.finish(evaluate(model, splits.test).accuracy)
    job.facts["images"] = [len(splits.train), len(splits.val), len(splits.test)]
    job.facts["notes"] = [*splits.notes, *run.notes]
    if probe:
        names = build().state_dict()  # timm's names, in the order that prepare.weights has checked
        job.frozen(dict(zip(names, model.stages.state_dict().values(), strict=True)))


def command_line(job: Job) -> None:
    """`transferlib train FOLDER`, from the shell's prompt to the written report: start-up and intervals are in."""
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        told = [str(job.data), "--image-size", str(job.size), "--on-bad", "skip", "--seed", str(job.seed)]
        told += ["--batch-size", str(BATCH), "--out", str(Path(place, "run")), "--json"]
        job.start()
        done = subprocess.run([sys.executable, "-m", "transferlib", "train", *told], stdout=subprocess.PIPE, check=True)
        job.finish(json.loads(done.stdout)["test"]["accuracy"])
    job.facts["peak_mb"] = job.facts["peak_mb_worker"]  # the command is this process's only child


# The physical limits: the least that a run must do, with nothing around it.


def _timed(action: Callable[[], Any], times: int = 3) -> float:
    """The median, in a process that has warmed up: harder to come near than a first pass."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _bare_images(job: Job, times: int = 1) -> tuple[dict[str, Any], dict[str, float]]:
    """Every file of each part as normalised channels-last batches; and the seconds that decoding takes.

    Pillow decodes outside Python's lock, so the faster of one thread and of one a core is the limit.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    import torch
    from PIL import Image

    def decode(path: Path) -> Any:
        with Image.open(path) as image:
            image.draft("RGB", (2 * job.size, 2 * job.size))
            image = image.convert("RGB")
            side = min(image.size)
            left, top = (image.width - side) / 2, (image.height - side) / 2
            box = (left, top, left + side, top + side)
            return np.asarray(image.resize((job.size, job.size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0))

    images, seconds = {}, {}
    for part in ("train", "val", "test"):
        files = sorted(path for path in (job.data / part).rglob("*") if path.is_file())
        alone = _timed(lambda files=files: list(map(decode, files)), times)
        with ThreadPoolExecutor(CORES) as pool:
            together = _timed(lambda files=files, pool=pool: list(pool.map(decode, files)), times)
        seconds[part] = min(alone, together)
        batch = torch.from_numpy(np.stack(list(map(decode, files)))).permute(0, 3, 1, 2).float().sub_(127).div_(128)
        images[part] = batch.contiguous(memory_format=torch.channels_last)
    return images, seconds


def limit_forward(job: Job) -> None:
    """Decoding alone, and one evaluation pass over the images of each part."""
    import torch

    images, decode = _bare_images(job, times=3)
    net = build().eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        net(images["train"][: 2 * BATCH])
        forward = {
            part: _timed(lambda batch=batch: [net(some) for some in batch.split(2 * BATCH)])
            for part, batch in images.items()
        }
    job.facts |= {"decode": decode, "forward": forward}


def limit_steps(job: Job) -> None:
    """One epoch of bare steps for full fine-tuning and for each phase of progressive unfreezing.

    What is frozen has been computed already; `prefix` is what that costs for one pass over the training images.
    """
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    import transferlib as tl

    images = _bare_images(job)[0]
    labels = torch.randint(job.classes, (len(images["train"]),))  # what they say does not change the time
    model = tl.TransferModel("efficientnet_lite0", job.classes)
    model.keep_statistics = True  # as the strategies do
    depth, phases = len(model.stages), []
    for learn in (None, 0, 1, 2):
        frozen = 0 if learn is None else depth - learn
        model.freeze_to(frozen).train()
        prefix, suffix = model.stages[:frozen], nn.Sequential(*model.stages[frozen:], model.head)
        with torch.no_grad():
            started = time.perf_counter()
            kept = {p: torch.cat([prefix(b) for b in images[p].split(2 * BATCH)]) for p in ("train", "val")}
            seconds = (time.perf_counter() - started) if frozen else 0.0
        optimizer = torch.optim.AdamW(suffix.parameters(), lr=1e-5, fused=True)

        def steps(batches: Any, suffix: Any = suffix, optimizer: Any = optimizer) -> None:
            for inputs, targets in batches:
                loss = cross_entropy(suffix(inputs), targets)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

        batches = list(zip(kept["train"].split(BATCH), labels.split(BATCH), strict=True))
        steps(batches[:2])
        taken = _timed(lambda steps=steps, batches=batches: steps(batches), 1)
        suffix.eval()
        with torch.no_grad():
            val = _timed(lambda s=suffix, kept=kept: [s(batch) for batch in kept["val"].split(2 * BATCH)], 1)
        phases.append({"learn": learn, "prefix": seconds, "steps": taken, "val": val})
    job.facts["phases"] = phases


# Each peer, and how many processes decode for it. The tutorial has 4, and PyTorch warns of more than there are cores;
# fastai takes one a core by itself; Lightning's example and Keras have none; the scikit-learn recipe runs both ways.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
PEERS: dict[str, tuple[Callable[[Job], None], int]] = {
    "tutorial_head": (lambda job: tutorial(job, head_only=True), min(4, CORES)),
    "tutorial_fine_tuning": (lambda job: tutorial(job, head_only=False), min(4, CORES)),
    "fastai_head": (lambda job: fastai(job, head_only=True), min(16, CORES)),
    "fastai_fine_tune": (lambda job: fastai(job, head_only=False), min(16, CORES)),
    "keras_head": (lambda job: keras(job, head_only=True), 0),
    "keras_fine_tuning": (lambda job: keras(job, head_only=False), 0),
    "keras_b0_head": (lambda job: keras(job, head_only=True, own_network=True), 0),
    "lightning": (lightning, 0),
    "sklearn": (sklearn, 0),
    "sklearn_workers": (sklearn, CORES),
    "tl_feature_extraction": (lambda job: transferlib(job, "feature_extraction"), 0),
    "tl_feature_extraction_4": (lambda job: transferlib(job, "feature_extraction", views=4), 0),
    "tl_command_line": (command_line, 0),
    "tl_fine_tuning": (lambda job: transferlib(job, "fine_tuning"), 0),
    "tl_progressive": (lambda job: transferlib(job, "progressive_unfreezing"), 0),
    "tl_progressive_1": (lambda job: transferlib(job, "progressive_unfreezing", views=1), 0),
    "limit_forward": (limit_forward, 0),
    "limit_steps": (limit_steps, 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, val/ and test/ (see prepare.py)")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="processes that decode; default: see PEERS")
    parser.add_argument("--keep-freed-memory", action="store_true")
    args = parser.parse_args()
    kept = keep_freed_memory() if args.keep_freed_memory else False

    import numpy as np
    import torch

    warnings.simplefilter("ignore")  # on stderr they would only bury an error
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    run, workers = PEERS[args.peer]
    job = Job(args.data, args.size, args.epochs, args.seed, workers if args.workers is None else args.workers)
    with contextlib.redirect_stdout(sys.stderr):
        run(job)
    row = {"peer": args.peer, "data": args.data.name, "size": args.size, "epochs": args.epochs, "seed": args.seed}
    print(json.dumps({**row, "kept": kept, "threads": torch.get_num_threads(), "workers": job.workers, **job.facts}))


if __name__ == "__main__":
    main()
