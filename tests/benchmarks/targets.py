"""The targets, computed as ratios from the measurements of one results.json. Nothing here is measured or typed in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

Runs = list[dict[str, Any]]

FULL = ("tutorial_fine_tuning", "fastai_fine_tune", "keras_fine_tuning", "lightning")
"""Peers in whose last epoch everything learns."""


def rows(cells: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a target and data set; what has not been measured yet has none."""
    runs = [run for run in cells.values() if run.get("part") == "peers"]
    sets = sorted({(run["data"], run["size"]) for run in runs})
    return [row for data, size in sets for row in _rows(_Set(data, size, runs))]


def plain_median(values: Iterable[float]) -> float:
    """The median, or not a number when there is none."""
    values = list(values)
    return median(values) if values else math.nan


class _Set:
    """The runs on one data set at one size."""

    def __init__(self, data: str, size: int, runs: Runs) -> None:
        self.name = f"{data}, {size} px"
        self.runs = [run for run in runs if (run["data"], run["size"]) == (data, size)]

    def of(self, peer: str, kept: bool) -> Runs:
        return [run for run in self.runs if run["peer"] == peer and run["kept"] == kept]

    def value(self, peer: str, kept: bool, of: Callable[[dict[str, Any]], float]) -> float:
        return plain_median(of(run) for run in self.of(peer, kept))

    def seconds(self, peer: str, kept: bool) -> float:
        return self.value(peer, kept, lambda run: run["seconds"])

    def recipe(self, kept: bool) -> str:
        """The scikit-learn recipe with or without processes that decode, whichever is faster here."""
        both = ("sklearn", "sklearn_workers")
        return min(both, key=lambda peer: (math.isnan(self.seconds(peer, kept)), self.seconds(peer, kept)))


def full_epoch(run: dict[str, Any]) -> float:
    """Seconds of the last epoch, in which everything learns; the first one has more to set up."""
    curve = run["curve"]
    return curve[-1]["seconds"] - curve[-2]["seconds"] if len(curve) > 1 else math.nan


def scaled(run: dict[str, Any], epochs: int = 25) -> float:
    """Seconds of so many epochs: those that were run, and the last one again and again."""
    return run["seconds"] + (epochs - len(run["curve"])) * full_epoch(run)


def _rows(part: _Set) -> Iterable[dict[str, Any]]:
    def row(text: str, figure: float, target: str = "", count: int | None = None) -> Iterable[dict[str, Any]]:
        if math.isfinite(figure):
            sign, _, limit = target.partition(" ")
            reached = None if not target else figure <= float(limit) if sign == "≤" else figure >= float(limit)
            yield {"data": part.name, "row": text, "figure": figure, "target": target, "reached": reached, "n": count}

    def n(peer: str, kept: bool = True) -> int:
        return len(part.of(peer, kept))

    probe, four = "tl_feature_extraction", "tl_feature_extraction_4"
    for kept, how in ((True, "both with the allocator setting"), (False, "both as they come")):
        recipe = part.recipe(kept)
        ratio = part.seconds(probe, kept) / part.seconds(recipe, kept)
        yield from row(f"probe: seconds / scikit-learn recipe's, {how}", ratio, "≤ 1.0", n(probe, kept))
    recipe = part.recipe(True)
    if part.of(probe, True) and part.of(recipe, True):
        ours, theirs = (part.value(peer, True, lambda run: run["accuracy"]) for peer in (probe, recipe))
        images = part.of(probe, True)[0]["images"][2]
        noise = 1.96 * math.sqrt((ours * (1 - ours) + theirs * (1 - theirs)) / images)
        yield from row("probe: accuracy minus the recipe's, points", 100 * (ours - theirs), "", n(probe))
        text = "probe: the same in units of the noise of two such test sets (95 %)"
        yield from row(text, (ours - theirs) / noise if noise else 0.0, "≥ -1.0", n(probe))
    for peer, text, least in ((probe, "probe, one view", 30), (four, "probe, four views", 8)):
        for kept, how in ((False, "as it comes"), (True, "with the same allocator setting")):
            tutorial = part.value("tutorial_head", kept, scaled)
            name = f"{text}: how many times faster than the tutorial's 25 epochs (scaled up), the tutorial {how}"
            yield from row(name, tutorial / part.seconds(peer, True), f"≥ {least}", n(peer))
    whole = part.seconds("tl_command_line", True) / part.value(recipe, True, lambda run: run["wall"])
    text = "command line, probe: seconds from the prompt to the written report / the recipe's process to its score"
    yield from row(text, whole, "≤ 1.0", n("tl_command_line"))
    limit = part.value("limit_forward", True, lambda run: _sum(run["decode"]) + _sum(run["forward"]))
    yield from row("probe: seconds / bare pass with decoding", part.seconds(probe, True) / limit, "≤ 1.15", n(probe))

    for peer, text in (("tl_progressive", "progressive unfreezing"), ("tl_progressive_1", "the same, one fixed view")):
        for kept, how in ((False, "as it comes"), (True, "with the same allocator setting")):
            ratio = part.seconds("lightning", kept) / part.seconds(peer, True)
            yield from row(f"{text}: how many times faster than Lightning {how}", ratio, "≥ 2", n(peer))
    ours = part.value("tl_fine_tuning", True, full_epoch)
    for kept, how, least in ((False, "as it comes", "≥ 2"), (True, "with the same allocator setting", "≥ 1.2")):
        times = {peer: part.value(peer, kept, full_epoch) for peer in FULL}
        times = {peer: time for peer, time in times.items() if math.isfinite(time)}
        if times:
            fastest = min(times, key=times.__getitem__)
            text = f"fine-tuning, an epoch in which all learns: how many times faster than the fastest peer {how}"
            yield from row(f"{text} ({fastest})", times[fastest] / ours, least, n("tl_fine_tuning"))
            bare = _phase(part, None, "steps") + _phase(part, None, "val")
            text = f"what there is to be had: how many times faster than that peer {how} bare steps and scoring are"
            yield from row(text, times[fastest] / bare)
    for peer, text in (("tl_fine_tuning", "fine-tuning"), ("tl_progressive_1", "progressive unfreezing, one view")):
        runs = part.of(peer, True)
        bare = _bare(part, runs[0]["epochs"], peer == "tl_fine_tuning") if runs else None
        if bare:
            steps, everything = bare
            ratio = part.seconds(peer, True) / everything
            goal = "≤ 1.15" if peer == "tl_fine_tuning" else ""
            yield from row(f"{text}: seconds / bare decoding, steps and passes", ratio, goal, len(runs))
            text = f"{text}: seconds / bare steps alone (decoding and scoring counted against it)"
            yield from row(text, part.seconds(peer, True) / steps, goal, len(runs))
    yield from _memory(part, row)


