"""Gives the interactive pages, and the picture on the home page, the recorded measurements.

A comment line `% interactive: NAME` in a page becomes what the function of that name returns: data for a script, a
table for those who prefer to read, a picture. No measured number is typed by hand. In the text of a lesson, all between
`<!-- interactive: NAME -->` and `<!-- end -->` does: Jupyter and paper show what stands there, the screen the piece.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from replicated import RECORD, how_sure, score_role
from sphinx.application import Sphinx

MARK = re.compile(r"^% interactive: (\w+)$", re.M)
IN_LESSON = re.compile(r"^<!-- interactive: (\w+) -->\n(.*?)\n<!-- end -->$", re.M | re.S)
SCRIPTS = {
    "book/explorer": ("explorer.js",),
    "book/stages": ("stages.js",),
    "book/how-sure": ("sure.js",),
    "book/teach": ("learning.js", "pictures.js", "her.js", "teach.js"),
    "lessons/04_pretrained_models": ("learning.js", "pictures.js", "her.js", "spoil.js"),
    "lessons/05_feature_extraction": ("drift.js",),
    "lessons/09_case_study_skin": ("learning.js", "threshold.js"),
}
DEPTH = "lessons/studies/depth.json"
MAP = "lessons/studies/map.json"
SESSION = "lessons/studies/teach.json"
LIVE = "lessons/studies/live.json"
EXAMPLES = {"coffee": "a cup of espresso", "cat": "a cat", "garage": "a motorcycle", "palace": "a palace"}

LEAST = 3  # seeds
LONG_TRAINED = "from scratch, long-trained"
COLOURS = {
    "feature extraction": "probe",
    "progressive unfreezing": "progressive",
    "LP-FT": "lp-ft",
    "fine-tuning": "fine-tuning",
    "from scratch": "scratch",
    LONG_TRAINED: "scratch",
    "pixels": "scratch",
}
SAID = {"pixels": "logistic regression on pixels", "from scratch": "from scratch, quick"}
LABELS = {
    "photos": ("photographs", "Patches of photographs; the task is to say from which one."),
    "photos, blocks of 8": (
        "photographs, shuffled in blocks of 8",
        "The same patches, cut into blocks and shuffled.",
    ),
    "ants and bees": ("ants and bees", "Real photographs of two kinds of insects."),
    "lesions": ("skin lesions, synthetic", "Drawn by a program."),
    "isic9": ("skin lesions, real", "Photographs from the ISIC archive."),
    "digits": ("digits", "Scanned handwriting, a few pixels, enlarged."),
}


@dataclass(frozen=True)
class Measured:
    """What the map holds for one set and one number of images: the cells of each strategy, seed by seed."""

    data: str
    n: int
    classes: int
    shift: float
    cells: dict[str, list[dict[str, Any]]]

    def percent(self, strategy: str) -> list[float]:
        """Test accuracies, seed by seed; none where it was not measured."""
        return [100 * cell["accuracy"] for cell in self.cells.get(strategy, [])]


@cache
def recorded() -> dict[str, Any]:
    """The log of which the map is made."""
    return json.loads((Path(__file__).parents[2] / MAP).read_text(encoding="utf-8"))


@cache
def places() -> tuple[Measured, ...]:
    """The map as `advise` reads it, on the seeds that all strategies of a place have; the nearest set first."""
    from transferlib.advice.places import load_map, recipes

    found: dict[tuple[str, int], dict[str, dict[int, dict[str, Any]]]] = {}
    for cell in recorded()["cells"]:
        found.setdefault((cell["set"], cell["n"]), {}).setdefault(cell["strategy"], {})[cell["seed"]] = cell
    far = distances()
    made = []
    for place in load_map():
        data, n = place.data, place.similarity.images
        seeds = sorted(set.intersection(*(set(found[data, n][name]) for name in recipes(n))))
        rows = {name: [row[seed] for seed in seeds if seed in row] for name, row in found[data, n].items()}
        rows = {name: row for name, row in rows.items() if name in COLOURS and len(row) >= LEAST}
        made.append(Measured(data, n, place.similarity.classes, place.similarity.shift, rows))
    return tuple(sorted(made, key=lambda place: (far[place.data], place.n)))


@cache
def body(backbone: str) -> tuple[tuple[str, int], ...]:
    """The parameters of each stage of a network; the head, for one class, comes last."""
    import transferlib as tl

    (*below, (head, count, _)) = tl.TransferModel(backbone, 2, pretrained=False).parameter_table()
    return (*((name, size) for name, size, _ in below), (head, count // 2))


def distances() -> dict[str, float]:
    """How far each set is from the source, a mean over its places, nearest first."""
    from transferlib.advice.places import load_map

    shifts: dict[str, list[float]] = {}
    for place in load_map():
        shifts.setdefault(place.data, []).append(place.similarity.shift)
    return dict(sorted(((data, mean(found)) for data, found in shifts.items()), key=lambda pair: pair[1]))


def spent(cells: list[dict[str, Any]], *names: str) -> dict[tuple[Any, ...], float]:
    """Seconds of a processor, a mean over the cells that share these values: a graphics card's cells have none."""
    found: dict[tuple[Any, ...], list[float]] = {}
    for cell in cells:
        if "seconds" in cell:
            found.setdefault(tuple(cell[name] for name in names), []).append(cell["seconds"])
    return {key: round(mean(seconds), 1) for key, seconds in found.items()}


