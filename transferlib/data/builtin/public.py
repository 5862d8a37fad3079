"""Well-known data sets that are downloaded: DermaMNIST, Oxford's 102 flowers and 37 pets."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from transferlib.data.splits import Split, Splits, resized, split_by_group
from transferlib.errors import DataError, DownloadError
from transferlib.files.download import cache_dir, fetch, unpack
from transferlib.files.whole import verify

# MedMNIST publishes MD5 only (medmnist 3.0.2, medmnist/info.py). It finds damage, not forgery;
# a forged file could hold wrong pictures but no code, since nothing is unpickled.
DERMAMNIST_URL = "https://zenodo.org/records/10519652/files"
DERMAMNIST = {
    28: ("dermamnist.npz", "md5:0744692d530f8e62ec473284d019b0c7"),
    64: ("dermamnist_64.npz", "md5:b70a2f5635c6199aeaa28c31d7202e1f"),
    128: ("dermamnist_128.npz", "md5:2defd784463fa5243564e855ed717de1"),
    224: ("dermamnist_224.npz", "md5:8974907d8e169bef5f5b96bc506ae45d"),
}
DERMAMNIST_CLASSES = (
    "actinic keratoses and intraepithelial carcinoma",
    "basal cell carcinoma",
    "benign keratosis-like lesions",
    "dermatofibroma",
    "melanoma",
    "melanocytic nevi",
    "vascular lesions",
)
# The digests torchvision pins for the same files, MD5 again.
FLOWERS102_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
FLOWERS102 = {
    "102flowers.tgz": "md5:52808999861908f626f3c1f4e79d11fa",
    "imagelabels.mat": "md5:e0620be6f572b9609742df49c70aed4d",
    "setid.mat": "md5:a5357ecc9cb78c4bef273ce3793fc85c",
}
PETS_URL = "https://www.robots.ox.ac.uk/~vgg/data/pets/data"
PETS = {
    "images.tar.gz": "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c",
    "annotations.tar.gz": "md5:95a8c909bbe2e81eed6a22bccdf3f68f",
}


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
    size = size or next((s for s in DERMAMNIST if s >= image_size), max(DERMAMNIST))
    if size not in DERMAMNIST:
        raise DataError(f"dermamnist: there is no size {size}. Choose one of {list(DERMAMNIST)}.")
    name, digest = DERMAMNIST[size]
    path = Path(folder or cache_dir() / "dermamnist").expanduser() / name
    if folder and path.exists() and not verify(path, digest):  # yours: never replaced
        raise DownloadError(f"{path} is damaged: its digest is not {digest}. Move it away to have it downloaded again.")
    fetch(f"{DERMAMNIST_URL}/{name}?download=1", path, sha256=digest)
    parts, first = [], 0
    try:
        with np.load(path, allow_pickle=False) as data:
            for part, n in (("train", n_train), ("val", n_val), ("test", n_test)):
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
    train, val, test = parts
    return Splits(
        *(train, val, test),
        classes=DERMAMNIST_CLASSES,
        name="dermamnist",
        augment="dihedral",
        credits="DermaMNIST, MedMNIST v2 (Yang et al. 2023), from HAM10000 (Tschandl et al. 2018). "
        "CC BY-NC 4.0: the licence forbids commercial use.",
        notes=(
            "The official split has photographs of the same lesion in train and test (Abhishek et al. 2025), "
            "so its scores flatter; the file holds no lesion ids by which to repair it.",
        ),
    )


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
    _fetch_folder(FLOWERS102_URL, "102flowers.tgz", FLOWERS102, base / "jpg")
    for name in ("imagelabels.mat", "setid.mat"):
        fetch(f"{FLOWERS102_URL}/{name}", base / name, sha256=FLOWERS102[name])
    parts, first = [], 0
    for part, n in (("train", n_train), ("val", n_val), ("test", n_test)):
        data = _open(Flowers102, root, part)
        parts.append(_decoded(data, _some(np.array(data._labels), n, seed), image_size, first))
        first += len(data)
    train, val, test = parts
    return Splits(
        *(train, val, test),
        classes=tuple(Flowers102.classes),
        name="flowers102",
        credits="Oxford 102 Flowers, M.-E. Nilsback and A. Zisserman 2008. The authors state no licence; "
        "the photographs are other people's: for research and teaching.",
    )


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
        _fetch_folder(PETS_URL, f"{folder}.tar.gz", PETS, root / "oxford-iiit-pet" / folder)
    known, new = (_open(OxfordIIITPet, root, part) for part in ("trainval", "test"))
    labels = np.array(known._labels)
    val = _some(labels, n_val, seed)
    rest = np.setdiff1d(np.arange(len(labels)), val)
    train = rest[_some(labels[rest], n_train, seed)]
    return Splits(
        train=_decoded(known, train, image_size),
        val=_decoded(known, val, image_size),
        test=_decoded(new, _some(np.array(new._labels), n_test, seed), image_size, len(known)),
        classes=tuple(known.classes),
        name="oxford_pets",
        credits="Oxford-IIIT Pets, O. M. Parkhi et al. 2012, CC BY-SA 4.0; the photographs belong to their owners.",
    )


def _some(labels: np.ndarray, n: int | None, seed: int) -> np.ndarray:
    """Indices of n images in the class shares of all; None: every image."""
    everything = np.arange(len(labels))
    return everything if n is None else split_by_group(labels, everything, (n,), seed=seed)[0]


def _split(images: Tensor, labels: np.ndarray, index: np.ndarray, first: int = 0) -> Split:
    """The images at `index` of a set; each is its own group, numbered from `first`."""
    return Split(images, torch.from_numpy(labels[index]).long(), torch.from_numpy(first + index).long())


def _fetch_folder(url: str, name: str, digests: dict[str, str], folder: Path) -> None:
    """Have the archive `url/name`, which holds one folder, unpacked as `folder`; the archive is not kept."""
    if not folder.exists():
        archive = fetch(f"{url}/{name}", folder.parent / name, sha256=digests[name])
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
            picture = ImageOps.fit(data[number][0], (image_size, image_size), Image.Resampling.BICUBIC)
            images[row] = np.asarray(picture)
        except OSError as error:
            raise DownloadError(f"{data.root}: {error}. Delete the folder and load again.") from error
    return _split(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), np.array(data._labels), index, first)
