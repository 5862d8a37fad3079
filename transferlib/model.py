"""A network as an ordered list of stages, shallow to deep, with a new head at the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transferlib.backbones import Preprocess, build_backbone
from transferlib.errors import TransferError


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or else a CUDA device if there is one."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


class TransferModel(nn.Module):
    """A pretrained body under a new, randomly initialised linear head.

    Everything that transfer learning decides is an index into `stages`: what is frozen, how
    fast the rest learns, where the network is cut to keep what was already computed.

    >>> model = TransferModel("small_cnn", num_classes=3, pretrained=False)
    >>> model.freeze_to("stage3").trainable_stages
    ('stage4',)
    """

    def __init__(
        self, backbone: str = "efficientnet_lite0", num_classes: int = 2, *, pretrained: bool = True, seed: int = 0
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise TransferError(f"num_classes must be at least 2, not {num_classes}: pass len(splits.classes).")
        built = build_backbone(backbone, pretrained=pretrained, seed=seed)
        self.backbone = built.name
        self.weights = built.weights
        self.preprocess = built.preprocess
        self.stages = built.stages
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(built.features, num_classes)
        self.frozen = 0
        self.keep_statistics = False
        self.to(memory_format=torch.channels_last)  # the layout that convolutions are fastest in
        self.eval()  # a new model can be looked at without changing; `fit` switches to training

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, (N, num_classes), of images, (N, 3, H, W), uint8 or float in [0, 1], or of texts, uint8 (N, W)."""
        logits: Tensor = self.head(self.features(inputs))
        return logits

    def features(self, inputs: Tensor) -> Tensor:
        """What the head sees: float, (N, features)."""
        features: Tensor = self.stages(self.preprocess.apply(inputs))
        return features

    @property
    def image_preprocess(self) -> Preprocess:
        """The preprocessing of a network of images. Raises TransferError for one that reads texts."""
        if not isinstance(self.preprocess, Preprocess):
            raise TransferError(f"{self.backbone} reads texts: what you asked for is made for networks of images.")
        return self.preprocess

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The stages' names, shallow to deep."""
        return tuple(name for name, _ in self.stages.named_children())

    @property
    def trainable_stages(self) -> tuple[str, ...]:
        """The names of the stages that learn; the head always does."""
        return self.stage_names[self.frozen :]

    def freeze_to(self, stage: int | str) -> TransferModel:
        """Freeze the shallow stages and thaw the rest; the head always learns.

        stage: a number k freezes the first k stages (0: none, len(stages): all of them); a name
        freezes the stages up to and including the one that has it. Returns the model.

        A frozen stage gets no gradient, loses the one it had (an optimizer with momentum
        would go on moving it), and stays in evaluation mode whatever `train()` says:
        otherwise BatchNorm goes on averaging what it sees and dropout goes on dropping.
        """
        if isinstance(stage, str):
            if stage not in self.stage_names:
                raise TransferError(
                    f"{self.backbone} has no stage {stage!r}: choose from {', '.join(self.stage_names)}."
                )
            stage = self.stage_names.index(stage) + 1
        if not 0 <= stage <= len(self.stages):
            raise TransferError(f"cannot freeze {stage} stages: {self.backbone} has {len(self.stages)}.")
        self.frozen = stage
        for index, module in enumerate(self.stages):
            module.requires_grad_(index >= stage)
        for parameter in self.stages[:stage].parameters():
            parameter.grad = None
        return self.train(self.training)

    def train(self, mode: bool = True) -> TransferModel:
        """Like `nn.Module.train`, but frozen stages stay in evaluation mode.

        With `keep_statistics` so do the BatchNorm layers of the stages that learn: their weights
        change, the averages they normalise by do not.
        """
        super().train(mode)
        self.stages[: self.frozen].eval()
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
        parts = [*self.stages.named_children(), ("head", self.head)]
        return [(name, sum(p.numel() for p in m.parameters()), i >= self.frozen) for i, (name, m) in enumerate(parts)]

    def __repr__(self) -> str:
        rows = self.parameter_table()
        learn = sum(count for _, count, learns in rows if learns)
        total = sum(count for _, count, _ in rows)
        shown = " → ".join(name if learns else f"[{name}]" for name, _, learns in rows)
        return f"TransferModel({self.backbone}, {self.weights}: {shown}; {learn:,} of {total:,} parameters learn)"
