"""A run that was killed goes on where it was."""

import json
import logging
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transferlib.engine.state import State
from transferlib.errors import CheckpointError
from transferlib.files.tensors import hash_of, load_tensors, save_tensors
from transferlib.run import Epoch

log = logging.getLogger(__name__)


class Saver:
    """Keeps the state of a run in a folder, whole or not at all, and finds it again."""

    def __init__(self, folder: Path, state: State, every: float) -> None:
        self.folder, self.state, self.every = folder, state, every
        self.saved = -math.inf  # the first epoch is saved at once
        data = [part for split in (state.train, state.val) for part in (split.inputs, split.labels)]
        start = [*state.model.state_dict().values(), *data]
        identity = {
            "strategy": state.strategy.to_dict() | {"class_weights": str(state.strategy.class_weights)},
            "seed": state.run.seed,
            "precision": f"{state.precision}, features in {state.keeping.dtype}",
            "start": hash_of(state.model.backbone, str(state.model.preprocess), torch.__version__, *start),
        }
        self.identity: dict[str, Any] = json.loads(json.dumps(identity))

    def save(self) -> None:
        """Write the state if it is time to, in the main process alone."""
        state, now = self.state, time.perf_counter()
        if not state.processes.is_main or now - self.saved < self.every:
            return
        tensors = {f"now.{name}": tensor for name, tensor in state.best.module.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in state.best.state.items()}
        for index, moments in state.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in moments.items() if value is not None}
        tensors |= {"order": state.generator.get_state(), "random": torch.get_rng_state()}
        if state.processes.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        run = state.run
        facts = {
            "identity": self.identity,
            "history": [asdict(epoch) for epoch in run.history],
            "best_epoch": run.best_epoch,
            "seconds": run.seconds,
            "micro_batch": state.micro_batch,
        }
        save_tensors(self.folder, "progress", tensors, facts)
        self.saved = time.perf_counter()

    def load(self) -> None:
        """Put the run where the saved run was; leave it alone if nothing was saved."""
        try:
            tensors, facts = load_tensors(self.folder, "progress")
        except FileNotFoundError:
            log.info("%s holds no progress: starting from the beginning", self.folder)
            return
        told = facts.get("identity")
        told = told if isinstance(told, dict) else {}
        other = [name for name, value in self.identity.items() if told.get(name) != value]
        if other:
            told = f"{self.folder} belongs to another run: {' and '.join(other)} differ{'s' * (len(other) == 1)}"
            start = "start: the first weights, the images or their input_size"
            raise CheckpointError(f"{told} ({start}). Give the same options, or start anew in another folder.")
        try:
            self._restore(tensors, facts)
        except (KeyError, TypeError, ValueError, OverflowError, RuntimeError, AttributeError) as error:
            raise CheckpointError(f"{self.folder}: not the progress of a run ({error!r}). Start anew.") from error
        log.info("going on after epoch %d", len(self.state.run.history))

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        state, run = self.state, self.state.run
        history, best_epoch = [Epoch(**epoch) for epoch in facts["history"]], int(facts["best_epoch"])
        micro_batch, seconds = int(facts["micro_batch"]), float(facts["seconds"])
        if [e.epoch for e in history] != list(range(1, len(history) + 1)) or not 1 <= best_epoch <= len(history):
            raise ValueError("the epochs are not in order")
        if not 1 <= micro_batch <= state.strategy.batch_size:
            raise ValueError(f"a micro-batch of {micro_batch}")
        state.best.module.load_state_dict(_under(tensors, "now."))
        state.best.state = {k: v.to(state.processes.device) for k, v in _under(tensors, "best.").items()}
        moments: dict[int, dict[str, Tensor]] = {}
        parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
        for name, tensor in _under(tensors, "optimizer.").items():
            index, _, key = name.partition(".")
            like = parameters[int(index)]
            # a fused optimizer walks through memory: its state must lie there as the parameter does
            if tensor.shape == like.shape:
                tensor = torch.empty_like(like, requires_grad=False).copy_(tensor)
            moments.setdefault(int(index), {})[key] = tensor
        groups = state.optimizer.state_dict()["param_groups"]
        state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        state.generator.set_state(tensors["order"])
        torch.set_rng_state(tensors["random"])
        if "random.cuda" in tensors and state.processes.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"])
        state.micro_batch, state.seconds_before = micro_batch, seconds
        run.history, run.best_epoch, run.seconds = history, best_epoch, seconds
        state.best.score = run.best.score(state.strategy.monitor)


def _under(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
