"""Small data and models that several test files build on."""

import torch

import transferlib as tl
from transferlib.data.splits import Split, Splits


def stripes(n: int, seed: int, first_group: int = 0, size: int = 32) -> Split:
    """Two easy classes: horizontal and vertical stripes under noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    wave = (torch.arange(size) // 4 % 2 * 120 + 60).float()
    across, down = wave.expand(size, size), wave.expand(size, size).T
    images = torch.where(labels[:, None, None] == 0, across, down)[:, None].repeat(1, 3, 1, 1)
    noisy = images + 25 * torch.randn(images.shape, generator=generator)
    return Split(noisy.clamp(0, 255).to(torch.uint8), labels, torch.arange(first_group, first_group + n))


def stripe_splits(n: int = 24, augment: str = "none") -> Splits:
    """Splits of `stripes`, too small to be interesting and fast to train on."""
    train, val, test = stripes(n, 0), stripes(16, 1, 1000), stripes(20, 2, 2000)
    return Splits(train, val, test, ("across", "down"), "stripes", augment=augment, synthetic=True)


def small_model(seed: int = 0) -> tl.TransferModel:
    """A model of a few thousand parameters per stage, with BatchNorm."""
    return tl.TransferModel("small_cnn", num_classes=2, pretrained=False, seed=seed)


def state_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter and buffer."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit-identical in every tensor."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
