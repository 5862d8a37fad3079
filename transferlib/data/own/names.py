"""Names as they are compared, and lists of them in words."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")
EXAMPLES = 3
# Cyrillic and Greek letters that look like Latin ones.
_LATIN = str.maketrans("авекмнорстухіјѕαβεικνορτυχ", "abekmhopctyxijsabeikvoptux")


def by_key(things: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Things in groups that share a key, in the order of their first."""
    found: dict[Hashable, list[T]] = defaultdict(list)
    for thing in things:
        found[key(thing)].append(thing)
    return list(found.values())


def label_of(name: str) -> str:
    """The name of a class in the one form in which names are compared: file systems write "ä" in two ways."""
    return unicodedata.normalize("NFC", name)


def seen(name: str) -> str:
    """What the eye tells of a name: no zero-width letters, no space more than one."""
    return " ".join("".join(c for c in label_of(name) if unicodedata.category(c) != "Cf").split())


def alike(names: Iterable[str]) -> list[list[str]]:
    """Names that differ only in capitals, around or between words ("1", "01", "1.0"), or in letters of another form."""

    def key(name: str) -> str:
        plain = unicodedata.normalize("NFKC", seen(name)).casefold().translate(_LATIN)
        plain = re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", plain.replace("_", " "))
        return re.sub(r"^['\"]+|^0+(?=\d)|(?<=\d)\.0+$|(?<=\w)['\".,;:]+$|( -)? copy$", "", plain)

    return [same for same in by_key(names, key) if len(same) > 1]


def number(n: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 file", "3 files"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def some(texts: Iterable[str]) -> str:
    """The first few of many."""
    texts = [text.rstrip(".") for text in texts]
    rest = f"; and {len(texts) - EXAMPLES:,} more" if len(texts) > EXAMPLES else ""
    return "; ".join(texts[:EXAMPLES]) + rest
