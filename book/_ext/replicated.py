"""How sure are we?: each claim of the lessons with what its replications found, on one page and beside the claim.

The record, lessons/studies/replications.json, holds runs of the lessons with other kernels and other draws. Runs of
another text of a lesson do not count.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from statistics import pstdev
from typing import Any

import nbformat
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.parsers.rst.states import Inliner
from scipy.stats import binom

from transferlib.evidence.claims import MAY_FALL

STUDIES = Path(__file__).parents[2] / "lessons" / "studies"
RECORD = STUDIES / "replications.json"
PAGE = "book/how-sure"
WIDTH, HEIGHT, EDGE = 320, 26, 8
ENOUGH = 20
"""From so many runs on their share decides whether a claim holds as often as it says."""


@dataclass
class Replicated:
    """A claim and its runs: whether it held in each, and the margins of each piece of its evidence."""

    key: str
    lesson: str
    firmly: str
    sentence: str
    variants: list[str] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    margins: list[list[float]] = field(default_factory=list)

    @property
    def score(self) -> str:
        """In words."""
        rests = ", which no draw moved" if self.fixed else ""
        return f"held in {sum(self.held)} of {len(self.held)} replications{rests}"

    @property
    def draws(self) -> list[int]:
        """The places of the runs that drew anew, the first draw among them: other kernels only repeat that one."""
        return [i for i, name in enumerate(self.variants) if name == "as it comes" or name.startswith("draw-")]

    @property
    def fixed(self) -> bool:
        """Whether other draws could not move it: all that it says rests on a record, or on nothing that is drawn."""
        drawn = [self.margins[i] for i in self.draws]
        return len(drawn) > 1 and all(margins == drawn[0] for margins in drawn)

    @property
    def keeps_its_word(self) -> bool:
        """Whether it holds as often as *always* or *usually* says, over all runs and over the draws alone."""
        drawn = [self.held[i] for i in self.draws]
        return often_enough(self.held, self.firmly) and often_enough(drawn, self.firmly)

    @property
    def weakest(self) -> list[float]:
        """The margins, run by run, of the piece of evidence that came nearest to falling, in its own spreads."""
        return min((list(piece) for piece in zip(*self.margins, strict=True)), key=nearness)


def often_enough(held: list[bool], firmly: str) -> bool:
    """Whether a claim fell in no larger share than it may; of few runs, whether chance (1 in 100) can explain it."""
    fell, may = held.count(False), MAY_FALL[firmly]
    return fell <= may * len(held) if len(held) >= ENOUGH else bool(binom.sf(fell - 1, len(held), may) > 0.01)


def nearness(margins: list[float]) -> float:
    """How far the smallest margin is above zero, counted in standard deviations over the runs."""
    return min(margins) / (pstdev(margins) or 1e-9)


@cache
def titles() -> dict[str, str]:
    """The lessons in their order, by file name, with their headings."""
    found = sorted(STUDIES.parent.glob("[0-9][0-9]_*.ipynb"))
    return {path.stem: nbformat.read(path, 4).cells[0].source.splitlines()[0].lstrip("# ") for path in found}


@cache
def runs() -> list[dict[str, Any]]:
    """The runs on record whose text is that of today's lessons."""
    if str(STUDIES) not in sys.path:
        sys.path.insert(0, str(STUDIES))
    from replicate import text

    if not RECORD.exists():
        return []
    now = {name: text(STUDIES.parent / f"{name}.ipynb") for name in titles()}
    cells = json.loads(RECORD.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if now.get(cell["lesson"]) == cell["text"]]


@cache
def replicated() -> dict[str, Replicated]:
    """Every claim on record by its key, the weakest first."""
    found: dict[str, Replicated] = {}
    for run in runs():
        for told in run["claims"]:
            one = Replicated(told["key"], run["lesson"], told["firmly"], told["sentence"])
            one = found.setdefault(told["key"], one)
            one.variants.append(run["variant"])
            one.held.append(told["holds"])
            one.margins.append([piece["margin"] for piece in told["evidence"]])
    weak = sorted(found.values(), key=lambda one: (sum(one.held) / len(one.held), one.fixed, nearness(one.weakest)))
    return {one.key: one for one in weak}


