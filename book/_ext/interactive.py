"""Gives the interactive pages, and the picture on the home page, the recorded measurements.

A comment line `% interactive: NAME` in a page becomes what the function of that name returns: data for a script, a
table for those who prefer to read, a picture. No number is typed by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from sphinx.application import Sphinx

MARK = re.compile(r"^% interactive: (\w+)$", re.M)
SCRIPTS = {"book/explorer": "explorer.js", "book/stages": "stages.js"}
DEPTH = "lessons/studies/depth.json"
MAP = "transferlib/map.json"

PATIENT = "from scratch, with patience"
COLOURS = {
    "feature extraction": "probe",
    "progressive unfreezing": "progressive",
    "LP-FT": "lp-ft",
    "fine-tuning": "fine-tuning",
    "from scratch": "scratch",
    PATIENT: "scratch",
    "pixels": "scratch",
}
SAID = {"pixels": "logistic regression on pixels", "from scratch": "from scratch, in a hurry"}
LABELS = {
    "photos": ("photographs", "Pieces of sixteen photographs; the task is to say from which."),
    "photos, blocks of 16": ("photographs, shuffled in blocks of 16", "The same pieces, cut into blocks and shuffled."),
    "photos, blocks of 8": ("photographs, shuffled in blocks of 8", "The same pieces, cut finer."),
    "photos, blocks of 4": ("photographs, shuffled in blocks of 4", "The same pieces, cut to crumbs."),
    "hymenoptera": ("ants and bees", "Real photographs of two kinds of insects."),
    "lesions": ("skin lesions, synthetic", "Synthetic: drawn by a program, five kinds."),
    "isic9": ("skin lesions, real", "Photographs from the ISIC archive, eight kinds."),
    "digits": ("digits", "Scanned handwriting, 8 × 8 pixels, enlarged."),
}


@cache
def recorded() -> dict[str, Any]:
    """The map, as it comes with the package."""
    import transferlib

    return json.loads(Path(transferlib.__file__).with_name("map.json").read_text(encoding="utf-8"))


@cache
def cells() -> dict[tuple[str, int], dict[str, list[dict[str, Any]]]]:
    """The cells of each place of the map, by strategy, in the order of their seeds."""
    from transferlib.advice import load_map

    there = {(place.data, place.similarity.images) for place in load_map()}
    found: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = {}
    for cell in sorted(recorded()["cells"], key=lambda cell: cell["seed"]):
        if (cell["set"], cell["n"]) in there:
            found.setdefault((cell["set"], cell["n"]), {}).setdefault(cell["strategy"], []).append(cell)
    return found


@cache
def body(backbone: str) -> tuple[tuple[str, int], ...]:
    """The parameters of each stage of a network; the head, for one class, comes last."""
    import transferlib as tl

    (*below, (head, count, _)) = tl.TransferModel(backbone, 2, pretrained=False).parameter_table()
    return (*((name, size) for name, size, _ in below), (head, count // 2))


def distances() -> dict[str, float]:
    """How far each set is from the source, a mean over its places, nearest first."""
    from transferlib.advice import load_map

    shifts: dict[str, list[float]] = {}
    for place in load_map():
        shifts.setdefault(place.data, []).append(place.similarity.shift)
    return dict(sorted(((data, mean(found)) for data, found in shifts.items()), key=lambda pair: pair[1]))


def explorer() -> str:
    """The map for the strategy explorer: accuracies by seed, median seconds, and where all was measured."""
    from transferlib.advice import DOUBLINGS, SHIFTS, load_map, recipes

    shifts = {(place.data, place.similarity.images): place.similarity.shift for place in load_map()}
    places = []
    for (data, n), strategies in cells().items():
        rows = {}
        # As advise does: the strategies of a place are compared on the seeds that all of them have.
        common = set.intersection(*({c["seed"] for c in strategies[name]} for name in recipes(1)))
        for name in COLOURS:
            found = [c for c in strategies.get(name, []) if c["seed"] in common]
            if len(found) >= 3:
                seconds = [cell["seconds"] for cell in found if "seconds" in cell]
                rows[name] = {
                    "accuracies": [round(cell["accuracy"], 4) for cell in found],
                    "seconds": round(mean(seconds), 1) if seconds else None,
                }
        classes = strategies["similarity"][0]["classes"]
        places.append({"set": data, "n": n, "classes": classes, "shift": round(shifts[data, n], 4), "rows": rows})
    lite0, small = body("efficientnet_lite0"), body("small_cnn")
    told = {
        "places": places,
        "sets": {
            data: {"label": LABELS[data][0], "what": LABELS[data][1], "distance": round(far, 2)}
            for data, far in distances().items()
        },
        "strategies": {name: {"said": SAID.get(name, name), "colour": colour} for name, colour in COLOURS.items()},
        "parameters": {
            "large": {"body": sum(count for _, count in lite0[:-1]), "head": lite0[-1][1]},
            "small": {"body": sum(count for _, count in small[:-1]), "head": small[-1][1]},
        },
        "widths": {"doublings": DOUBLINGS, "shifts": SHIFTS},
        "measured": sorted({m["machine"] for m in recorded()["measured"]}),
        "dates": sorted(m["date"] for m in recorded()["measured"]),
    }
    return data_block("explorer-data", told)


def data_block(name: str, told: object) -> str:
    """Data for a script; not executed, so that the page's security policy has nothing to allow."""
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return f'```{{raw}} html\n<script type="application/json" id="{name}">{text}</script>\n```\n'


