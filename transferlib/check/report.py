"""What is wrong with a folder of photographs, before anything is trained on it."""

import json
import os
from collections import Counter
from collections.abc import Iterator

from transferlib.data.own.clean import GroupRule, across, clean, copies, group_ids, id_doubt, train_command, two_labels
from transferlib.data.own.images import check_size
from transferlib.data.own.names import EXAMPLES, alike, by_key, number, some
from transferlib.data.own.near import near_copies
from transferlib.data.own.scan import MASK, UNNAMED, Item, Scan, scan

FEW = 10
SMALL = 0.5  # of the size that the network gets: enlarged to more than double, there is nothing left to see
NARROW = 3.0  # longer side to shorter: less than a third of the picture is in the central square
RARE = 0.1  # share of the images up to which a pixel mode is a surprise


class Report:
    """The findings on a folder; `print(report)` shows them as a table, `to_json()` keeps them whole.

    counts: readable images by part of the folder ("" if it has no parts) and class.
    usable: unrelated images that could be loaded with on_bad="skip", likewise; a class that is left out is absent.
    broken: the reason for each unreadable file. copies, two_labels, crossing: groups of file names.
    near: groups that look alike but have other pixels, with their exact copies; near_two_labels, near_crossing: those
    of them with two labels, and those across train, val and test. A suspicion: they do not stop the loading.
    image_size: the side in pixels that a network would get. small: files with a shorter side under half of that,
    narrow: files more than three times as long as wide, both with their "width×height". odd_modes: the files of each
    pixel mode that at most a tenth have. turned: files that lie turned, and that only their EXIF entry puts upright.
    remarks: files of which one should know how they are read: in fewer bits, by their first page, nearly black.
    tiny: classes with fewer than ten usable images in a part. modes: images by Pillow's pixel mode.
    sizes: images by "width×height". ignored: entries passed over, with the reason.
    left_out: what on_bad="skip" leaves out. fatal: why not even that helps, or "".
    depth: how deep the class folders lie, as it was given. divided: whether the folder has a test set of its own.
    alike: classes whose names look alike. doubts: in words, what is to be looked at first. next: the command that
    trains.
    """

    def __init__(self, path: str | os.PathLike[str], found: Scan, groups: GroupRule, image_size: int) -> None:
        items, cleaned = found.readable, clean(found, groups)
        called = {part: found.called(part) if part else "" for part in found.parts}
        present = Counter((item.label, item.part) for item in items)
        identical, near = copies(items), near_copies(items)
        by_mode = sorted(by_key(items, lambda item: item.mode), key=len, reverse=True)
        self.path = os.fspath(path)
        self.counts = {called[part]: {name: present[name, part] for name in found.classes[part]} for part in called}
        self.usable = {called[part]: {name: cleaned.counts[name, part] for name in cleaned.classes} for part in called}
        self.broken = {item.name: item.error for item in found.items if item.error}
        self.copies, self.two_labels = _names(identical), _names(two_labels(identical))
        self.crossing = _names(across(by_key(items, group_ids(items, groups).get)))
        self.near, self.near_two_labels, self.near_crossing = map(_names, (near, two_labels(near), across(near)))
        self.image_size = image_size
        self.small = {item.name: _shape(item) for item in items if min(item.size) < SMALL * image_size}
        self.narrow = {item.name: _shape(item) for item in items if max(item.size) > NARROW * min(item.size)}
        rare = [same for same in by_mode if len(same) <= RARE * len(items)]
        self.odd_modes = {same[0].mode: [item.name for item in same] for same in rare}
        self.turned = [item.name for item in items if item.turned]
        self.remarks = {item.name: item.remark for item in items if item.remark}
        self.tiny: dict[str, dict[str, int]] = {}
        for part, there in self.usable.items():
            for name in (name for name in there if there[name] < FEW):
                self.tiny.setdefault(name, {})[part or "images"] = there[name]
        self.modes = {same[0].mode: len(same) for same in by_mode}
        self.sizes = dict(Counter(map(_shape, items)).most_common())
        self.ignored, self.depth = found.ignored, found.depth
        self.left_out, self.fatal = cleaned.left_out, cleaned.fatal
        self.divided = {"val", "test"} & {*found.parts} != set()
        self.alike = alike(cleaned.classes)
        self.doubts = list(self._doubts(id_doubt(path, cleaned.items, groups, found.depth)))
        self.next = train_command(path, groups, found.depth)

    def _doubts(self, ids: str) -> Iterator[str]:
        if self.near_two_labels:
            yield f"{number(len(self.near_two_labels), 'group')} of near copies with two labels"
        if self.near_crossing:
            yield f"{number(len(self.near_crossing), 'group')} of near copies across train, val, test"
        elif self.near and not self.divided:
            yield f"{number(len(self.near), 'group')} of near copies, which may fall on two sides of the division"
        if ids:
            yield ids
        said = "; ".join(self.remarks.values()).split("; ")
        if len(depths := sorted({each for each in said if each.startswith("read as")})) > 1:
            yield f"grey pictures are {' and '.join(depths)}: if one camera took them, save them with 8 bits"
        if masks := [name for name, said in self.remarks.items() if said.startswith(MASK)]:
            yield f"{number(len(masks), 'file')} named like the mask of another: {some(map(repr, masks))}"
        if lost := [name for name, why in self.ignored.items() if why == UNNAMED]:
            yield f"{number(len(lost), 'picture')} passed over, as the name is not that of one: {some(map(repr, lost))}"
        for names in self.alike:
            yield f"the classes {' and '.join(map(repr, names))} look alike"
        if self.tiny:
            few = number(len(self.tiny), "class", "classes")
            yield f"{few} with fewer than {FEW} images: {some(map(repr, self.tiny))}"

    @property
    def ok(self) -> bool:
        """Whether `folder(path)` takes the folder as it is."""
        return not self.left_out and not self.fatal

    @property
    def verdict(self) -> str:
        """In one line: ready, ready but for what is to be looked at first, or not ready."""
        if self.fatal:
            return f"not ready: {self.fatal}"
        if self.left_out:
            faults = number(len(self.left_out), "kind of fault is", "kinds of fault are")
            return f"not ready: {faults} listed. Repair them, or leave these files out: {self.next} --on-bad skip"
        if self.doubts:
            return f"ready, but look at this first: {'; '.join(self.doubts)}"
        return f"ready: {self.next}"

    def to_json(self) -> str:
        """All findings as a JSON object."""
        return json.dumps({"ok": self.ok, "verdict": self.verdict, **vars(self)}, indent=2)

    def table(self) -> list[list[str]]:
        """The images and the usable images of each class in each part, between a head and a total."""
        names = sorted({name for there in self.counts.values() for name in there})
        columns = {part or "images": {**dict.fromkeys(names, 0), **there} for part, there in self.counts.items()}
        columns |= {f"{part} usable".strip(): there for part, there in self.usable.items()}
        rows = [[plain(name), *(str(there.get(name, "left out")) for there in columns.values())] for name in names]
        return [["class", *columns], *rows, ["total", *(str(sum(there.values())) for there in columns.values())]]

    def lists(self) -> list[tuple[str, list[str]]]:
        """The findings on single files and classes: a title, and each in words."""
        modes = {name: mode for mode, names in self.odd_modes.items() for name in names}
        return [
            ("broken files", list(self.broken.values())),
            (f"classes with fewer than {FEW} images", [f"{k!r}: {counted(where)}" for k, where in self.tiny.items()]),
            (f"images with a shorter side under {SMALL * self.image_size:g} pixels", _explained(self.small)),
            (f"images more than {NARROW:g} times as long as wide", _explained(self.narrow)),
            ("images of an unusual pixel mode", _explained(modes)),
            ("images that EXIF turns", [repr(name) for name in self.turned]),
            ("images to look at for how they are read", _explained(self.remarks)),
            ("ignored entries", _explained(self.ignored)),
        ]

    def __str__(self) -> str:
        if self.fatal and not self.modes and not self.broken:
            return self.verdict
        table = self.table()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [f"{self.path!r}: {number(sum(self.modes.values()), 'readable image')}, {len(table) - 2} classes", ""]
        for name, *numbers in table:
            lines.append("  ".join([name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:])]))
        broken, *others = self.lists()
        sections = [
            broken,
            ("groups of identical pictures", _files(self.copies)),
            ("… with two labels", _files(self.two_labels)),
            ("groups across train, val, test", _files(self.crossing)),
            ("groups of near copies (look at them)", _files(self.near, "~")),
            ("… with two labels", _files(self.near_two_labels, "~")),
            ("… across train, val, test", _files(self.near_crossing, "~")),
            *others,
        ]
        lines.append("")
        for title, entries in sections:
            lines += [f"{title}: {len(entries):,}", *(f"    {entry}" for entry in entries[:EXAMPLES])]
            lines += [f"    … and {len(entries) - EXAMPLES:,} more"] if len(entries) > EXAMPLES else []
        lines += [f"pixel modes: {counted(self.modes) or 'none'}", f"sizes: {self._size_range()}", ""]
        lines += ["Must be seen to before loading:"] * bool(self.left_out) + [f"- {text}." for text in self.left_out]
        if not self.divided and self.ok:
            lines += ["train, val, test: still to be drawn when you train, with whole groups; so nothing is across yet"]
        return "\n".join([*lines, self.verdict])

    def _size_range(self) -> str:
        if len(self.sizes) < 2:
            return next(iter(self.sizes), "none")
        shorter = [min(map(int, size.split("×"))) for size in self.sizes]
        return f"{len(self.sizes)} different, shorter side {min(shorter)} to {max(shorter)} pixels"


