"""Puts the measurements of tests/benchmarks/results.json into the page of benchmarks: no number is typed by hand.

A comment line `% benchmarks: NAME` in the page becomes the table or figure of that name. Without measurements the
page ends at the first of them, with a sentence that says so.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from sphinx.application import Sphinx

PAGE = "book/benchmarks"
RESULTS = "tests/benchmarks/results.json"
FIGURES = "_build/benchmarks"
MARK = re.compile(r"^% benchmarks: (\w+)$", re.M)
MISSING = "There are no measurements in this copy: `make bench` makes them and writes them to `tests/benchmarks`."

# Name in the results: how the page calls it, and the strategy whose colour it has.
PEERS = {
    "tl_feature_extraction": ("transferlib, feature extraction, one view", "feature extraction"),
    "tl_feature_extraction_4": ("transferlib, feature extraction, four views", "feature extraction"),
    "tl_command_line": ("`transferlib train`, from the prompt to the report", "feature extraction"),
    "tl_fine_tuning": ("transferlib, fine-tuning", "fine-tuning"),
    "tl_progressive": ("transferlib, progressive unfreezing", "progressive unfreezing"),
    "tl_progressive_1": ("transferlib, progressive unfreezing, one view", "progressive unfreezing"),
    "sklearn": ("timm features + scikit-learn", ""),
    "sklearn_workers": ("timm features + scikit-learn, decoding in processes", ""),
    "tutorial_head": ("PyTorch tutorial, head only", ""),
    "tutorial_fine_tuning": ("PyTorch tutorial, fine-tuning", ""),
    "fastai_head": ("fastai, frozen", ""),
    "fastai_fine_tune": ("fastai, fine_tune", ""),
    "lightning": ("Lightning, BackboneFinetuning", ""),
    "keras_head": ("Keras, frozen", ""),
    "keras_fine_tuning": ("Keras, frozen, then all", ""),
    "keras_b0_head": ("Keras, its own EfficientNetB0, frozen", ""),
}
RANDOM = "keras_b0_head"  # its weights are random, so its accuracy says nothing
WHOLE = "tl_command_line"  # from the prompt, not from the end of the imports, so it has no place among the others
LEARN = {None: "everything", 0: "the head", 1: "the head and one stage", 2: "the head and two stages"}

Cells = list[dict[str, Any]]


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    header = list(header)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def number(value: float, digits: int = 2) -> str:
    """A number as the tables show it; a dash for what was not measured."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def middle(values: Iterable[float]) -> float:
    """The median, or not a number where there is nothing."""
    values = list(values)
    return median(values) if values else math.nan


def times(seconds: list[float]) -> str:
    """A median and how many runs it is of."""
    return f"{number(median(seconds))} ({len(seconds)})" if seconds else "–"


