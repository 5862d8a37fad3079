"""What of a scanned folder can be used: broken files, copies, leaks and classes too small to be split."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transferlib.data.own.scan import Item, Scan
from transferlib.errors import DataError

GroupRule = Callable[[Path], str] | str | None
EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class Cleaned:
    """What can be used of a scan, and in words what cannot.

    groups: one number an item. left_out: one text a reason. fatal: why nothing can be done at all, if so.
    """

    items: tuple[Item, ...]
    groups: tuple[int, ...]
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    fatal: str

    @cached_property
    def counts(self) -> Counter[tuple[str, str]]:
        """How many unrelated images of each (class, part) there are."""
        pairs = zip(self.items, self.groups, strict=True)
        return Counter((label, part) for label, part, _ in {(item.label, item.part, group) for item, group in pairs})


def clean(found: Scan, groups: GroupRule = None) -> Cleaned:
    """Leave out broken files, then contradictions, then leaks, then classes too small to be in every split.

    Of identical files with two labels all go. Of related files (identical, or of one group) in two of train,
    val and test, those farther from the test go: the test set is never thinned to save the training set.
    """
    left_out: list[str] = []
    items = found.readable
    if broken := [item.error for item in found.items if item.error]:
        left_out.append(f"{number(len(broken), 'file')} that cannot be read: {some(broken)}")

    if doubtful := conflicts(items):
        left_out.append(
            f"{number(len(doubtful), 'group')} of identical files with two different labels: {some_pairs(doubtful)}"
        )
        drop = {item for group in doubtful for item in group}
        items = [item for item in items if item not in drop]

    ids = group_ids(items, groups)
    if leaks := crossing(items, ids):
        kind = "identical files" if groups is None else "related files"
        parts = "/".join(found.called(part).rstrip("/") for part in found.parts)
        left_out.append(f"{number(len(leaks), 'group')} of {kind} across {parts}: {some_pairs(leaks)}")
        drop = {item for group in leaks for item in group if _rank(item) < _rank(group[-1])}
        ids = [group for item, group in zip(items, ids, strict=True) if item not in drop]
        items = [item for item in items if item not in drop]

    names = sorted({name for part in found.classes.values() for name in part})
    usable = Cleaned(tuple(items), tuple(ids), tuple(names), (), "")
    small = {label: reason for label in names if (reason := _too_few(found, usable, label))}
    if small:
        listed = some([f"{label!r} has {reason}" for label, reason in small.items()])
        then = ", after that," if left_out else ""
        left_out.append(f"{number(len(small), 'class', 'classes')} too small{then} to be in every split: {listed}")
    keep = [i for i, item in enumerate(items) if item.label not in small]
    return Cleaned(
        tuple(items[i] for i in keep),
        tuple(ids[i] for i in keep),
        tuple(label for label in names if label not in small),
        tuple(left_out),
        _fatal(found, names, len(names) - len(small)),
    )


def copies(items: Iterable[Item]) -> list[list[Item]]:
    """Groups of two or more identical files (same SHA-256)."""
    items = list(items)
    return _alike(items, [item.sha256 for item in items])


def conflicts(items: Iterable[Item]) -> list[list[Item]]:
    """Groups of identical files with more than one label; the first and the last of each group differ in it."""
    return two_labels(copies(items))


def crossing(items: Iterable[Item], ids: Iterable[Hashable]) -> list[list[Item]]:
    """Groups (one id an item) in more than one of train, val and test; the last of each is nearest to the test."""
    return across(_alike(items, ids))


def two_labels(groups: Iterable[list[Item]]) -> list[list[Item]]:
    """Those groups that have more than one label, sorted by it."""
    ordered = [sorted(group, key=lambda item: item.label) for group in groups]
    return [group for group in ordered if group[0].label != group[-1].label]


def across(groups: Iterable[list[Item]]) -> list[list[Item]]:
    """Those groups that are in more than one of train, val and test, sorted by it, the test last."""
    ordered = [sorted(group, key=_rank) for group in groups]
    return [group for group in ordered if group[0].part != group[-1].part]


def group_ids(items: Iterable[Item], groups: GroupRule = None) -> list[int]:
    """Number the groups: files are related if they are identical, or if `groups` gives them the same id."""
    rule = _rule(groups)
    items = list(items)
    joined = Joined(len(items))
    first: dict[Hashable, int] = {}
    for i, item in enumerate(items):
        for key in [("sha256", item.sha256)] + ([("id", rule(item))] if rule else []):
            joined.join(i, first.setdefault(key, i))
    return joined.tops()


class Joined:
    """The numbers from 0 to n - 1 in groups that grow together; each is called by its smallest number."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def top(self, i: int) -> int:
        """The smallest number in the group of i."""
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        """Make one group of those of i and j."""
        one, other = sorted((self.top(i), self.top(j)))
        self._parent[other] = one

    def tops(self) -> list[int]:
        """The group of each number."""
        return [self.top(i) for i in range(len(self._parent))]