def check_folder(
    path: str | os.PathLike[str], *, groups: GroupRule = None, image_size: int = 224, depth: int | None = None
) -> Report:
    """Look at every file of a folder as `folder` would, and report instead of loading.

    groups, depth: as for `folder`. image_size: the side in pixels at which the images are to be used; those much
    smaller are named. Raises DataError only when there is no such folder, or `groups` or `image_size` do not fit.
    """
    check_size(image_size)
    return Report(path, scan(path, image_size=None, depth=depth), groups, image_size)


def _names(groups: list[list[Item]]) -> list[list[str]]:
    return [[item.name for item in group] for group in groups]


def _shape(item: Item) -> str:
    return f"{item.size[0]}×{item.size[1]}"


def plain(text: str) -> str:
    """Names with line breaks, control characters or undecodable bytes as Python writes them."""
    return text if text.isprintable() else repr(text)


def _explained(reasons: dict[str, str]) -> list[str]:
    return [f"{name!r} ({reason})" for name, reason in reasons.items()]


def _files(groups: list[list[str]], sign: str = "=") -> list[str]:
    more = [f" and {len(group) - EXAMPLES:,} more" if len(group) > EXAMPLES else "" for group in groups]
    return [f" {sign} ".join(map(repr, group[:EXAMPLES])) + rest for group, rest in zip(groups, more, strict=True)]


def counted(numbers: dict[str, int]) -> str:
    """Names with their numbers: "RGB 23, L 1"."""
    return ", ".join(f"{name} {n:,}" for name, n in numbers.items())
