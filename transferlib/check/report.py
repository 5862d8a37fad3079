"""What is wrong with a folder of photographs, before anything is trained on it."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass

from transferlib.check.near import near_copies
from transferlib.data.own.clean import (
    EXAMPLES,
    GroupRule,
    across,
    clean,
    conflicts,
    copies,
    crossing,
    group_ids,
    number,
    two_labels,
)
from transferlib.data.own.scan import Item, scan
from transferlib.errors import DataError

FEW = 10
SMALL = 0.5  # of the size that the network gets: enlarged to more than double, there is nothing left to see
NARROW = 3.0  # longer side to shorter: less than a third of the picture is in the central square
RARE = 0.1  # share of the images up to which a pixel mode is a surprise


@dataclass(frozen=True)
class Report:
    """The findings on a folder; `print(report)` shows them as a table, `to_json()` keeps them whole.

    counts: readable images by part of the folder ("" if it has no parts) and class.
    usable: unrelated images that could be loaded with on_bad="skip", likewise; a class that is left out is absent.
    broken: the reason for each unreadable file. copies, two_labels, crossing: groups of file names.
    near: groups that look alike but are not one file, with their exact copies; near_two_labels, near_crossing: those
    of them with two labels, and those across train, val and test. A suspicion: they do not stop the loading.
    image_size: the side in pixels that a network would get. small: files with a shorter side under half of that,
    narrow: files more than three times as long as wide, both with their "width×height". odd_modes: the files of each
    pixel mode that at most a tenth have. turned: files that lie turned, and that only their EXIF entry puts upright.
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
    near: list[list[str]]
    near_two_labels: list[list[str]]
    near_crossing: list[list[str]]
    image_size: int
    small: dict[str, str]
    narrow: dict[str, str]
    odd_modes: dict[str, list[str]]
    turned: list[str]
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
            [plain(name), *(str(self.counts[p].get(name, 0)) for p in parts), *(self._usable(name, p) for p in parts)]
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
        lines += _section("groups of near copies (look at them)", [_files(group, "~") for group in self.near])
        lines += _section("… with two labels", [_files(group, "~") for group in self.near_two_labels])
        lines += _section("… across train, val, test", [_files(group, "~") for group in self.near_crossing])
        tiny = [f"{name!r}: {counted(where)}" for name, where in self.tiny.items()]
        lines += _section(f"classes with fewer than {FEW} images", tiny)
        size = f"images with a shorter side under {SMALL * self.image_size:g} pixels"
        lines += _section(size, [f"{name!r} ({shape})" for name, shape in self.small.items()])
        narrow = [f"{name!r} ({shape})" for name, shape in self.narrow.items()]
        lines += _section(f"images more than {NARROW:g} times as long as wide", narrow)
        odd = [f"{name!r} ({mode})" for mode, names in self.odd_modes.items() for name in names]
        lines += _section("images of an unusual pixel mode", odd)
        lines += _section("images that EXIF turns", [repr(name) for name in self.turned])
        lines += _section("ignored entries", [f"{name!r} ({reason})" for name, reason in self.ignored.items()])
        lines += [f"pixel modes: {counted(self.modes) or 'none'}", f"sizes: {self._size_range()}", ""]
        if self.ok:
            doubt = " Look at the near copies with two labels, or across train, val and test, before you trust a score."
            suspicion = doubt * bool(self.near_two_labels or self.near_crossing)
            return "\n".join([*lines, f"Ready to be loaded.{suspicion}"])
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


def check_folder(path: str | os.PathLike[str], *, groups: GroupRule = None, image_size: int = 224) -> Report:
    """Look at every file of a folder as `folder` would, and report instead of loading.

    groups: as for `folder`. image_size: the side in pixels at which the images are to be used; those much smaller
    are named. Raises DataError only when there is no such folder, or `groups` or `image_size` do not fit.
    """
    if image_size < 1:
        raise DataError(f"image_size must be at least 1 pixel, not {image_size}.")
    found = scan(path, image_size=None)
    cleaned = clean(found, groups)
    items = found.readable
    alike = near_copies(items)
    modes = Counter(item.mode for item in items)
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
        near=_names(alike),
        near_two_labels=_names(two_labels(alike)),
        near_crossing=_names(across(alike)),
        image_size=image_size,
        small={item.name: _shape(item) for item in items if min(item.size) < SMALL * image_size},
        narrow={item.name: _shape(item) for item in items if max(item.size) > NARROW * min(item.size)},
        odd_modes={
            mode: [item.name for item in items if item.mode == mode]
            for mode in modes
            if modes[mode] <= RARE * len(items)
        },
        turned=[item.name for item in items if item.turned],
        tiny=tiny,
        modes=dict(modes.most_common()),
        sizes=dict(Counter(map(_shape, items)).most_common()),
        ignored=dict(found.ignored),
        left_out=list(cleaned.left_out),
        fatal=cleaned.fatal,
    )


def _names(groups: list[list[Item]]) -> list[list[str]]:
    return [[item.name for item in group] for group in groups]


def _shape(item: Item) -> str:
    return f"{item.size[0]}×{item.size[1]}"


def plain(text: str) -> str:
    """Names with line breaks, control characters or undecodable bytes as Python writes them."""
    return text if text.isprintable() else repr(text)


def _files(group: list[str], sign: str = "=") -> str:
    rest = f" and {len(group) - EXAMPLES:,} more" if len(group) > EXAMPLES else ""
    return f" {sign} ".join(map(repr, group[:EXAMPLES])) + rest


def counted(numbers: dict[str, int]) -> str:
    """Names with their numbers: "RGB 23, L 1"."""
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
