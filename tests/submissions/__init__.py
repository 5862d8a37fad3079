"""Typical wrong solutions of the coursework: a file for each assignment, a mistake being a patch to the model answer.

    # what the student gets wrong
    loses test-count test-share                       the tests that fail, no others
    says Did you count tensors                        a part of what the student is told
    hidden because it would give the answer away      no visible test fails, and why that is right; else one must
    cell count                                        the solution cell
    -    return sum(p.numel() for p in parameters)    what stands in the model answer, once
    +    return len(parameters)                       what the student writes instead

Lines with + and none with - before them are the whole cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Wrong:
    """A mistake; patches: pairs of what is replaced and by what, for each solution cell."""

    name: str
    loses: set[str] = field(default_factory=set)
    says: str = ""
    hidden: str = ""
    patches: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def answers(self, model: dict[str, str]) -> dict[str, str]:
        """The cells as the student hands them in; model: the model answers, by cell."""
        written = {}
        for cell, pairs in self.patches.items():
            answer = model[cell]
            for right, wrong in pairs:
                assert not right or answer.count(right) == 1, f"{self.name}: {cell} has not once: {right}"
                answer = answer.replace(right, wrong) if right else wrong
            written[cell] = answer
        return written


def mistakes(assignment: str) -> list[Wrong]:
    """The mistakes on record for an assignment."""
    found: list[Wrong] = []
    before = ""
    for line in Path(__file__).with_name(f"{assignment}.txt").read_text(encoding="utf8").splitlines():
        mark, rest = line[:1], line[1:]
        if mark == "#":
            found.append(Wrong(rest.strip()))
        elif line.startswith("loses "):
            found[-1].loses = set(line.split()[1:])
        elif line.startswith("says "):
            found[-1].says = line[5:]
        elif line.startswith("hidden "):
            found[-1].hidden = line[7:]
        elif line.startswith("cell "):
            pairs = found[-1].patches.setdefault(line[5:], [])
        elif mark in {"-", "+"}:
            if before not in {"-", "+"} or (before, mark) == ("+", "-"):
                pairs.append(("", ""))
            right, wrong = pairs[-1]
            pairs[-1] = (f"{right}{rest}\n", wrong) if mark == "-" else (right, f"{wrong}{rest}\n")
        before = mark
    return found