def number(n: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 file", "3 files"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def some(texts: Sequence[str]) -> str:
    """The first few of many."""
    rest = f"; and {len(texts) - EXAMPLES:,} more" if len(texts) > EXAMPLES else ""
    return "; ".join(text.rstrip(".") for text in texts[:EXAMPLES]) + rest


def some_pairs(groups: Sequence[Sequence[Item]]) -> str:
    """The first few of many groups, each by its first and last file."""
    return some([f"{group[0].name!r} and {group[-1].name!r}" for group in groups])


def _too_few(found: Scan, usable: Cleaned, label: str) -> str:
    have = {part: usable.counts[label, part] for part in found.parts}
    if all(n >= found.needs(part) for part, n in have.items()):
        return ""
    return " and ".join(
        f"{number(n, 'unrelated image')} in {found.called(part)} ({found.needs(part)} needed)"
        for part, n in have.items()
    )


def _fatal(found: Scan, names: Sequence[str], left: int) -> str:
    root = os.fspath(found.root)
    if left >= 2:
        return ""
    if not found.items:
        loose = sum(reason == "not in a class folder" for _, reason in found.ignored)
        seen = f"{number(loose, 'file')} but no class folder with images" if loose else "no images"
        return f"{root!r} holds {seen}. Sort the images into one folder for each class: <folder>/<class>/*.jpg."
    if len(names) == 1:
        inner = next((found.root / names[0]).glob("*/"), None) if "" in found.parts else None
        hint = f" Perhaps you mean {os.fspath(found.root / names[0])!r}?" if inner else ""
        return f"{root!r} holds a single class, {names[0]!r}. A classifier needs at least two.{hint}"
    return f"{root!r} has {number(left, 'usable class', 'usable classes')} of {len(names)}. A classifier needs two."


def _rule(groups: GroupRule) -> Callable[[Item], str] | None:
    if groups is None:
        return None
    if not isinstance(groups, str):
        return lambda item: str(groups(item.path))
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise DataError(f"groups={groups!r} is not a regular expression: {error}.") from error
    if not pattern.groups:
        raise DataError(f"groups={groups!r} has no (brackets) around the part of the file name that is the group's id.")

    def match(item: Item) -> str:
        hit = pattern.search(item.path.name)
        if hit is None or hit[1] is None:
            raise DataError(f"groups={groups!r} finds no id in {item.name!r}. Widen the pattern, or rename the file.")
        return str(hit[1])

    return match


def _alike(items: Iterable[Item], keys: Iterable[Hashable]) -> list[list[Item]]:
    found: dict[Hashable, list[Item]] = defaultdict(list)
    for item, key in zip(items, keys, strict=True):
        found[key].append(item)
    return [group for group in found.values() if len(group) > 1]


def _rank(item: Item) -> int:
    return ("", "train", "val", "test").index(item.part)
