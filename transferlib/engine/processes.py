"""One process or several: each works on its share of every batch, and all get the same result."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from transferlib.errors import TransferError


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or else a CUDA device if there is one. Raises TransferError for one that is not here."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        found = torch.device(device or ("cuda" if gpus else "cpu"))
        torch.zeros(1, device=found).item()
    except Exception as error:  # of every kind, from one device to the next
        why = (str(error) or type(error).__name__).splitlines()[0].split(":")[0].rstrip(".")
        there = ["cpu", *(f"cuda:{n}" for n in range(gpus)), *["mps"] * torch.backends.mps.is_available()]
        told = f"there is no device {str(device)!r} here ({why})"
        raise TransferError(f"{told}. There is: {', '.join(there)}.") from error
    return found


class _Sum(torch.autograd.Function):
    """The sum over the processes; a gradient of it goes to all of them."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradients[0])


class Processes:
    """The processes that `accelerate launch` or `torchrun` started; one alone without them.

    Hugging Face Accelerate owns the device, the connections and the wrapping of the model; here
    is only who computes what. `index` of `count`, on `device`; with count=1 this one, whoever else was launched.
    """

    def __init__(self, device: str | torch.device | None = None, *, count: int | None = None) -> None:
        self._accelerator: Any = None
        self.index, self.count = 0, count or int(os.environ.get("WORLD_SIZE", "1"))
        if self.count > 1:
            try:
                from accelerate import Accelerator
            except ImportError:
                told = f"{self.count} processes were launched, but accelerate is not installed"
                raise TransferError(f"{told}: pip install accelerate.") from None
            self._accelerator = Accelerator(cpu=pick_device(device).type == "cpu")
            self.index, self.device = self._accelerator.process_index, self._accelerator.device
        else:
            self.device = pick_device(device)

    @property
    def is_main(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.index == 0

    def share(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch that all have."""
        return batch[self.index :: self.count]

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over the processes; again for each set of who learns."""
        return module if self.count == 1 else cast(nn.Module, self._accelerator.prepare_model(module))

    def sum(self, value: Tensor) -> Tensor:
        """The sum over the processes."""
        return value if self.count == 1 else cast(Tensor, self._accelerator.reduce(value, reduction="sum"))

    def map(self, function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """`function` of a batch, (N, …), each process computing its rows and all getting every one."""
        if self.count == 1:
            return function(batch)
        rows = -(-len(batch) // self.count)
        padded = batch[torch.arange(rows * self.count).remainder(len(batch)).to(batch.device)]
        gathered = self._accelerator.gather(function(self.share(padded)).contiguous())
        return cast(Tensor, gathered.unflatten(0, (self.count, rows)).transpose(0, 1).flatten(0, 1)[: len(batch)])

    def shared_statistics(self) -> AbstractContextManager[Any]:
        """BatchNorm in training mode normalises by the whole batch, not by each process's share."""
        return nullcontext() if self.count == 1 else _SharedStatistics(self.sum)


class _SharedStatistics(TorchFunctionMode):
    """Computes `batch_norm` over all processes, for what this thread calls while the mode lasts.

    torch.nn.SyncBatchNorm does so for CUDA and for BatchNorm modules alone; here it is the function that
    all of them, timm's included, call.
    """

    def __init__(self, total: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.total = total

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if function is functional.batch_norm:
            call = signature(function).bind(*args, **given)
            if call.arguments["training"]:
                return self._batch_norm(**call.arguments)
        return function(*args, **given)

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        places, shape = [0, *range(2, input.ndim)], [1, -1] + [1] * (input.ndim - 2)
        count = self.total(torch.tensor(float(input.numel() / input.shape[1]), device=input.device))
        mean: Tensor = _Sum.apply(input.sum(places)) / count
        var: Tensor = _Sum.apply((input - mean.view(shape)).square().sum(places)) / count
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean, momentum)
                running_var.lerp_(var * (count / (count - 1)), momentum)
        # by hand: with given averages the library's function has no gradient for them
        scaled = (input - mean.view(shape)) * (var.view(shape) + eps).rsqrt()
        scaled = scaled if weight is None else scaled * weight.view(shape)
        return scaled if bias is None else scaled + bias.view(shape)
