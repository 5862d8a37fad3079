"""Sentences about the world that a page checks in front of its reader, and says how firmly it means them.

What is true by construction is an `assert`, and stops the page. What was measured is a `claim`: elsewhere it may come
out otherwise, and then the page says so.
"""

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from transferlib.errors import TransferError
from transferlib.evidence.comparison import Comparison

CLAIM = "transferlib.claim"
"""Under this name the metadata of a notebook's output carry a claim, for programs to read."""

Firmness = Literal["always", "usually"]
MAY_FALL: dict[str, float] = {"always": 0.05, "usually": 0.2}
"""In what share of replications, on other machines and with other draws, a claim may fall and still be called so."""


@dataclass(frozen=True)
class Evidence:
    """Whether what was measured carries the claim, and by how much, in its own unit; below zero it does not."""

    measured: str
    margin: float

    @property
    def holds(self) -> bool:
        """Whether the margin is positive; nan is not."""
        return self.margin > 0


def above(measured: Comparison | float, limit: float = 0.0, number: str = ".3f") -> Evidence:
    """Evidence that something is above a limit; of a comparison the whole 95 % interval must be.

    >>> import transferlib as tl
    >>> print(tl.above(0.83, 0.75).measured)
    0.830; claimed: above 0.750
    """
    low, _, said = _ends(measured, number)
    return Evidence(f"{said}above {limit:{number}}", float(low - limit))


def below(measured: Comparison | float, limit: float = 0.0, number: str = ".3f") -> Evidence:
    """Evidence that something is below a limit; of a comparison the whole 95 % interval must be."""
    _, high, said = _ends(measured, number)
    return Evidence(f"{said}below {limit:{number}}", float(limit - high))


def between(measured: Comparison | float, low: float, high: float, number: str = ".3f") -> Evidence:
    """Evidence that something lies between two limits; of a comparison the whole 95 % interval must."""
    least, most, said = _ends(measured, number)
    return Evidence(f"{said}between {low:{number}} and {high:{number}}", float(min(least - low, high - most)))


def _ends(measured: Comparison | float, number: str) -> tuple[float, float, str]:
    """The lower and the upper end of it, and how it is said, up to what is claimed."""
    if isinstance(measured, Comparison):
        return *measured.interval, f"{measured.figures(number)}; claimed: clearly "
    return measured, measured, f"{measured:{number}}; claimed: "


@dataclass(frozen=True)
class Claim:
    """A sentence, how firmly it is meant, and its evidence on this machine. Jupyter and the book show it as a box."""

    key: str
    firmly: Firmness
    sentence: str
    evidence: tuple[Evidence, ...]

    @property
    def holds(self) -> bool:
        """Whether every piece of evidence carries it."""
        return all(piece.holds for piece in self.evidence)

    @property
    def verdict(self) -> str:
        """What the page says of it."""
        return "Holds here" if self.holds else "Does not hold here"

    def __str__(self) -> str:
        lines = [f"{self.verdict} ({self.firmly}): {self.sentence}"]
        return "\n".join(lines + [f"  measured: {piece.measured}" for piece in self.evidence])

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        kind = "holds" if self.holds else "falls"
        measured = "".join(f"<li>{html.escape(piece.measured)}</li>" for piece in self.evidence)
        box = (
            f'<blockquote class="claim {kind}" id="claim-{self.key}"><p><strong>{self.verdict}</strong> '
            f'(meant: {self.firmly}). {html.escape(self.sentence)}</p><ul aria-label="measured">{measured}</ul>'
            "</blockquote>"
        )
        return {"text/plain": str(self), "text/html": box}, {CLAIM: {**asdict(self), "holds": self.holds}}


def claim(key: str, firmly: Firmness, sentence: str, *evidence: Evidence) -> None:
    """Show a claim: in Jupyter and in the book as a box that says whether it holds here, elsewhere as text.

    key: a short name, of its own in the whole course, under which replications are recorded. firmly: `always` if the
    sentence is to hold in 95 of 100 replications, `usually` for 80. A claim that falls stops nothing: it is news.
    """
    if firmly not in get_args(Firmness):
        raise TransferError(f'A claim is meant "always" or "usually", not {firmly!r}.')
    if not evidence:
        raise TransferError(f"The claim {key!r} has no evidence: give it above(…), below(…) or between(…).")
    stated = Claim(key, firmly, sentence, evidence)
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(stated)
    else:
        (display if get_ipython() else print)(stated)


def read_claims(outputs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The claims in the outputs of a notebook cell: dicts of key, firmly, sentence, evidence and holds."""
    found = [output["metadata"][CLAIM] for output in outputs if CLAIM in output.get("metadata", {})]
    plain: list[dict[str, Any]] = json.loads(json.dumps(found))  # nbformat's dicts cannot be sent to another process
    return plain


def fall_rates(record: Mapping[str, Any]) -> dict[str, float]:
    """How often claims of either firmness fall, from a record of replications; a word without runs may as it says.

    The claims of one run stand on the same draws, so what is counted is runs: with few of them the rate stays high.
    """
    rates: dict[str, float] = dict(MAY_FALL)
    for firmly in MAY_FALL:
        runs = [[c["holds"] for c in cell["claims"] if c["firmly"] == firmly] for cell in record["cells"]]
        if runs := [held for held in runs if held]:
            rates[firmly] = (sum(held.count(False) / len(held) for held in runs) + 1) / (len(runs) + 2)  # Laplace
    return rates


def too_many_fell(claims: Iterable[Mapping[str, Any]], rates: Mapping[str, float] = MAY_FALL) -> bool:
    """Whether so many fell at once that chance is no excuse: such a number, or more, is less likely than 1 in 1,000.

    rates: how often a claim of either firmness falls. The number of those that do has a Poisson binomial distribution.
    """
    fell, chances = 0, np.ones(1)  # of 0, 1, 2 … claims that fall
    for told in claims:
        fall = rates[told["firmly"]]
        chances = np.convolve(chances, [1 - fall, fall])
        fell += not told["holds"]
    return bool(chances[fell:].sum() < 1e-3)


def news(claims: Iterable[Mapping[str, Any]], rates: Mapping[str, float] = MAY_FALL) -> list[str]:
    """What the end of a build or of a test run says: a line a fallen claim, whether that is too many, and the count.

    claims: as from `read_claims`, each with its `lesson`.
    """
    told = list(claims)
    fallen = [claim for claim in told if not claim["holds"]]
    lines = [
        f"{claim['lesson']}: {claim['key']} ({claim['firmly']}) does not hold here: {claim['sentence']} "
        f"Measured: {'; '.join(piece['measured'] for piece in claim['evidence'])}"
        for claim in fallen
    ]
    if too_many_fell(told, rates):
        lines.append(f"{len(fallen)} at once are more than chance makes plausible: something is broken.")
    return [*lines, f"{len(told) - len(fallen)} of {len(told)} claims hold here."] if told else []