def _phase(part: _Set, learn: int | None, what: str) -> float:
    """Bare seconds of an epoch in which the last `learn` stages and the head learn; None: everything."""
    runs = part.of("limit_steps", True)
    return plain_median(phase[what] for run in runs for phase in run["phases"] if phase["learn"] == learn)


def _bare(part: _Set, epochs: int, full: bool) -> tuple[float, float] | None:
    """Least seconds of a run: of its steps alone, and with decoding, validation and test."""
    forward = part.of("limit_forward", True)
    if not forward or not part.of("limit_steps", True):
        return None

    if full:
        plan: list[int | None] = [None] * epochs
    else:
        phases = min(4, epochs)
        lengths = [epochs // phases + (k >= phases - epochs % phases) for k in range(phases)]
        learn = [*range(phases - 1), None]
        plan = [stage for stage, length in zip(learn, lengths, strict=True) for _ in range(length)]
    steps = sum(_phase(part, learn, "steps") for learn in plan)
    val = sum(_phase(part, learn, "val") for learn in plan)

    def of(*parts: str) -> float:
        return plain_median(sum(run["forward"][name] for name in parts) for run in forward)

    decode = plain_median(_sum(run["decode"]) for run in forward)
    # One pass to the deepest frozen boundary gives all shallower ones on its way.
    prefix = 0.0 if full else of("train", "val")
    return steps + prefix, decode + prefix + steps + val + of("test")


def _memory(part: _Set, row: Callable[..., Iterable[dict[str, Any]]]) -> Iterable[dict[str, Any]]:
    heads = ("tutorial_head", "fastai_head", "keras_head", "sklearn", "sklearn_workers")
    kinds = (
        ("tl_feature_extraction", "probe", heads),
        ("tl_feature_extraction_4", "probe, four views", heads),
        ("tl_fine_tuning", "fine-tuning", FULL),
        ("tl_progressive", "progressive unfreezing", ("lightning",)),
    )
    for ours, text, peers in kinds:
        for kept, how in ((False, "as they come"), (True, "all with the allocator setting")):
            peaks = {peer: part.value(peer, kept, lambda run: run["peak_mb"]) for peer in peers}
            peaks = {peer: peak for peer, peak in peaks.items() if math.isfinite(peak)}
            if peaks:
                least = min(peaks, key=peaks.__getitem__)
                ratio = part.value(ours, kept, lambda run: run["peak_mb"]) / peaks[least]
                name = f"{text}: peak memory / the least of any peer ({least}), {how}"
                yield from row(name, ratio, "≤ 1.0", len(part.of(ours, kept)))


def _sum(parts: dict[str, float]) -> float:
    return sum(parts.values())
