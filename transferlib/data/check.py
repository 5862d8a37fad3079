"""What is wrong with a folder of photographs, before anything is trained on it."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass

from transferlib.data.clean import EXAMPLES, GroupRule, clean, conflicts, copies, crossing, group_ids, number
from transferlib.data.scan import Item, scan

FEW = 10


@dataclass(frozen=True)
class Report:
    """The findings on a folder; `print(report)` shows them as a table, `to_json()` keeps them whole.

    counts: readable images by part of the folder ("" if it has no parts) and class.
    usable: unrelated images that could be loaded with on_bad="skip", likewise; a class that is left out is absent.
    broken: the reason for each unreadable file. copies, two_labels, crossing: groups of file names.
    tiny: classes with fewer than ten usable images in a part. modes: images by Pillow's pixel mode.
    sizes: images by "width×height". ignored: entries passed over, with the reason.
    left_out: what on_bad="skip" leaves out. fatal: why not even that helps, or "".
    """

    path: str
    counts: dict[str, dict[str, int]]
    usable: dict[str, dict[str, int]]
    broken: dict[str, str]
    copies: list[list[str]]
    two_labels: list[list[str]]
    crossing: list[list[str]]
    tiny: dict[str, dict[str, int]]
    modes: dict[str, int]
    sizes: dict[str, int]
    ignored: dict[str, str]
    left_out: list[str]
    fatal: str

    @property
    def ok(self) -> bool:
        """Whether `folder(path)` takes the folder as it is."""
        return not self.left_out and not self.fatal

    def to_json(self) -> str:
        """All findings as a JSON object."""
        return json.dumps({"ok": self.ok, **asdict(self)}, indent=2)

    def __str__(self) -> str:
        parts = list(self.counts)
        names = sorted({name for part in parts for name in self.counts[part]})
        head = ["class", *(part or "images" for part in parts), *(f"{part} usable".strip() for part in parts)]
        table = [
            [_plain(name), *(str(self.counts[p].get(name, 0)) for p in parts), *(self._usable(name, p) for p in parts)]
            for name in names
        ]
        total = [sum(side[part].values()) for side in (self.counts, self.usable) for part in parts]
        lines = [f"{self.path!r}: {number(sum(total[: len(parts)]), 'readable image')}, {len(names)} classes", ""]
        lines += _table([head, *table, ["total", *map(str, total)]]) if names else []
        lines += [""]
        lines += _section("broken files", list(self.broken.values()))
        lines += _section("groups of identical files", [_files(group) for group in self.copies])
        lines += _section("… with two labels", [_files(group) for group in self.two_labels])
        lines += _section("groups across train, val, test", [_files(group) for group in self.crossing])
        tiny = [f"{name!r}: {_counts(where)}" for name, where in self.tiny.items()]
        lines += _section(f"classes with fewer than {FEW} images", tiny)
        lines += _section("ignored entries", [f"{name!r} ({reason})" for name, reason in self.ignored.items()])
        lines += [f"pixel modes: {_counts(self.modes) or 'none'}", f"sizes: {self._size_range()}", ""]
        if self.ok:
            return "\n".join([*lines, "Ready to be loaded."])
        lines += ["Must be seen to before loading:"]
        lines += [f"- {text}." for text in self.left_out]
        lines += [f"- {self.fatal}"] if self.fatal else ['on_bad="skip" leaves all this out.']
        return "\n".join(lines)

    def _usable(self, name: str, part: str) -> str:
        return str(self.usable[part].get(name, "left out"))

    def _size_range(self) -> str:
        if len(self.sizes) < 2:
            return next(iter(self.sizes), "none")
        by_area = sorted(self.sizes, key=lambda text: [int(side) for side in text.split("×")])
        shortest = sorted(min(map(int, size.split("×"))) for size in by_area)
        return f"{len(self.sizes)} different, shorter side {shortest[0]} to {shortest[-1]} pixels"


def check_folder(path: str | os.PathLike[str], *, groups: GroupRule = None) -> Report:
    """Look at every file of a folder as `folder` would, and report instead of loading.

    groups: as for `folder`. Raises DataError only when there is no such folder, or `groups` does not fit.
    """
    found = scan(path, image_size=64, keep=False)
    cleaned = clean(found, groups)
    items = found.readable
    names = {found.called(part) if part else "": part for part in found.parts}
    counts, usable, tiny = {}, {}, {}
    for shown, part in names.items():
        present = Counter(item.label for item in items if item.part == part)
        counts[shown] = {label: present[label] for label in found.classes[part]}
        usable[shown] = {label: cleaned.counts[label, part] for label in cleaned.classes}
    for label in cleaned.classes:
        if few := {part or "images": usable[part][label] for part in usable if usable[part][label] < FEW}:
            tiny[label] = few
    return Report(
        path=os.fspath(path),
        counts=counts,
        usable=usable,
        broken={item.name: item.error for item in found.items if item.error},
        copies=_names(copies(items)),
        two_labels=_names(conflicts(items)),
        crossing=_names(crossing(items, group_ids(items, groups))),
        tiny=tiny,
        modes=dict(Counter(item.mode for item in items).most_common()),
        sizes=dict(Counter(f"{item.size[0]}×{item.size[1]}" for item in items).most_common()),
        ignored=dict(found.ignored),
        left_out=list(cleaned.left_out),
        fatal=cleaned.fatal,
    )


def _names(groups: list[list[Item]]) -> list[list[str]]:
    return [[item.name for item in group] for group in groups]


def _plain(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _files(group: list[str]) -> str:
    return " = ".join(map(repr, group))


def _counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in numbers.items())


def _section(title: str, entries: list[str]) -> list[str]:
    rest = [f"    … and {len(entries) - EXAMPLES:,} more"] if len(entries) > EXAMPLES else []
    return [f"{title}: {len(entries):,}", *(f"    {entry}" for entry in entries[:EXAMPLES]), *rest]


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
