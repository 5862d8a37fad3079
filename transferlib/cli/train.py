"""What `transferlib train` and `advise` do."""

import argparse
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from transferlib.advice.advise import advise as advice_on
from transferlib.advice.plan import duration, plan
from transferlib.cli.data import described, load_splits
from transferlib.cli.parser import STRATEGIES
from transferlib.cli.report import WRITTEN, to_json, write_report
from transferlib.data.own.scan import outside
from transferlib.data.splits import Splits
from transferlib.engine import checkpoints
from transferlib.engine.processes import Processes
from transferlib.errors import TransferError
from transferlib.evaluation import Scores, evaluate, metric_name, shown
from transferlib.files.waiting import waiting
from transferlib.model import TransferModel
from transferlib.run import Epoch, TrainingInterrupted
from transferlib.training import fit

SAVE_EVERY = 10.0  # seconds between two savings of an unfinished run
DRY_RUN = "dry run: nothing was trained, fetched or written; random weights stood in for the pretrained ones"


def train(args: argparse.Namespace) -> int:
    """Train, score and save a model with its report; with --dry-run only say what that would be."""
    out, is_main = outside("--out", args.out, args.data), Processes(args.device).is_main
    progress = out / "progress"
    if not args.dry_run:
        _check_place(out, progress, args)

    def say(line: object) -> None:
        # With --json, standard output holds the JSON object and nothing else.
        if is_main:
            print(line, file=sys.stderr if args.json else sys.stdout, flush=True)

    splits = load_splits(args)
    say(described(splits))
    options = {"epochs": args.epochs, "lr": args.lr, "patience": args.patience, "batch_size": args.batch_size}
    strategy = STRATEGIES[args.strategy](**{name: value for name, value in options.items() if value is not None})
    # To plan needs no pretrained weights: random ones cost the same time and no download.
    pretrained = strategy.pretrained and not args.dry_run
    model = _network(args, splits, pretrained)
    if args.dry_run:
        if is_main:
            planned = plan(model, splits, strategy, device=args.device, cache=args.cache)
            print(to_json(planned.to_dict()) if args.json else f"{planned}\n{DRY_RUN}")
        return 0
    interrupted = False
    try:
        run = fit(
            model,
            splits,
            strategy,
            seed=args.seed,
            device=args.device,
            precision=args.precision,
            cache=args.cache,
            checkpoint=progress,
            resume=args.resume,
            save_every=SAVE_EVERY,
            progress=lambda epoch: say(progress_line(epoch, strategy.epochs, len(splits.train), splits.train.noun)),
        )
    except TrainingInterrupted as stop:
        run, interrupted = stop.run, True
        if not run.history:
            raise
        say(f"interrupted: keeping the weights of epoch {run.best_epoch}")
        if progress.exists():
            say("the same command with --resume goes on after the last epoch that was saved")
    if is_main:
        scores = evaluate(model, splits.test, splits.classes)
        columns = {"text": args.text or "text", "label": args.label or "label"}
        kept = {"image_size": args.image_size} if splits.train.noun == "images" else columns
        checkpoints.save(model, out, classes=splits.classes, **kept)
        facts = write_report(out, model, splits, run, scores)
        if not interrupted:
            _forget(progress)
        say(f"test: {score_line(scores)}")
        say(f"written to {out}: metrics.json, figures, the model, and README.md, which says how to load it")
        if args.json:
            print(to_json({"out": str(out), "interrupted": interrupted, **facts}))
    return 130 if interrupted else 0


def _network(args: argparse.Namespace, splits: Splits, pretrained: bool = True) -> TransferModel:
    """The backbone that was asked for, or the embedded one for such inputs; refused at once if it cannot read them."""
    name = args.backbone or ("efficientnet_lite0" if splits.train.noun == "images" else "minilm")
    model = TransferModel(name, len(splits.classes), pretrained=pretrained, seed=args.seed, input_size=args.input_size)
    model.preprocess.apply(splits.train.inputs[:1])
    return model


def _check_place(out: Path, progress: Path, args: argparse.Namespace) -> None:
    """Refuse to write over a model or an unfinished run, unless told to."""
    begun = (progress / "progress.json").exists()
    if args.resume and begun:
        return
    there = [name for name in WRITTEN if (out / name).exists()]
    if out.exists() and not out.is_dir():
        raise TransferError(f"--out {str(out)!r} is a file. Give a folder.")
    if args.overwrite:
        _forget(progress)
    elif (out / "model.json").exists():
        raise TransferError(f"{out} already holds a model: choose another --out, or allow --overwrite.")
    elif begun:
        raise TransferError(f"{out} holds a run that was interrupted: go on with --resume, or allow --overwrite.")
    elif there:
        raise TransferError(f"{out} already holds {', '.join(there)}: choose another --out, or allow --overwrite.")


def _forget(progress: Path) -> None:
    """Remove the state of an unfinished run, and nothing else that may lie there."""
    for file in (progress / "progress.json", *progress.glob("progress-*.safetensors"), *progress.glob(".*.part")):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # not there, or not empty
        progress.rmdir()


def progress_line(epoch: Epoch, epochs: int, inputs: int, noun: str = "images") -> str:
    """One finished epoch: losses, accuracy, training inputs a second, and the time left if all go on like it."""
    left = epochs - epoch.epoch
    rest = f", about {duration(left * epoch.seconds)} left" if left else ""
    losses = f"training loss {epoch.train_loss:.3f}  validation loss {epoch.val_loss:.3f}"
    speed = f"{epoch.seconds:.1f} s  ({inputs / max(epoch.seconds, 1e-9):.0f} {noun}/s{rest})"
    return f"epoch {epoch.epoch:3d}/{epochs}  phase {epoch.phase}  {losses}  accuracy {epoch.val_accuracy:.3f}  {speed}"


def score_line(scores: Scores) -> str:
    """The figures of a whole test set in one line."""
    low, high = scores.intervals["accuracy"]
    told = [f"{metric_name(name)} {shown(value)}" for name, value in scores.figures.items()]
    return ", ".join([f"{told[0]} (95 % interval {low:.3f} to {high:.3f})", *told[1:]])


def advise(args: argparse.Namespace) -> int:
    """Measure the training images, and recommend a strategy."""
    splits = load_splits(args)
    model = _network(args, splits) if splits.train.noun == "images" else None  # texts are refused
    with waiting("measuring images and steps"):
        advice = advice_on(splits, model, budget=args.budget)
    if args.json:
        print(to_json(advice.to_dict()))
        return 0
    strategy = next(name for name, make in STRATEGIES.items() if make().name == advice.strategy.name)
    options = ["--strategy", strategy, "--epochs", str(advice.strategy.epochs), "--backbone", advice.backbone]
    options += ["--input-size", str(advice.input_size)] * bool(advice.input_size)
    options += ["--groups", args.groups] * bool(args.groups) + ["--depth", str(args.depth)] * bool(args.depth)
    command = shlex.join(("transferlib", "train", args.data, *options, "--out", "run"))
    print(f"{described(splits)}\n{advice}\n\nto do that, with your other options: {command}")
    return 0