class Page:
    """All tables and figures of one file of results."""

    def __init__(self, results: dict[str, Any], figures: Path) -> None:
        self.results, self.figures = results, figures
        good = [cell for cell in results["cells"].values() if "error" not in cell]
        self.runs = [c for c in good if c["part"] == "peers" and not c["peer"].startswith("limit")]
        self.limits = [c for c in good if c["part"] == "peers" and c["peer"].startswith("limit") and c["kept"]]
        self.views = [row for c in good if c["part"] == "views" for row in c["rows"]]
        self.allocator = [c for c in good if c["part"] == "allocator"]
        self.scale = [c for c in good if c["part"] == "scale"]
        self.sets = sorted({(c["data"], c["size"]) for c in self.runs})

    def circumstances(self) -> str:
        part = self.results["parts"]["peers"]
        facts = part["provenance"]
        machine = facts["machine"]
        threads = sorted({str(run["threads"]) for run in self.runs})
        commits = sorted({session["commit"] for session in part["sessions"]})
        cells = [c for c in self.results["cells"].values() if c["part"] == "peers"]
        loads = [c["load"] for c in cells if c.get("load") is not None]
        rows = [
            ("processor", f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB"),
            ("system", f"{machine['system']}, {machine['libc']}, Python {facts['python']}"),
            ("versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())),
            ("threads of torch", ", ".join(threads)),
            ("environment", ", ".join(f"`{k}={v}`" for k, v in facts["environment"].items()) or "nothing set"),
            ("measured", self._dates("peers")),
            ("transferlib", f"commit {', '.join(commits)}, code {facts['transferlib']}"),
            ("other load on the machine, median", number(middle(loads))),
            ("failed", str(sum("error" in cell for cell in cells))),
        ]
        return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows) + "\n"

    def _dates(self, part: str) -> str:
        """The first and the last day of a part's measurements."""
        days = [c["date"][:10] for c in self.results["cells"].values() if c["part"] == part and "date" in c]
        return " to ".join(dict.fromkeys((min(days), max(days)))) if days else "–"

    def _measured(self, part: str) -> str:
        """When, and with which code."""
        facts = self.results["parts"][part]["provenance"]
        code, torch = facts["transferlib"], facts["versions"]["torch"]
        return f"\n*Measured {self._dates(part)}; transferlib code {code}, torch {torch}.*\n"

    def targets(self) -> str:
        said = {True: "reached", False: "**not reached**", None: "–"}
        rows = []
        for row in self.results["targets"]:
            text, runs = f"{row['data']}: {row['row']}", str(row["n"] or "–")
            for peer, (name, _) in PEERS.items():
                text = text.replace(f"({peer})", f"({name})")
            rows.append([text, number(row["figure"]), row["target"] or "–", said[row["reached"]], runs])
        return table(("target", "figure", "wanted", "", "runs"), rows)

    def peers(self) -> str:
        return "\n".join(f"### {data}, {size} px\n\n{self._peers(data, size)}" for data, size in self.sets)

    def _peers(self, data: str, size: int) -> str:
        here = [run for run in self.runs if (run["data"], run["size"]) == (data, size)]
        recipe = [run["accuracy"] for run in here if run["peer"] == "sklearn"]
        count = next((run["images"][2] for run in here if "images" in run), 0)
        goal = math.nan
        if recipe and count:
            goal = median(recipe) - math.sqrt(median(recipe) * (1 - median(recipe)) / count)
        header = ("", "epochs", "seconds as it comes (runs)", "seconds with the setting (runs)", "test accuracy")
        header += (f"seconds to accuracy {number(goal, 3)}", "peak MB", "frozen tensors that moved")
        rows = []
        for peer, (name, _) in PEERS.items():
            runs = [run for run in here if run["peer"] == peer]
            if not runs:
                continue
            plain, kept = ([run["seconds"] for run in runs if run["kept"] == how] for how in (False, True))
            accuracy = "not comparable" if peer == RANDOM else number(middle(run["accuracy"] for run in runs), 3)
            epochs = str(len(runs[0]["curve"]) or "–")
            peaks = number(middle(run["peak_mb"] for run in runs if not run["kept"]), 0)
            rows.append([name, epochs, times(plain), times(kept), accuracy])
            rows[-1] += [self._reached(runs, goal, peer), peaks, _moved(runs)]
        return table(header, rows)

    @staticmethod
    def _reached(runs: Cells, goal: float, peer: str) -> str:
        """Median seconds after which the test accuracy was at the goal; with the setting where that was run."""
        runs = [run for run in runs if run["kept"]] or runs
        first = []
        for run in runs:
            points = [(p["seconds"], p["test"]) for p in run["curve"] if "test" in p] or [(0.0, run["accuracy"])]
            points[-1] = (run["seconds"], points[-1][1])
            first.append(next((seconds for seconds, accuracy in points if accuracy >= goal), math.inf))
        if peer == RANDOM or not math.isfinite(goal):
            return "–"
        return number(median(first)) if math.isfinite(median(first)) else "not in these epochs"

    def limit(self) -> str:
        rows = []
        for data, size in self.sets:
            here = [c for c in self.limits if (c["data"], c["size"]) == (data, size)]
            where = f"{data}, {size} px"
            forward = [c for c in here if c["peer"] == "limit_forward"]
            if forward:
                for what, text in (("decode", "decoding all images"), ("forward", "one pass over all images")):
                    seconds = [sum(c[what].values()) for c in forward]
                    rows.append([f"{where}: {text}", times(seconds)])
            phases = [phase for c in here if c["peer"] == "limit_steps" for phase in c["phases"]]
            for learn in LEARN:
                seconds = [phase["steps"] for phase in phases if phase["learn"] == learn]
                if seconds:
                    rows.append([f"{where}: an epoch of steps, learning: {LEARN[learn]}", times(seconds)])
        return table(("", "seconds (runs)"), rows)

    def view_table(self) -> str:
        """Accuracy with K fixed views minus that with fresh ones, paired by seed."""
        counts = [k for k in dict.fromkeys(row["views"] for row in self.views) if k is not None]
        rows = []
        for data in dict.fromkeys(row["data"] for row in self.views):
            by = {(row["seed"], row["views"]): row["accuracy"] for row in self.views if row["data"] == data}
            seeds = sorted({seed for seed, _ in by})
            cells = []
            for k in counts:
                differences = [100 * (by[seed, k] - by[seed, None]) for seed in seeds]
                error = stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
                cells.append(f"{mean(differences):+.1f} ± {number(error, 1)}")
            fresh = number(100 * mean(by[seed, None] for seed in seeds), 1)
            rows.append([data, fresh, *cells, str(len(seeds))])
        header = ["", "fresh every epoch, %", *(f"{k} fixed view{'s' * (k > 1)}, points" for k in counts), "seeds"]
        return table(header, rows) + self._measured("views")

    def scale_table(self) -> str:
        rows = []
        for c in sorted(self.scale, key=lambda cell: cell["images"]):
            each = 1000 * c["seconds"] / c["images"]
            cells = [number(c["seconds"], 1), number(each), number(c["epoch"]), number(c["anonymous_mb"], 0)]
            rows.append([f"{c['images']:,}", *cells, number(c["file_mb"], 0), number(c["load"], 1)])
        header = (
            "images",
            "seconds",
            "ms an image",
            "seconds an epoch of the head",
            "memory, MB",
            "features in a file, MB",
            "load",
        )
        return table(header, rows) + self._measured("scale")

    def gpu_table(self) -> str:
        """Fine-tuning on a graphics card against the bare loop."""
        told = self.results["gpu"]
        rows = [
            [
                name,
                f"{of['bare']:,}",
                f"{of['ours']:,}",
                f"{number(median(of['ratios']))} ({number(min(of['ratios']))} to {number(max(of['ratios']))})",
            ]
            for name, of in told["networks"].items()
        ]
        where = (
            f"{told['hardware']}, PyTorch {told['torch']}, batches of {told['batch']} images of {told['size']} pixels"
        )
        return table(["network", "bare loop", "`fit`", "ratio"], rows) + f"\n(Images a second. {where}.)\n"

    def allocator_table(self) -> str:
        rows = []
        for size, strategy in dict.fromkeys((c["size"], c["strategy"]) for c in self.allocator):
            of = {c["kept"]: c for c in self.allocator if (c["size"], c["strategy"]) == (size, strategy)}
            if len(of) == 2:
                ratio = of[False]["seconds"] / of[True]["seconds"]
                cells = [number(of[kept]["seconds"]) for kept in (False, True)] + [number(ratio)]
                cells += [number(of[kept]["peak_mb"], 0) for kept in (False, True)]
                rows.append([f"{size} px, {strategy}", *cells])
        header = ("", "s as it comes", "s with the setting", "times faster", "peak MB as it comes", "peak MB with it")
        return table(header, rows) + self._measured("allocator")

    def peer_figure(self) -> str:
        from matplotlib.figure import Figure

        sets = self.sets
        figure = Figure(figsize=(9, 3.6 * len(sets)), layout="constrained")
        for axes, (data, size) in zip(figure.subplots(len(sets), squeeze=False)[:, 0], sets, strict=True):
            shown = {peer: look for peer, look in PEERS.items() if peer not in (RANDOM, WHOLE)}
            markers = dict(zip(shown, "oD^s<Pp*XhvdH>", strict=True))  # peers are black, so shape tells them apart
            for peer, (name, strategy) in shown.items():
                runs = [r for r in self.runs if (r["peer"], r["data"], r["size"]) == (peer, data, size)]
                if not runs:
                    continue
                x = [middle(r["seconds"] for r in runs if r["kept"] == kept) for kept in (False, True)]
                y = middle(r["accuracy"] for r in runs)
                look = {"color": _colour(strategy) if strategy else "#222222", "marker": markers[peer]}
                axes.plot(x, [y, y], color=look["color"], linewidth=1)
                axes.plot(x[0], y, fillstyle="none", linestyle="none", **look)
                axes.plot(x[1], y, linestyle="none", label=name, **look)
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7, frameon=False)
            axes.set_xscale("log")
            axes.set(title=f"{data}, {size} px", xlabel="seconds, decoding to test", ylabel="test accuracy")
            axes.grid(alpha=0.3)
        alt = "Test accuracy against seconds of every peer, one panel a data set; the same numbers as in the tables"
        return self._figure(figure, "peers.svg", alt)

    def view_figure(self) -> str:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 3.2), layout="constrained")
        axes = figure.subplots()
        counts = list(dict.fromkeys(row["views"] for row in self.views))
        lines = zip(dict.fromkeys(row["data"] for row in self.views), ("o-", "s--", "^:", "d-."), strict=False)
        for data, style in lines:
            means = [mean(r["accuracy"] for r in self.views if (r["data"], r["views"]) == (data, k)) for k in counts]
            axes.plot(range(len(counts)), means, style, color=_colour("feature extraction"), label=data)
        axes.set_xticks(range(len(counts)), ["fresh" if k is None else str(k) for k in counts])
        axes.set(xlabel="fixed views of each image", ylabel="test accuracy, mean of the seeds")
        axes.legend(frameon=False, loc="center right")
        axes.grid(alpha=0.3)
        return self._figure(figure, "views.svg", "Test accuracy against the number of fixed views, one line a data set")

    def _figure(self, figure: Any, name: str, alt: str) -> str:
        from matplotlib import rc_context

        self.figures.mkdir(parents=True, exist_ok=True)
        with rc_context({"svg.hashsalt": name}):  # the same measurements give the same file
            figure.savefig(self.figures / name, metadata={"Date": None})
        return f"![{alt}](/{FIGURES}/{name})\n"