def explorer() -> str:
    """The map for the strategy explorer: accuracies by seed, seconds, and where all was measured."""
    from transferlib.advice.places import WIDTHS
    from transferlib.evidence.comparison import reach

    most = max(len(cells) for place in places() for cells in place.cells.values())
    seconds = spent(recorded()["cells"], "n", "strategy")

    def row(cells: list[dict[str, Any]]) -> dict[str, Any]:
        accuracies = [round(cell["accuracy"], 4) for cell in cells]
        return {"accuracies": accuracies, "seconds": seconds.get((cells[0]["n"], cells[0]["strategy"]))}

    def size(backbone: str) -> dict[str, int]:
        *below, (_, head) = body(backbone)
        return {"body": sum(count for _, count in below), "head": head}

    told = {
        "places": [
            {
                "set": place.data,
                "n": place.n,
                "classes": place.classes,
                "shift": round(place.shift, 4),
                "rows": {name: row(place.cells[name]) for name in COLOURS if name in place.cells},
            }
            for place in places()
        ],
        "sets": {
            data: {"label": LABELS[data][0], "what": LABELS[data][1], "distance": round(far, 2)}
            for data, far in distances().items()
        },
        "strategies": {name: {"said": SAID.get(name, name), "colour": colour} for name, colour in COLOURS.items()},
        "parameters": {"large": size("efficientnet_lite0"), "small": size("small_cnn")},
        "widths": dict(zip(("doublings", "shifts"), WIDTHS, strict=True)),
        "reach": [None, None, *(round(float(reach(runs)), 6) for runs in range(2, most + 1))],
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
    for place in places():
        found = [place.percent(name) for name in COLOURS]
        values = [f"{mean(v):.0f} ± {stdev(v):.0f}" if v else "–" for v in found]
        rows.append(f"| {LABELS[place.data][0]}, {place.n:,} | " + " | ".join(values) + " |")
    return "\n".join(rows) + "\n"


def stages() -> str:
    """Stages and parameters of the networks, and what was recorded for every depth of one of them."""
    import transferlib as tl

    networks = {
        "efficientnet_lite0": "EfficientNet-Lite0",
        "resnet18": "ResNet-18",
        "resnet50": "ResNet-50",
        "vit_b_16": "ViT-B/16",
    }
    phase = tl.fine_tuning().phases[0]
    told: dict[str, Any] = {
        "networks": {name: {"said": said, "stages": body(name)} for name, said in networks.items()},
        "rates": {"lr": phase.lr, "body": phase.body, "decay": phase.decay},
        "recorded": depths(),
    }
    return data_block("stages-data", told)


def depths() -> list[dict[str, Any]]:
    """Mean and spread for each set and number of learning stages, from the study of how much should learn."""
    cells = json.loads((Path(__file__).parents[2] / DEPTH).read_text(encoding="utf-8"))["cells"]
    seconds = spent(cells, "learn")
    grouped: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for cell in cells:
        grouped.setdefault((cell["set"], cell["learn"]), []).append(cell)
    return [
        {
            "set": data,
            "said": LABELS[data][0],
            "learn": learn,
            "backbone": found[0]["backbone"],
            "n": found[0]["n"],
            "seen": found[0]["seen"],
            "classes": found[0]["classes"],
            "accuracy": round(mean(cell["accuracy"] for cell in found), 3),
            "spread": round(stdev(cell["accuracy"] for cell in found), 3),
            "seeds": len(found),
            "seconds": seconds[learn,],
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
    lines = {
        "feature extraction": "a pretrained network, only its head learns",
        LONG_TRAINED: "a small network from scratch",
    }
    photos = [place for place in places() if place.data == "photos"]
    curves = {name: [(p.n, p.percent(name)) for p in photos if p.percent(name)] for name in lines}
    sizes, classes = [place.n for place in photos], photos[0].classes
    left, right, top, bottom, highest = 46, 620, 20, 250, 90

    def across(n: int) -> str:
        return f"{left + (right - left) * math.log(n / sizes[0]) / math.log(sizes[-1] / sizes[0]):.1f}"

    def down(percent: float) -> str:
        return f"{bottom - (bottom - top) * percent / highest:.1f}"

    def text(x: object, y: object, words: str, more: str = 'text-anchor="middle"') -> str:
        return f'<text x="{x}" y="{y}" {more}>{escape(words)}</text>'

    (few, with_few), (many, with_many) = curves["feature extraction"][0], curves[LONG_TRAINED][-1]
    said = (
        f"{few} patches and a pretrained network: {mean(with_few):.0f} % right. "
        f"{many} patches from scratch: {mean(with_many):.0f} %."
    )
    parts = [f'<title id="head-start-title">Test accuracy by number of training patches. {escape(said)}</title>']
    for percent in range(0, highest, 20):
        y = down(percent)
        parts.append(f'<path d="M{left} {y}H{right}" stroke="var(--pst-color-border, #ccc)" stroke-width="1"/>')
        parts.append(text(left - 6, float(y) + 5, f"{percent} %", 'text-anchor="end"'))
    parts += [text(across(n), bottom + 20, f"{n:,}") for n in sizes]
    parts.append(text((left + right) / 2, bottom + 42, "training patches"))
    guess = down(100 / classes)
    parts.append(
        f'<path d="M{left} {guess}H{right}" stroke="var(--pst-color-text-muted, #666)" stroke-dasharray="2 4"/>'
    )
    parts.append(text(right, float(guess) - 5, "guessing", 'text-anchor="end" font-size="12"'))
    for (name, words), height in zip(lines.items(), (highest - 4, 11), strict=True):
        colour, points = f"var(--{COLOURS[name]})", [(across(n), down(mean(v))) for n, v in curves[name]]
        edge = [f"{across(n)} {down(max(v))}" for n, v in curves[name]]
        edge += [f"{across(n)} {down(min(v))}" for n, v in reversed(curves[name])]
        parts.append(f'<path d="M{"L".join(edge)}Z" fill="{colour}" opacity="0.18"/>')
        parts.append(f'<path d="M{"L".join(map(" ".join, points))}" fill="none" stroke="{colour}" stroke-width="3"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in points]
        parts.append(text(left + 8, down(height), words, 'font-weight="600" font-size="15"'))
    caption = (
        f"<strong>{escape(said)}</strong> From which of {classes} photographs does a patch of 64 pixels come? Test "
        "patches are cut from other places than training patches. Points are means over the seeds, bands reach from "
        "the lowest seed to the highest. Every run had 64 more labelled patches to choose its epoch by."
    )
    return (
        '```{raw} html\n<figure class="head-start"><svg viewBox="0 0 640 300" role="img" '
        'aria-labelledby="head-start-title" font-family="system-ui, sans-serif" font-size="14" '
        f'fill="var(--pst-color-text-base, #222)">{"".join(parts)}</svg>'
        f"<figcaption>{caption}</figcaption></figure>\n```\n"
    )


def teach() -> str:
    """What the page of one's own things needs to know: the scripts to fetch, and the rule of clear and not clear."""
    from teach import MADE

    from transferlib.evidence.comparison import reach

    widths = [None, None, *(round(float(reach(runs)), 6) for runs in range(2, 6))]
    return data_block("teach-data", {**MADE, "reach": widths})


def teach_session() -> str:
    """The recorded session of that page, a film strip to read."""
    told = json.loads((Path(__file__).parents[2] / SESSION).read_text(encoding="utf-8"))
    shown = "".join(
        f'<figure><img alt="A patch of the photograph {escape(row["thing"])}" width="96" height="96" '
        f'src="data:image/jpeg;base64,{row["jpeg"]}"><figcaption>{escape(row["thing"])}: “{escape(row["word"])}” '
        f"{100 * row['sure']:.0f} %</figcaption></figure>"
        for row in told["pictures"]
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(row["student"])}</th>'
        + "".join(f"<td>{escape(value)}</td>" for value in row["values"])
        + "</tr>"
        for row in told["rows"]
    )
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in told["head"])
    said = "".join(f"<li><strong>{escape(first)}</strong> {escape(rest)}</li>" for first, rest in told["said"])
    return (
        f'```{{raw}} html\n<div class="session"><p>{escape(told["how"])}</p><div class="strip">{shown}</div>'
        f'<div class="interactive scroll" tabindex="0" role="region" aria-label="What each student reached"><table>'
        f"<caption>{escape(told['caption'])}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f'<figure class="curve">{told["curve"]}</figure><ol>{said}</ol></div>\n```\n'
    )


def piece(name: str, told: object) -> str:
    """A piece in a lesson: its data, and its place in the page."""
    html = Path(__file__).with_name("pieces").joinpath(f"{name}.html").read_text(encoding="utf-8")
    return f"{data_block(f'{name}-data', told)}\n```{{raw}} html\n{html}```\n"


@cache
def example(name: str, side: int, cut: bool) -> dict[str, str]:
    """A photograph of the course, in words and as JPEG in base64, its shorter side so long."""
    from PIL import ImageOps

    from transferlib.data.builtin.originals import photograph

    image = photograph(name, color=True)
    scale = side / min(image.size)
    size = (side, side) if cut else (round(image.width * scale), round(image.height * scale))
    ImageOps.fit(image, size).save(kept := io.BytesIO(), "JPEG", quality=88)
    return {"name": EXAMPLES[name], "jpeg": base64.b64encode(kept.getvalue()).decode()}


@cache
def live() -> tuple[dict[str, list[dict[str, Any]]], str]:
    """The record of the pieces, each with its cells in order; when it was made."""
    told = json.loads((Path(__file__).parents[2] / LIVE).read_text(encoding="utf-8"))
    cells: dict[str, list[dict[str, Any]]] = {}
    for cell in sorted(told["cells"], key=lambda cell: cell["number"]):
        cells.setdefault(cell["piece"], []).append(cell)
    return cells, max(measured["date"] for measured in told["measured"])


@cache
def norms() -> int:
    """How many BatchNorm layers the course's network has."""
    from torch import nn

    import transferlib as tl

    body = tl.TransferModel("efficientnet_lite0", 2, pretrained=False).stages
    return sum(isinstance(module, nn.BatchNorm2d) for module in body.modules())


def spoil() -> str:
    """Lesson 4: wrong preprocessing on one picture."""
    return teach() + "\n" + piece("spoil", [example(name, 192, cut=False) for name in EXAMPLES])


def drift() -> str:
    """Lesson 5: averages that drift."""
    cells, when = live()
    asked = [example(name, 96, cut=True) for name in ("cat", "coffee", "garage")]
    batches = sum("picture" in cell for cell in cells["drift"])  # then the same ones pass again
    told = {"cells": cells["drift"], "asked": asked, "batches": batches, "norms": norms(), "when": when}
    return piece("drift", told)


def threshold() -> str:
    """Lesson 9: a threshold, and who comes in."""
    cells, when = live()
    return piece("threshold", {"cells": cells["threshold"], "when": when})


PARTS: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        *(explorer, explorer_table, stages, stages_table, head_start, how_sure, teach, teach_session),
        *(spoil, drift, threshold),
    )
}


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the marks of a page, or of a lesson's text."""
    text = source[0]
    if "interactive: " not in text:
        return
    for path in (MAP, DEPTH, SESSION, LIVE, RECORD, __file__, *Path(__file__).with_name("pieces").glob("*.html")):
        app.env.note_dependency(str(Path(app.srcdir, path)))

    if Path(app.env.doc2path(docname)).suffix == ".ipynb":
        notebook = json.loads(text)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":  # never code: what was executed is known by it
                cell["source"] = IN_LESSON.sub(
                    lambda found: f"{PARTS[found[1]]()}\n:::{{container}} on-paper\n{found[2]}\n:::",
                    "".join(cell["source"]),
                )
        source[0] = json.dumps(notebook)
    else:
        source[0] = MARK.sub(lambda found: PARTS[found[1]](), text)


def add_script(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Only the pages that need a script load it."""
    for script in SCRIPTS.get(pagename, ()):
        app.add_js_file(script, loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_role("score", score_role)
    app.connect("source-read", fill)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True}