def explorer_table() -> str:
    """Every number of the explorer, to read."""
    rows = ["| data, training images | " + " | ".join(SAID.get(name, name) for name in COLOURS) + " |"]
    rows.append("|---" * (len(COLOURS) + 1) + "|")
    for data in distances():
        for (name, n), strategies in sorted(cells().items()):
            if name == data:
                found = [[100 * c["accuracy"] for c in strategies.get(s, [])] for s in COLOURS]
                values = [f"{mean(v):.0f} ± {stdev(v):.0f}" if len(v) > 2 else "–" for v in found]
                rows.append(f"| {LABELS[data][0]}, {n:,} | " + " | ".join(values) + " |")
    return "\n".join(rows) + "\n"


def stages() -> str:
    """Stages and parameters of the networks, and what was recorded for every depth of one of them."""
    import transferlib as tl

    networks = {
        "efficientnet_lite0": "EfficientNet-Lite0",
        "resnet18": "ResNet-18",
        "resnet50": "ResNet-50",
        "vit_b_16": "ViT-B/16",
        "minilm": "MiniLM (text)",
        "small_cnn": "a small CNN",
    }
    phase = tl.fine_tuning().phases[0]
    told: dict[str, Any] = {
        "networks": {name: {"said": said, "stages": body(name)} for name, said in networks.items()},
        "rates": {"lr": phase.lr, "body": phase.body, "decay": phase.decay},
        "recorded": depths(),
    }
    return data_block("stages-data", told)


@cache
def depth_cells(path: Path) -> list[dict[str, Any]]:
    """The study of how much of the network should learn."""
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def depths() -> list[dict[str, Any]]:
    """Mean and spread for each set and number of learning stages."""
    grouped: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for cell in depth_cells(Path(__file__).parents[2] / DEPTH):
        grouped.setdefault((cell["set"], cell["learn"]), []).append(cell)
    return [
        {
            "set": data,
            "said": LABELS[data][0],
            "learn": learn,
            "backbone": found[0]["backbone"],
            "n": found[0]["n"],
            "classes": found[0]["classes"],
            "accuracy": round(mean(cell["accuracy"] for cell in found), 3),
            "spread": round(stdev(cell["accuracy"] for cell in found), 3),
            "seeds": len(found),
            "seconds": round(mean(cell["seconds"] for cell in found), 1),
        }
        for (data, learn), found in grouped.items()
    ]


