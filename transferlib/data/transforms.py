"""Random changes of whole batches that leave the label true."""

from collections.abc import Callable

import torch
from torch import Tensor

from transferlib.errors import DataError

Augment = str | Callable[[Tensor], Tensor]


def augment(images: Tensor, kind: Augment, generator: torch.Generator) -> Tensor:
    """Mirror and shift each image of a batch at random, on the device where the batch is.

    images: (N, 3, H, W) of any type. kind: "none"; "flip" mirrors left and right; "dihedral"
    also turns by quarter turns, and needs square images. Both shift by up to an eighth of the
    side and mirror what is missing at the edge. generator: a generator of the processor, so
    that the same seed gives the same changes on every device.

    kind may be a function of your own, for instance a transform of torchvision.transforms.v2. It gets one
    image at a time, (3, H, W), since a transform changes all of a batch alike; its random numbers are
    torch's, seeded from `generator`. Raises DataError when its images do not fit together, and for an unknown kind.

    >>> images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    >>> augment(images, "flip", torch.Generator().manual_seed(0)).shape
    torch.Size([4, 3, 32, 32])
    """
    if kind == "none":
        return images
    if callable(kind):
        return _each(images, kind, generator)
    if kind not in ("flip", "dihedral"):
        raise DataError(f"augment={kind!r} is unknown: choose none, flip or dihedral, or give a function of an image.")
    n, _, height, width = images.shape

    def at_random(change: Callable[[Tensor], Tensor]) -> Tensor:
        coin = torch.rand(n, generator=generator) < 0.5
        return torch.where(coin.to(images.device)[:, None, None, None], change(images), images)

    images = at_random(lambda x: x.flip(3))
    if kind == "dihedral":
        images = at_random(lambda x: x.flip(2))
        images = at_random(lambda x: x.transpose(2, 3))
    rows, columns = (_shifted(n, side, generator).to(images.device) for side in (height, width))
    every = torch.arange(n, device=images.device)[:, None, None]
    return images[every, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _each(images: Tensor, change: Callable[[Tensor], Tensor], generator: torch.Generator) -> Tensor:
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        changed = [change(image) for image in images]
    if any(image.shape != changed[0].shape or image.shape[0] != 3 for image in changed):
        shapes = sorted({tuple(image.shape) for image in changed})
        raise DataError(f"{change} makes images of {shapes}: all of them must be (3, H, W) of one size.")
    return torch.stack(changed)


def _shifted(n: int, side: int, generator: torch.Generator) -> Tensor:
    """The pixel to take for each place, (n, side): a random shift, reflected at the edges."""
    most = side // 8
    index = torch.arange(side) + torch.randint(-most, most + 1, (n, 1), generator=generator)
    return (side - 1) - ((side - 1) - index.abs()).abs()
