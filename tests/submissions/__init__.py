"""Typical wrong solutions of the coursework, a module for each assignment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wrong:
    """What a student writes, by solution cell; the tests that it must fail, no others; a part of what it is told."""

    name: str
    cells: dict[str, str]
    loses: frozenset[str]
    says: str
