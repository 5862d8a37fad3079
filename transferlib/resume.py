"""A run that was killed goes on where it was."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from transferlib.errors import CheckpointError
from transferlib.run import Epoch
from transferlib.storage import hash_of, load_tensors, log, save_tensors

if TYPE_CHECKING:
    from transferlib.training import Trainer


class Saver:
    """Keeps the state of a run in a folder, whole or not at all, and finds it again."""

    def __init__(self, folder: Path, trainer: Trainer, every: float) -> None:
        self.folder, self.trainer, self.every = folder, trainer, every
        self.saved = -math.inf  # the first epoch is saved at once
        train, val = trainer.train_split, trainer.val
        start = [*trainer.model.state_dict().values(), train.inputs, train.labels, val.inputs, val.labels]
        identity = {
            "strategy": asdict(trainer.strategy) | {"class_weights": str(trainer.strategy.class_weights)},
            "seed": trainer.run.seed,
            "precision": f"{trainer.precision}, features in {trainer.keeping.dtype}",
            "start": hash_of(trainer.model.backbone, torch.__version__, *start),
        }
        self.identity: dict[str, Any] = json.loads(json.dumps(identity))

    def save(self) -> None:
        """Write the state if it is time to, in the main process alone."""
        trainer, now = self.trainer, time.perf_counter()
        if not trainer.processes.is_main or now - self.saved < self.every:
            return
        tensors = {f"now.{name}": tensor for name, tensor in trainer.best.module.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in trainer.best.state.items()}
        for index, state in trainer.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items() if value is not None}
        tensors |= {"order": trainer.generator.get_state(), "random": torch.get_rng_state()}
        if trainer.processes.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        run = trainer.run
        facts = {
            "identity": self.identity,
            "history": [asdict(epoch) for epoch in run.history],
            "best_epoch": run.best_epoch,
            "seconds": run.seconds,
            "micro_batch": trainer.micro_batch,
        }
        save_tensors(self.folder, "progress", tensors, facts)
        self.saved = time.perf_counter()

    def load(self) -> None:
        """Put the trainer where the saved run was; leave it alone if nothing was saved."""
        try:
            tensors, facts = load_tensors(self.folder, "progress")
        except FileNotFoundError:
            log.info("%s holds no progress: starting from the beginning", self.folder)
            return
        told = facts.get("identity")
        told = told if isinstance(told, dict) else {}
        other = [name for name, value in self.identity.items() if told.get(name) != value]
        if other:
            raise CheckpointError(
                f"{self.folder} belongs to another run: {' and '.join(other)} differ{'s' * (len(other) == 1)} "
                "(start: the first weights or the images). Give the same options, or start anew in another folder."
            )
        try:
            self._restore(tensors, facts)
        except (KeyError, TypeError, ValueError, OverflowError, RuntimeError, AttributeError) as error:
            raise CheckpointError(f"{self.folder}: not the progress of a run ({error!r}). Start anew.") from error
        log.info("going on after epoch %d", len(self.trainer.run.history))

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        trainer, run = self.trainer, self.trainer.run
        history, best_epoch = [Epoch(**epoch) for epoch in facts["history"]], int(facts["best_epoch"])
        micro_batch, seconds = int(facts["micro_batch"]), float(facts["seconds"])
        if [e.epoch for e in history] != list(range(1, len(history) + 1)) or not 1 <= best_epoch <= len(history):
            raise ValueError("the epochs are not in order")
        if not 1 <= micro_batch <= trainer.strategy.batch_size:
            raise ValueError(f"a micro-batch of {micro_batch}")
        trainer.best.module.load_state_dict(_under(tensors, "now."))
        trainer.best.state = {k: v.to(trainer.processes.device) for k, v in _under(tensors, "best.").items()}
        state: dict[int, dict[str, Tensor]] = {}
        parameters = [p for group in trainer.optimizer.param_groups for p in group["params"]]
        for name, tensor in _under(tensors, "optimizer.").items():
            index, _, key = name.partition(".")
            like = parameters[int(index)]
            # a fused optimizer walks through memory: its state must lie there as the parameter does
            laid_out = (
                torch.empty_like(like, requires_grad=False).copy_(tensor) if tensor.shape == like.shape else tensor
            )
            state.setdefault(int(index), {})[key] = laid_out
        groups = trainer.optimizer.state_dict()["param_groups"]
        trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})
        trainer.generator.set_state(tensors["order"])
        torch.set_rng_state(tensors["random"])
        if "random.cuda" in tensors and trainer.processes.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"])
        trainer.micro_batch, trainer.seconds_before = micro_batch, seconds
        run.history, run.best_epoch, run.seconds = history, best_epoch, seconds
        trainer.best.score = run.best.score(trainer.strategy.monitor)


def _under(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