def how_sure() -> str:
    """What was run, and each claim with its lesson, its score and its margins."""
    if not runs():
        return "Nothing is on record: `make replicate` makes one.\n"
    counts, hours = Counter(run["lesson"] for run in runs()), sum(run["seconds"] for run in runs()) / 3600
    claims, told = replicated(), json.loads(RECORD.read_text(encoding="utf-8"))
    used = {run["measured"] for run in runs()}
    machines = sorted({machine["machine"].partition(",")[0] for i, machine in enumerate(told["measured"]) if i in used})
    always = sum(all(one.held) for one in claims.values())
    errors = sum(len(run["errors"]) for run in runs())
    broken = sum(not one.keeps_its_word for one in claims.values())
    of = f"{len(counts)} lesson" + "s" * (len(counts) > 1)
    said = f"{hours:.0f} hour" + "s" * (round(hours) != 1)
    lines = [
        f"**{len(claims)} claims, {sum(counts.values())} runs of {of}, {said} of one processor core.** "
        f"{always} claims held in every run; {broken or 'none'} fell more often than it may. "
        f"Of the invariants, {errors or 'none'} broke.",
        "",
        f"Run on {'; '.join(machines)}.",
        "",
    ]
    missing = [title for name, title in titles().items() if name not in counts]
    if missing:
        lines += [f"Not replicated yet in their present wording: {'; '.join(missing)}.", ""]
    options = "".join(f'<option value="{name}">{escape(title)}</option>' for name, title in titles().items())
    form = (
        '<form id="sure" hidden><label>Lesson <select name="lesson"><option value="">all</option>'
        f'{options}</select></label> <label><input type="checkbox" name="fell"> only those that fell at least once'
        "</label> <output></output></form>"
    )
    items = "\n".join(item(one) for one in claims.values())
    return "\n".join([*lines, "```{raw} html", form, f'<ol class="replicated">\n{items}\n</ol>', "```", ""])


def item(one: Replicated) -> str:
    """A claim as an item of the list."""
    return (
        f'<li id="sure-{one.key}" data-lesson="{one.lesson}" data-fell="{int(not all(one.held))}">'
        f'<p>{escape(one.sentence)}</p><p class="score"><strong>{one.score}</strong> · meant: {one.firmly} · '
        f'<a href="../lessons/{one.lesson}.html#claim-{one.key}">{escape(titles()[one.lesson])}</a></p>'
        f"{strip(one.weakest, one.variants)}</li>"
    )


def strip(margins: list[float], variants: list[str]) -> str:
    """A dot a run, which names itself: right of the line the claim holds, by so much; left of it, it falls."""
    low, high = min(0.0, *margins), max(0.0, *margins)

    def across(value: float) -> str:
        return f"{EDGE + (WIDTH - 2 * EDGE) * (value - low) / (high - low or 1):.1f}"

    dots = "".join(
        # In three rows, so that equal ones do not hide each other.
        f'<circle cx="{across(m)}" cy="{5 + 8 * (i % 3)}" r="4" class="{"holds" if m > 0 else "falls"}">'
        f"<title>{name}: {m:+.3g}</title></circle>"
        for i, (m, name) in enumerate(zip(margins, variants, strict=True))
    )
    zero = across(0.0)
    said = f"Margins of its weakest evidence: from {min(margins):+.3g} to {max(margins):+.3g}; below zero it falls."
    return (
        f'<svg class="margins" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}"><title>{said}</title>'
        f'<path class="zero" d="M{zero} 0V{HEIGHT}"/>{dots}</svg>'
    )


def score(key: str) -> str:
    """The score of a claim, as a link to its replications, from a page of a folder beside that of the book."""
    one = replicated().get(key)
    told, anchor = (one.score, f"#sure-{key}") if one else ("not replicated yet in this wording", "")
    return f'<a href="../{PAGE}.html{anchor}">{told}</a>'


def add_scores(page: BeautifulSoup) -> None:
    """Beside each claim of a page its score."""
    for box in page.select("blockquote.claim[id^=claim-]"):
        line = page.new_tag("p", attrs={"class": "score"})
        line.append(BeautifulSoup(score(str(box["id"]).removeprefix("claim-")), "html.parser"))
        box.append(line)


@cache
def code() -> str:
    """All that the lessons compute."""
    books = (nbformat.read(STUDIES.parent / f"{name}.ipynb", 4) for name in titles())
    return "\n".join(cell.source for book in books for cell in book.cells if cell.cell_type == "code")


def score_role(
    _name: str, raw: str, key: str, line: int, inliner: Inliner, *_: object
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """{score}`KEY` in a page: the score of a claim, behind a sentence that rests on it."""
    if f'"{key}"' not in code():
        wrong = inliner.reporter.error(f"No lesson claims {key!r}: name a claim's key.", line=line)
        return [inliner.problematic(raw, raw, wrong)], [wrong]
    return [nodes.raw("", f'<span class="score">{score(key)}</span>', format="html")], []
