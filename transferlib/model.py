"""A network as an ordered list of stages, shallow to deep, with a new head at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from transferlib.deprecated import old_name
from transferlib.errors import TransferError
from transferlib.networks.backbone import Preprocess, large_enough
from transferlib.networks.registry import build_backbone


class TransferModel(nn.Module):
    """A pretrained body under a new, randomly initialised head.

    Everything that transfer learning decides is an index into `parts`, the stages and the head: what is
    frozen, how fast the rest learns, where the network is cut to keep what was already computed.

    head: any module from features, (N, features), to logits, (N, num_classes); None makes a linear one,
    drawn from `seed`. With pretrained=False the body is random, drawn from `seed` too: the blank twin.
    input_size: the side, in pixels, at which the network sees images, however large a data set keeps them;
    None leaves them as they come. Of a text it is how many tokens are read; None reads 64.

    >>> model = TransferModel("small_cnn", num_classes=3, pretrained=False)
    >>> model.freeze_to("stage3").trainable_stages
    ('stage4',)
    """

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        num_classes: int = 2,
        *,
        pretrained: bool = True,
        seed: int = 0,
        head: nn.Module | None = None,
        input_size: int | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise TransferError(f"num_classes must be at least 2, not {num_classes}: pass len(splits.classes).")
        built = build_backbone(backbone, pretrained=pretrained, seed=seed)
        self.backbone = built.name
        self.weights = built.weights
        self.preprocess = built.preprocess
        if input_size is not None:
            self.preprocess = self.preprocess.seen_at(input_size)
        self.stages = built.stages
        self.num_classes = num_classes
        if head is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                head = nn.Linear(built.features, num_classes)
        self.head = head
        self.frozen_below = self.frozen_above = 0
        self.keep_statistics = False
        self.to(memory_format=torch.channels_last)  # the layout that convolutions are fastest in
        self.eval()  # a new model can be looked at without changing; `fit` switches to training
        self._check_head(built.features)

    @torch.no_grad()
    def _check_head(self, features: int) -> None:
        try:
            where = next(self.head.parameters(), torch.empty(0)).device
            shape = tuple(self.head(torch.zeros(2, features, device=where)).shape)
        except RuntimeError as error:
            told = f"the head cannot take the {features} features of {self.backbone} ({error})"
            raise TransferError(f"{told}: begin it with so many inputs.") from error
        if shape != (2, self.num_classes):
            told = f"the head makes {shape} of 2 images"
            raise TransferError(f"{told}: end it with {self.num_classes} outputs, one a class.")

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, (N, num_classes), of images, (N, 3, H, W), uint8 or float in [0, 1], or of texts, uint8 (N, W)."""
        logits: Tensor = self.head(self.features(inputs))
        return logits

    def features(self, inputs: Tensor) -> Tensor:
        """What the head sees: float, (N, features). Raises DataError for images that are too small for the network."""
        prepared = self.preprocess.apply(inputs)
        if prepared.is_floating_point():
            prepared = prepared.to(next(self.parameters()).dtype)
        with large_enough(self.backbone, tuple(prepared.shape[2:])):
            features: Tensor = self.stages(prepared)
        return features

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.stages.parameters()).device

    @property
    def image_preprocess(self) -> Preprocess:
        """The preprocessing of a network of images. Raises TransferError for one that reads texts."""
        if not isinstance(self.preprocess, Preprocess):
            raise TransferError(f"{self.backbone} reads texts: maps and ONNX are for images. Use load and predict.")
        return self.preprocess

    @property
    def parts(self) -> list[nn.Module]:
        """The stages, shallow to deep, and the head."""
        return [*self.stages, self.head]

    frozen = old_name("model.frozen", "frozen_below")

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The stages' names, shallow to deep."""
        return tuple(name for name, _ in self.stages.named_children())

    @property
    def trainable_stages(self) -> tuple[str, ...]:
        """The names of the stages that learn."""
        return tuple(name for index, name in enumerate(self.stage_names) if self.learns(index))

    def learns(self, part: int) -> bool:
        """Whether the part of this index learns; the last one is the head."""
        return self.frozen_below <= part <= len(self.stages) - self.frozen_above

    def freeze_to(self, stage: int | str, *, above: int = 0) -> TransferModel:
        """Freeze the shallow stages and thaw the rest. Returns the model.

        stage: a number k freezes the first k stages (0: none, len(stages): all of them); a name
        freezes the stages up to and including the one that has it. above: so many parts are frozen at the
        other end too: 1 is the head, 2 the head and the deepest stage.

        A frozen part gets no gradient, loses the one it had (an optimizer with momentum
        would go on moving it), and stays in evaluation mode whatever `train()` says:
        otherwise BatchNorm goes on averaging what it sees and dropout goes on dropping.
        """
        if isinstance(stage, str):
            if stage not in self.stage_names:
                known = ", ".join(self.stage_names)
                raise TransferError(f"{self.backbone} has no stage {stage!r}: choose from {known}.")
            stage = self.stage_names.index(stage) + 1
        if not 0 <= stage <= len(self.stages):
            raise TransferError(f"cannot freeze {stage} stages: {self.backbone} has {len(self.stages)}.")
        if not 0 <= above <= len(self.stages) - stage:
            told = f"above={above} and {stage} frozen stages below leave nothing of {self.backbone} that learns"
            raise TransferError(f"{told}: give 0 to {len(self.stages) - stage}.")
        self.frozen_below, self.frozen_above = stage, above
        for index, part in enumerate(self.parts):
            part.requires_grad_(self.learns(index))
            if not self.learns(index):
                part.zero_grad(set_to_none=True)
        return self.train(self.training)

    def train(self, mode: bool = True) -> TransferModel:
        """Like `nn.Module.train`, but frozen parts stay in evaluation mode.

        With `keep_statistics` so do the BatchNorm layers of the stages that learn: their weights
        change, the averages they normalise by do not.
        """
        super().train(mode)
        for index, part in enumerate(self.parts):
            if not self.learns(index):
                part.eval()
        if self.keep_statistics:
            for module in self.stages.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def randomise(self, seed: int) -> TransferModel:
        """Forget what the stages were taught: draw them anew, as training from scratch does."""
        blank = build_backbone(self.backbone, pretrained=False, seed=seed)
        self.stages.load_state_dict(blank.stages.state_dict())
        self.weights = blank.weights
        return self

    def parameter_table(self) -> list[tuple[str, int, bool]]:
        """One row a stage and one for the head: name, number of parameters, does it learn."""
        names = [*self.stage_names, "head"]
        counts = [sum(p.numel() for p in part.parameters()) for part in self.parts]
        return [(name, count, self.learns(i)) for i, (name, count) in enumerate(zip(names, counts, strict=True))]

    def __repr__(self) -> str:
        rows = self.parameter_table()
        learn = sum(count for _, count, learns in rows if learns)
        total = sum(count for _, count, _ in rows)
        shown = " → ".join(name if learns else f"[{name}]" for name, _, learns in rows)
        size = getattr(self.preprocess, "input_size", None)
        seen = f" sees {size}×{size}" if size else ""
        return f"TransferModel({self.backbone}, {self.weights}{seen}: {shown}; {learn:,} of {total:,} parameters learn)"


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The whole model in evaluation mode; afterwards each module is in the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
