"""What of a scanned folder can be used: broken files, copies, leaks and classes too small to be split."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.cluster.hierarchy import DisjointSet

from transferlib.data.own.names import by_key, label_of, number, some
from transferlib.data.own.scan import Item, Scan
from transferlib.errors import DataError

GroupRule = Callable[[Path], str] | str | None
# What looks like an id that several files share, and the rule that finds it in every name; "": if it is in each.
_IDS = {
    r"^(\D*\d+)(?=[_\- (]|\.[^.]*\.|[a-zA-Z]\.)": r"^(\D*\d+|.+)",  # patient01_2.png, patient01b.png
    r"^(.+)(?=[_\- (])": r"^(.+(?=[_\- (])|.+)",  # anna_2.png; site1_patient07_2.png, where there is one site
    r"/(.+)/": "",  # ant/patient01/2.png
    r"^.+[_\- (.]([^\W\d_]+[_\- ]?\d+)(?![^\W_])(?=.*\.)": "",  # 0001_patient01.png, 0001 (patient 1) left.png
    r"^.+[_\- (.]([^\W\d_]+)(?![^\W_])(?=.*\.)": "",  # 0001_anna.png
}


@dataclass(frozen=True, eq=False)
class Cleaned:
    """What can be used of a scan, and in words what cannot.

    ids: the number of each item's group. counts: how many unrelated images of each (class, part) there are.
    left_out: one text a reason. fatal: why nothing can be done at all, if so.
    """

    items: list[Item]
    ids: dict[Item, int]
    classes: list[str]
    counts: Counter[tuple[str, str]]
    left_out: list[str]
    fatal: str


def clean(found: Scan, groups: GroupRule = None) -> Cleaned:
    """Leave out broken files, then contradictions, then leaks, then classes too small to be in every split.

    Of identical pictures with two labels all go. Of related files (identical, or of one group) in two of train,
    val and test, those farther from the test go: the test set is never thinned to save the training set.
    """
    if found.unclear:
        return Cleaned([], {}, [], Counter(), [], found.unclear)
    items, left_out = sound(found.items)
    ids = group_ids(items, groups)
    if leaks := across(by_key(items, ids.get)):
        kind = "identical pictures" if groups is None else "related files"
        parts = "/".join(folder.name for folder in found.parts.values())
        left_out.append(_pairs(leaks, f"{kind} across {parts}"))
        drop = {item for group in leaks for item in group if _rank(item) < _rank(group[-1])}
        items = [item for item in items if item not in drop]

    counts = Counter((label, part) for label, part, _ in {(item.label, item.part, ids[item]) for item in items})
    names = sorted({name for part in found.classes.values() for name in part})
    small = [name for name in names if any(counts[name, part] < found.needs(part) for part in found.parts)]
    if small:
        listed = some([_too_few(found, counts, name) for name in small])
        then = ", after that," if left_out else ""
        left_out.append(f"{number(len(small), 'class', 'classes')} too small{then} to be in every split: {listed}")
    classes = [name for name in names if name not in small]
    items = [item for item in items if item.label not in small]
    return Cleaned(items, ids, classes, counts, left_out, _fatal(found, names, len(classes)))


def sound(items: Iterable[Item]) -> tuple[list[Item], list[str]]:
    """Leave out broken files and identical pictures with two labels; what remains, and in words what does not."""
    left_out = []
    if broken := [item.error for item in items if item.error]:
        left_out.append(f"{number(len(broken), 'file')} that cannot be read: {some(broken)}")
    readable = [item for item in items if not item.error]
    if doubtful := two_labels(copies(readable)):
        left_out.append(_pairs(doubtful, "identical pictures with two different labels"))
    drop = {item for group in doubtful for item in group}
    return [item for item in readable if item not in drop], left_out


def copies(items: Iterable[Item]) -> list[list[Item]]:
    """Groups of two or more files with the same pixels, however they are compressed."""
    return [group for group in by_key(items, lambda item: item.same) if len(group) > 1]


def two_labels(groups: Iterable[list[Item]]) -> list[list[Item]]:
    """Those groups that have more than one label, sorted by it."""
    ordered = [sorted(group, key=lambda item: item.label) for group in groups]
    return [group for group in ordered if group[0].label != group[-1].label]


def across(groups: Iterable[list[Item]]) -> list[list[Item]]:
    """Those groups that are in more than one of train, val and test, sorted by it, the test last."""
    ordered = [sorted(group, key=_rank) for group in groups]
    return [group for group in ordered if group[0].part != group[-1].part]


def group_ids(items: Sequence[Item], groups: GroupRule = None) -> dict[Item, int]:
    """Number the groups: files are related if their pixels are the same, or if `groups` gives them the same id."""
    rule = _rule(groups)
    keys = [(("same", item.same), ("id", rule(item))) for item in items]
    if isinstance(groups, str) and len(items) > 1 and len({key for _, key in keys}) == 1:
        raise DataError(f"groups={groups!r} finds {keys[0][1][1]!r} in every name. Put the (brackets) around the id.")
    return dict(zip(items, related(keys), strict=True))


def related(keys: Iterable[tuple[Hashable, ...]]) -> list[int]:
    """For each thing, given its keys, the number of its group: those that share a key are in one."""
    rows = list(keys)
    groups = DisjointSet(range(len(rows)))
    first: dict[Hashable, int] = {}
    for index, row in enumerate(rows):
        for key in row:
            groups.merge(index, first.setdefault(key, index))
    found = {index: number for number, group in enumerate(groups.subsets()) for index in group}
    return [found[index] for index in range(len(rows))]


def likely_groups(items: Sequence[Item]) -> str:
    """A rule for `groups` where half of the files or more share what looks like an id in their names; or ""."""
    classes = len({item.label for item in items})
    for pattern, rule in _IDS.items():
        hits = [re.search(pattern, item.name if "/" in pattern else item.path.name) for item in items]
        # Anywhere in a name, only what is shared within a class: numbers often begin anew in each.
        found = Counter((item.label * (not rule), hit[1]) for item, hit in zip(items, hits, strict=True) if hit)
        shared, ids = sum(n for n in found.values() if n > 1), {name for _, name in found}
        if 2 * shared < len(items) or len(ids) < max(3, 2 * classes) or not (rule or all(hits)):
            continue
        if "/" in pattern and any(label_of(item.path.parent.name) == item.label for item in items):
            continue
        words = {re.split(r"\d", name, maxsplit=1)[0] for name in ids}
        simple = all(hits) and len(words) == 1 and pattern.startswith(r"^(\D")
        return rf"^({re.escape(words.pop())}\d+)" if simple else rule or pattern
    return ""


def id_doubt(path: str | os.PathLike[str], items: Sequence[Item], groups: GroupRule, depth: int | None) -> str:
    """That names look like ids and no groups are given, with the command that keeps them together; or ""."""
    if groups is not None or not (rule := likely_groups(items)):
        return ""
    divided = {item.part for item in items} >= {"train", "val", "test"}
    if divided and not across(by_key(items, group_ids(items, rule).get)):
        return ""  # the folder's own division keeps them together
    told = "the names look like ids that several files share; if an id is one patient or object, keep its files"
    return f"{told} together: {train_command(path, rule, depth)}"


def train_command(path: str | os.PathLike[str], groups: GroupRule, depth: int | None) -> str:
    """How to train on the folder with these groups, without characters that would command the terminal."""
    options = ["--groups", groups] if isinstance(groups, str) else []
    options += ["--depth", str(depth)] if depth else []
    command = shlex.join(["transferlib", "train", os.fspath(path), *options, "--out", "run"])
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in command)


def passed_over(ignored: dict[str, str]) -> list[str]:
    """In words, a reason a text, what was not looked at."""
    groups = by_key(sorted(ignored, key=lambda name: ignored[name]), lambda name: ignored[name])
    return [f"{number(len(same), 'entry', 'entries')} ({ignored[same[0]]}): {some(map(repr, same))}" for same in groups]


def _pairs(groups: Sequence[Sequence[Item]], what: str) -> str:
    """How many groups, and the first few of them, each by its first and last file."""
    listed = some([f"{group[0].name!r} and {group[-1].name!r}" for group in groups])
    return f"{number(len(groups), 'group')} of {what}: {listed}"


def _too_few(found: Scan, counts: Counter[tuple[str, str]], name: str) -> str:
    have = {part: number(counts[name, part], "unrelated image") for part in found.parts}
    said = [f"{n} in {found.called(part)} ({found.needs(part)} needed)" for part, n in have.items()]
    return f"{name!r} has {' and '.join(said)}"


def _fatal(found: Scan, names: Sequence[str], left: int) -> str:
    root = os.fspath(found.root)
    if left >= 2:
        return ""
    if not found.items:
        return found.nothing
    if len(names) == 1:
        inner = found.root / names[0]
        hint = f" Perhaps you mean {os.fspath(inner)!r}?" if "" in found.parts and any(inner.glob("*/")) else ""
        return f"{root!r} holds a single class, {names[0]!r}. A classifier needs at least two.{hint}"
    return f"{root!r} has {number(left, 'usable class', 'usable classes')} of {len(names)}. A classifier needs two."


def _rule(groups: GroupRule) -> Callable[[Item], str]:
    """The id of an item; without a rule its own pixels, which relates nothing but copies."""
    if groups is None:
        return lambda item: item.same
    if not isinstance(groups, str):
        return lambda item: str(groups(item.path))
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise DataError(f"groups={groups!r} is not a regular expression: {error}.") from error
    if not pattern.groups:
        raise DataError(f"groups={groups!r} has no (brackets) around the part of the name that is the group's id.")

    def match(item: Item) -> str:
        hit = pattern.search(item.path.name) or pattern.search(item.name)
        if not hit or not hit[1]:
            raise DataError(f"groups={groups!r} finds no id in {item.name!r}. Widen the pattern, or rename the file.")
        return str(hit[1])

    return match


def _rank(item: Item) -> int:
    return ("", "train", "val", "test").index(item.part)
