"""Well-known data sets that are downloaded: DermaMNIST, Oxford's 102 flowers and 37 pets."""

import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from transferlib.data.splits import PARTS, Split, Splits, draw, held_out_first, resized
from transferlib.errors import DataError, DownloadError
from transferlib.files.download import cache_dir, fetch, unpack
from transferlib.files.whole import verify

SETS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("public.json").read_text("utf-8"))
"""What is known of each set, of AG News too: its address, its files and their digests, its credits; of two its classes.

Of pictures the digests are MD5, as MedMNIST (medmnist 3.0.2, medmnist/info.py) and torchvision publish nothing better.
It finds damage, not forgery; a forged file could hold wrong pictures but no code, since nothing is unpickled.
"""


def dermamnist(
    n_train: int | None = None,
    *,
    image_size: int = 64,
    seed: int = 0,
    n_val: int | None = None,
    n_test: int | None = None,
    size: int | None = None,
    folder: Path | str | None = None,
) -> Splits:
    """DermaMNIST: 10,015 dermatoscopic photographs of 7 kinds of skin lesion, in the official split.

    n_train, n_val, n_test: a stratified part of each official split; None takes all of it
    (7,007, 1,003 and 2,005). size: which official file to read, 28, 64, 128 or 224 pixels;
    None takes the smallest that is not below image_size. folder: where the official .npz is;
    None looks in the cache and downloads what is missing (20 MB at 28 px … 1 GB at 224 px).
    Not for commercial use. Raises DownloadError when the file cannot be had or is damaged.
    """
    digests = SETS["dermamnist"]["files"]
    names = dict(zip((28, 64, 128, 224), digests, strict=True))
    size = size or next((s for s in names if s >= image_size), max(names))
    if size not in names:
        raise DataError(f"dermamnist: there is no size {size}. Choose one of {list(names)}.")
    path = Path(folder or cache_dir() / "dermamnist").expanduser() / names[size]
    digest = digests[names[size]]
    if folder and path.exists() and not verify(path, digest):  # yours: never replaced
        raise DownloadError(f"{path} is damaged: its digest is not {digest}. Move it away to have it downloaded again.")
    fetched("dermamnist", path)
    parts, first = [], 0
    try:
        with np.load(path, allow_pickle=False) as data:
            for part, n in zip(PARTS, (n_train, n_val, n_test), strict=True):
                labels = data[f"{part}_labels"].reshape(-1).astype(np.int64)
                pixels = data[f"{part}_images"]
                if pixels.dtype != np.uint8 or pixels.shape != (len(labels), size, size, 3):
                    raise ValueError(f"{part}_images are {pixels.dtype} of shape {pixels.shape}")
                index = _some(labels, n, seed)
                images = torch.from_numpy(pixels[index]).permute(0, 3, 1, 2)
                parts.append(_split(resized(images, image_size), labels, index, first))
                first += len(labels)
    except DataError:
        raise
    except (KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise DownloadError(f"{path} is not an official DermaMNIST file: {error}. Delete it and load again.") from error
    return credited("dermamnist", parts, SETS["dermamnist"]["classes"], "dihedral")


def flowers102(
    n_train: int | None = None,
    *,
    image_size: int = 96,
    seed: int = 0,
    n_val: int | None = 160,
    n_test: int | None = 512,
) -> Splits:
    """Oxford's 102 kinds of flower in the official split (1,020, 1,020 and 6,149 photographs; 350 MB to download).

    n_train, n_val, n_test: a stratified part of each official split; None takes all of it.
    Photographs are cropped to their central square and resized. Raises DownloadError.
    """
    from torchvision.datasets import Flowers102

    root = cache_dir() / "flowers102"
    base = root / "flowers-102"
    _unpacked("flowers102", "102flowers.tgz", base / "jpg")
    for file in ("imagelabels.mat", "setid.mat"):
        fetched("flowers102", base / file)
    parts, first = [], 0
    for part, n in zip(PARTS, (n_train, n_val, n_test), strict=True):
        data = _open(Flowers102, root, part)
        parts.append(_decoded(data, _some(np.array(data._labels), n, seed), image_size, first))
        first += len(data)
    return credited("flowers102", parts, Flowers102.classes)


def oxford_pets(
    n_train: int | None = None, *, image_size: int = 96, seed: int = 0, n_val: int = 160, n_test: int | None = 512
) -> Splits:
    """Oxford-IIIT Pets: 37 breeds of cats and dogs (3,680 photographs to train on, 3,669 to test; 800 MB to download).

    val is drawn from the official trainval; n_train: None takes the rest of it. n_test: a
    stratified part of the official test split; None takes all of it. Photographs are cropped
    to their central square and resized. Raises DownloadError.
    """
    from torchvision.datasets import OxfordIIITPet

    root = cache_dir() / "oxford_pets"
    for folder in ("images", "annotations"):
        _unpacked("oxford_pets", f"{folder}.tar.gz", root / "oxford-iiit-pet" / folder)
    known, new = (_open(OxfordIIITPet, root, part) for part in ("trainval", "test"))
    labels = np.array(known._labels)
    train, val, _ = held_out_first(labels, np.arange(len(labels)), n_train, n_val, 0, seed=seed)
    test = _some(np.array(new._labels), n_test, seed)
    parts = [_decoded(known, index, image_size) for index in (train, val)]
    return credited("oxford_pets", [*parts, _decoded(new, test, image_size, len(known))], known.classes)


def fetched(name: str, path: Path) -> Path:
    """Have the file of that name, of a set in `SETS`, at the path. Raises DownloadError."""
    about = SETS[name]
    return fetch(about["url"].format(file=path.name), path, digest=about["files"][path.name])


def credited(name: str, parts: Iterable[Split], classes: Sequence[str], augment: str = "flip") -> Splits:
    """Train, val and test of a set in `SETS`, with its credits and notes."""
    train, val, test = parts
    credit, notes = SETS[name]["credits"], tuple(SETS[name].get("notes", ()))
    return Splits(train, val, test, tuple(classes), name, augment, credits=credit, notes=notes)


def _some(labels: np.ndarray, n: int | None, seed: int) -> np.ndarray:
    """Indices of n images in the class shares of all; None: every image."""
    everything = np.arange(len(labels))
    return draw(labels, everything, everything, n, seed=seed)


def _split(images: Tensor, labels: np.ndarray, index: np.ndarray, first: int = 0) -> Split:
    """The images at `index` of a set; each is its own group, numbered from `first`."""
    return Split(images, torch.from_numpy(labels[index]).long(), torch.from_numpy(first + index).long())


def _unpacked(name: str, file: str, folder: Path) -> None:
    """Have the archive `file`, which holds one folder, unpacked as `folder`; the archive is not kept."""
    if not folder.exists():
        archive = fetched(name, folder.parent / file)
        unpack(archive, folder, top=folder.name)
        archive.unlink()


def _open(kind: Any, root: Path, split: str) -> Any:
    """A torchvision data set that has been fetched; torchvision itself downloads nothing."""
    try:
        return kind(root, split=split)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise DownloadError(f"{root} cannot be read: {error} Delete the folder and load again.") from error


def _decoded(data: Any, index: np.ndarray, image_size: int, first: int = 0) -> Split:
    images = np.empty((len(index), image_size, image_size, 3), dtype=np.uint8)
    for row, number in enumerate(index.tolist()):
        try:
            images[row] = np.asarray(ImageOps.fit(data[number][0], images.shape[1:3], Image.Resampling.BICUBIC))
        except OSError as error:
            raise DownloadError(f"{data.root}: {error}. Delete the folder and load again.") from error
    return _split(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), np.array(data._labels), index, first)
