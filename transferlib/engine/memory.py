"""Memory: a switch of Linux, and batches that shrink when there is not enough."""

import ctypes
import logging
import platform
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from transferlib.files.waiting import each
from transferlib.model import TransferModel, evaluating

log = logging.getLogger(__name__)

T = TypeVar("T")
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Let this process keep large blocks of memory instead of returning them after each layer.

    The C library of Linux gives a large tensor's memory back as soon as it is freed and faults
    it in again, page by page, for the next one. Three calls of its `mallopt` (see `man 3
    mallopt`) stop that. They change the whole process, so the package never makes them by
    itself: the command line, the lessons and the benchmarks do. Returns whether the switch
    was made; elsewhere than on Linux with glibc nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    wanted = ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 1 << 28))
    return {libc.mallopt(name, value) for name, value in wanted} == {1}


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: a GPU's, or torch's allocator for the processor."""
    said = any(words in str(error) for words in ("can't allocate memory", "not enough memory"))
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (isinstance(error, RuntimeError) and said)


def halving(action: Callable[[int], T], size: int, told: str = "a batch") -> T:
    """`action(size)`, and with half the size whenever memory runs out, down to a size of 1."""
    while True:
        try:
            return action(size)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or size == 1:
                raise
        size = -(-size // 2)
        log.warning("out of memory: going on with %d images instead of %s", size, told)


def in_pieces(function: Callable[[Tensor], Tensor], inputs: Tensor, size: int) -> Tensor:
    """`function` of inputs, (N, …), so many at a time: where none changes what another gives, only rounding differs."""
    return torch.cat([function(piece) for piece in torch.split(inputs, size)])


@torch.no_grad()
def batched(function: Callable[[Tensor], Tensor], inputs: Tensor, batch_size: int = 32) -> Tensor:
    """Apply `function` to `inputs`, (N, …), a batch at a time and without gradients."""

    def run(size: int) -> Tensor:
        return torch.cat([function(batch) for batch in each(torch.split(inputs, size), "running the network, batches")])

    return halving(run, batch_size, f"batches of {batch_size}")


def evaluated(model: TransferModel, part: Callable[[Tensor], Tensor], inputs: Tensor, batch_size: int) -> Tensor:
    """What a part of the model, or all of it, makes of raw inputs, (N, …): float, on the processor, no gradients.

    The model is in evaluation mode meanwhile and afterwards as it was.
    """
    size = min(batch_size, model.preprocess.at_once(inputs, model.device))
    with evaluating(model):
        return batched(lambda batch: part(batch.to(model.device)).float().cpu(), inputs, size)
