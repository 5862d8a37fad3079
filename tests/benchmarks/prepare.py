"""What every peer is given: the same JPEG files and the same weights, written once below _build/bench."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import timm
import torch
from PIL import Image
from safetensors.torch import save_file

import transferlib as tl
from transferlib.networks.registry import build_backbone

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "_build" / "bench"
WEIGHTS = CACHE / "tf_efficientnet_lite0.safetensors"
ARCHITECTURE = "tf_efficientnet_lite0"
HYMENOPTERA = Path("hymenoptera") / "hymenoptera_data"
PHOTOS = {
    "photos": {"n_train": 1200, "n_val": 160, "n_test": 512, "image_size": 96},
    "tiny": {"n_train": 64, "n_val": 32, "n_test": 32, "image_size": 64},  # to see that everything runs
}


def weights() -> Path:
    """transferlib's embedded ImageNet weights under timm's names, as the safetensors file that timm reads."""
    if not WEIGHTS.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        # The stages are timm's own modules in another order, so walking both networks side by side pairs the tensors.
        ours = build_backbone("efficientnet_lite0")
        net = timm.create_model(ARCHITECTURE, num_classes=0)
        source, target = ours.stages.state_dict(), net.state_dict()
        if [tensor.shape for tensor in source.values()] != [tensor.shape for tensor in target.values()]:
            raise SystemExit("transferlib's stages no longer hold timm's tensors in timm's order: mend prepare.weights")
        state = dict(zip(target, source.values(), strict=True))
        net.load_state_dict(state)
        images = torch.rand(2, 3, 96, 96)
        torch.testing.assert_close(net.eval()(images), ours.stages(images))
        new = WEIGHTS.with_suffix(".new")
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, new)
        new.replace(WEIGHTS)
    return WEIGHTS


def folder(name: str, real_data: Path | None) -> Path:
    """A folder with train/, val/ and test/, one sub-folder a class: `photos`, `tiny` or `hymenoptera`."""
    target = CACHE / name
    if not target.exists():
        unfinished = CACHE / f"{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        if name in PHOTOS:
            _write_photos(unfinished, PHOTOS[name])
        elif real_data:
            _copy_hymenoptera(real_data / HYMENOPTERA, unfinished)
        else:
            raise SystemExit("hymenoptera needs --real-data, the folder that holds hymenoptera/hymenoptera_data")
        unfinished.rename(target)
    return target


def has_hymenoptera(real_data: Path | None) -> bool:
    """Whether the real photographs are at hand."""
    return (CACHE / "hymenoptera").exists() or bool(real_data and (real_data / HYMENOPTERA).is_dir())


def _write_photos(target: Path, sizes: dict[str, int]) -> None:
    splits = tl.load_data("photos", seed=0, **sizes)
    for part in ("train", "val", "test"):
        split = getattr(splits, part)
        for number, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            path = target / part / splits.classes[label] / f"{number:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, quality=95)


def _copy_hymenoptera(source: Path, target: Path) -> None:
    """Its val/ is the test; a fifth of its train/ is what everybody may validate on."""
    for part in ("train", "val"):
        for folder in sorted(path for path in (source / part).iterdir() if path.is_dir()):
            files = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".jpeg"))
            random.Random(0).shuffle(files)
            for number, file in enumerate(files):
                role = "test" if part == "val" else "val" if number % 5 == 0 else "train"
                path = target / role / folder.name / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, path)