def stages_table() -> str:
    """Every recorded result of the stage diagram, to read."""
    found = depths()
    sets = list(dict.fromkeys(row["set"] for row in found))
    at = {(row["set"], row["learn"]): row for row in found}
    names = [name for name, _ in body("efficientnet_lite0")]
    lines = ["| what learns | " + " | ".join(LABELS[s][0] for s in sets) + " |", "|---" * (len(sets) + 1) + "|"]
    for learn in sorted({row["learn"] for row in found}):
        what = "the head" if not learn else "everything" if learn == len(names) - 1 else f"from {names[-1 - learn]} on"
        values = [f"{100 * at[s, learn]['accuracy']:.0f} ± {100 * at[s, learn]['spread']:.0f} %" for s in sets]
        lines.append(f"| {what} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def head_start() -> str:
    """The picture of the home page: photographs, with a head start and without."""
    import math

    lines = {
        "feature extraction": "a pretrained network, only its head learns",
        PATIENT: "a small network from scratch",
    }
    points: dict[str, list[tuple[int, float, float, float]]] = {}
    for (data, n), strategies in sorted(cells().items()):
        for name in lines:
            if data == "photos" and len(found := strategies.get(name, [])) >= 3:
                values = [100 * cell["accuracy"] for cell in found]
                points.setdefault(name, []).append((n, mean(values), min(values), max(values)))
    sizes = sorted({n for row in points.values() for n, *_ in row})
    classes = cells()["photos", sizes[0]]["similarity"][0]["classes"]
    left, right, top, bottom = 46, 620, 20, 250
    across = lambda n: left + (right - left) * math.log(n / sizes[0]) / math.log(sizes[-1] / sizes[0])  # noqa: E731
    down = lambda value: bottom - (bottom - top) * value / 90  # noqa: E731
    few, many = points["feature extraction"][0], points[PATIENT][-1]
    said = (
        f"{few[0]} photographs and a pretrained network: {few[1]:.0f} % right. "
        f"{many[0]} photographs from scratch: {many[1]:.0f} %."
    )
    parts = [
        '<figure class="head-start"><svg viewBox="0 0 640 300" role="img" aria-labelledby="head-start-title" '
        'font-family="system-ui, sans-serif" font-size="14" fill="var(--pst-color-text-base, #222)">',
        f'<title id="head-start-title">Test accuracy by number of training photographs. {escape(said)}</title>',
    ]
    for value in (0, 20, 40, 60, 80):
        y = down(value)
        parts.append(f'<path d="M{left} {y:.1f}H{right}" stroke="var(--pst-color-border, #ccc)" stroke-width="1"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 5:.1f}" text-anchor="end">{value}%</text>')
    for n in sizes:
        parts.append(f'<text x="{across(n):.1f}" y="{bottom + 20}" text-anchor="middle">{n:,}</text>')
    parts.append(f'<text x="{(left + right) / 2}" y="{bottom + 42}" text-anchor="middle">training photographs</text>')
    guess = down(100 / classes)
    parts.append(
        f'<path d="M{left} {guess:.1f}H{right}" stroke="var(--pst-color-text-muted, #666)" stroke-dasharray="2 4"/>'
        f'<text x="{right}" y="{guess - 5:.1f}" text-anchor="end" font-size="12">guessing</text>'
    )
    for name, text in lines.items():
        colour = f"var(--{COLOURS[name]})"
        row = points[name]
        outline = [f"{across(n):.1f} {down(high):.1f}" for n, _, _, high in row]
        outline += [f"{across(n):.1f} {down(low):.1f}" for n, _, low, _ in reversed(row)]
        parts.append(f'<path d="M{"L".join(outline)}Z" fill="{colour}" opacity="0.18"/>')
        path = "L".join(f"{across(n):.1f} {down(value):.1f}" for n, value, *_ in row)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="3"/>')
        for n, value, *_ in row:
            parts.append(f'<circle cx="{across(n):.1f}" cy="{down(value):.1f}" r="4" fill="{colour}"/>')
        height = 86 if name != PATIENT else 11
        parts.append(
            f'<text x="{left + 8}" y="{down(height):.1f}" font-weight="600" font-size="15">{escape(text)}</text>'
        )
    parts.append(
        f"</svg><figcaption><strong>{escape(said)}</strong> {classes} classes, 64 pixels; each point is a mean of "
        "three seeds or more, and the bands hold all of them.</figcaption></figure>"
    )
    return "```{raw} html\n" + "".join(parts) + "\n```\n"


PARTS: dict[str, Callable[[], str]] = {
    function.__name__: function for function in (explorer, explorer_table, stages, stages_table, head_start)
}


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the marks of a page."""
    if not MARK.search(source[0]):
        return
    for path in (MAP, DEPTH, __file__):
        app.env.note_dependency(str(Path(app.srcdir, path)))
    source[0] = MARK.sub(lambda mark: PARTS[mark[1]](), source[0])


def add_script(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Only the pages that need a script load it."""
    if script := SCRIPTS.get(pagename):
        app.add_js_file(script, loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", fill)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True}
