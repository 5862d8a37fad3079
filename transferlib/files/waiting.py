"""What whoever waits is told."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST, LATEST = 2.0, 30.0  # seconds until the first line, and at most between two of them


@contextmanager
def waiting(what: str, total: int = 0) -> Iterator[Callable[[], None]]:
    """Say what is being done once it takes longer than two seconds; the function it gives is called for each part done.

    The lines are notes of the logger: where nobody hears them, nothing is said.
    """
    begun, done, over = time.monotonic(), 0, Event()

    def count() -> None:
        nonlocal done
        done += 1

    def tell() -> None:
        pause = FIRST
        while not over.wait(pause):
            far = f": {done:,} of {total:,}" if total else ""
            log.info("%s%s, %.0f s so far", what, far, time.monotonic() - begun)
            pause = min(2 * pause, LATEST)

    if log.isEnabledFor(logging.INFO):
        Thread(target=tell, daemon=True).start()
    try:
        yield count
    finally:
        over.set()


def each(items: Sequence[T], what: str) -> Iterator[T]:
    """The items, one after the other, `waiting` for all of them."""
    with waiting(what, len(items)) as count:
        for item in items:
            yield item
            count()