def _moved(runs: Cells) -> str:
    found = [run["moved"] for run in runs if "moved" in run]
    if not found:
        return "–"
    most = max(found, key=lambda moved: moved["parameters"] + moved["buffers"])
    if not most["parameters"] + most["buffers"]:
        return f"none of {most['of']}"
    return f"{most['parameters']} parameters, {most['buffers']} buffers of {most['of']}"


def _colour(strategy: str) -> str:
    from transferlib.plots import colour

    return colour(strategy)


PARTS: dict[str, tuple[Callable[[Page], str], Callable[[Page], object]]] = {
    "circumstances": (Page.circumstances, lambda page: True),
    "targets": (Page.targets, lambda page: page.results["targets"]),
    "peers": (Page.peers, lambda page: page.runs),
    "peer_figure": (Page.peer_figure, lambda page: page.runs),
    "limits": (Page.limit, lambda page: page.limits),
    "views": (Page.view_table, lambda page: page.views),
    "view_figure": (Page.view_figure, lambda page: page.views),
    "scale": (Page.scale_table, lambda page: page.scale),
    "gpu": (Page.gpu_table, lambda page: page.results.get("gpu")),
    "allocator": (Page.allocator_table, lambda page: page.allocator),
}


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the marks of the page."""
    if docname != PAGE:
        return
    path = Path(app.srcdir, RESULTS)
    app.env.note_dependency(str(path))
    app.env.note_dependency(__file__)
    if not path.exists():
        source[0] = MARK.split(source[0])[0] + MISSING + "\n"
        return
    page = Page(json.loads(path.read_text(encoding="utf8")), Path(app.srcdir, FIGURES))

    def put(mark: re.Match[str]) -> str:
        make, there = PARTS[mark[1]]
        return make(page) if there(page) else "This has not been measured yet."

    source[0] = MARK.sub(put, source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
