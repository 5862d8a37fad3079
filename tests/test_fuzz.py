"""Folders as nobody would make them: no command ends in a stack trace, and what `data check` calls ready trains."""

import io
import os
import shutil
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from helpers import small_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import transferlib as tl
from transferlib.cli import main

THOROUGH = os.environ.get("THOROUGH") == "all"
QUICK = ["--strategy", "from-scratch", "--backbone", "small_cnn", "--image-size", "32", "--epochs", "1"]
NAMES = [
    *("ant", "bee", "Ant", "K\u00e4fer", "Ka\u0308fer", "\u868f\u8681", "\u0633\u064a\u0627\u0631\u0629", "\U0001f41d"),
    *("a b", " ", "$x^{$", "=1+1", "-rf", "two\nlines", "\u200bant", "\ufb01g", "run", "0", "2019", "x" * 120),
    *("train", "Testing", "VALID", "dev", "test_set", ".hidden", "__MACOSX", "patient01_2", os.fsdecode(b"Caf\xe9")),
]
FORMS = ["png", "jpg", "bmp", "tif", "webp"]
FAULTS = [
    *("empty", "half", "page", "gif", "dangling", "loop", "twin", "again", "pipe", "locked", "tall", "sixteen"),
    *("mode L", "mode RGBA", "mode P", "mode 1", "mode CMYK", "mode LA", "folder", "model.json", "one pixel", "back"),
]
name = st.sampled_from(NAMES) | st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda text: text not in (".", ".."))
kind = st.tuples(
    name, st.sampled_from([8, 5, 12, 4, 3, 0]), st.just([]) | st.lists(st.sampled_from(FAULTS), max_size=2)
)
tree = st.tuples(
    st.sampled_from(["flat", "parts", "inside", "deep"]) | st.just("flat"),
    st.sampled_from([["Training", "test"], ["train", "dev", "TEST"]])
    | st.lists(name, min_size=1, max_size=3, unique=True),
    st.lists(kind, min_size=2, max_size=4, unique_by=lambda made: made[0]),
    st.integers(0, 2**32),
)


def spoil(folder: Path, fault: str, root: Path, draw: np.random.Generator) -> None:
    """Put one odd thing into a class folder."""
    pixels = draw.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    image, file = Image.fromarray(pixels), folder / f"odd {fault}.png"
    whole = next((path for path in sorted(folder.iterdir()) if path.is_file() and not path.is_symlink()), None)
    if fault.startswith("mode "):
        mode = fault.split()[1]
        image.convert(mode).save(file.with_suffix(".tif" if mode == "CMYK" else ".png"))
    elif fault == "half" and whole:
        file.write_bytes(whole.read_bytes()[:60])
    elif fault in ("twin", "again") and whole:
        to = folder if fault == "again" else next((f for f in sorted(root.iterdir()) if f.is_dir()), folder)
        shutil.copy(whole, to / f"copied {whole.name}")
    elif fault == "gif":
        image.save(file.with_suffix(".gif"))
    elif fault == "page":
        file.with_suffix(".jpg").write_text("<html>")
    elif fault == "pipe":
        os.mkfifo(file)
    elif fault == "folder":
        file.mkdir()
    elif fault == "model.json":
        (folder / "model.json").write_text("{}")
    elif fault in ("dangling", "loop", "back"):
        target = {"dangling": root / "nowhere", "loop": file, "back": root}[fault]
        file.symlink_to(target)
    elif fault == "sixteen":
        Image.fromarray(draw.integers(0, 4096, (20, 24)).astype(np.uint16)).save(file)
    elif fault in ("tall", "one pixel"):
        image.resize((1, 400) if fault == "tall" else (1, 1)).save(file)
    else:
        file.write_bytes(b"")
        file.chmod(0 if fault == "locked" else 0o644)


def build(root: Path, shape: str, outer: list[str], kinds: list, seed: int) -> None:
    draw = np.random.default_rng(seed)
    for above in [""] if shape == "flat" else outer:
        for label, count, faults in kinds:
            parts = {"inside": (label, above), "deep": (above, above, label)}.get(shape, (above, label))
            folder = root.joinpath(*parts)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                for index in range(count):
                    pixels = draw.integers(0, 256, (*draw.integers(1, 50, 2), 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / f"{index}.{FORMS[draw.integers(len(FORMS))]}")
                for fault in faults:
                    spoil(folder, fault, root, draw)
            except OSError:  # a name that this file system does not take
                continue


def call(*words: object) -> tuple[int, str, str]:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    return code, texts[0], texts[1]


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as on POSIX")
@settings(
    max_examples=400 if THOROUGH else 8,
    derandomize=not THOROUGH,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(tree)
def test_no_folder_ends_in_a_stack_trace_and_what_check_calls_ready_trains(made: tuple) -> None:
    with tempfile.TemporaryDirectory() as place:
        root, run = Path(place, "photos"), Path(place, "run")
        root.mkdir()
        build(root, *made)
        before = sorted(root.rglob("*"))
        checked, said, err = call("data", "check", root)
        verdict = (said or err).rstrip("\n").split("\n")[-1]
        assert verdict.startswith({0: "ready", 1: ("not ready: ", "error: ")}[checked]), verdict
        assert verdict.isprintable(), ascii(verdict)
        trained, _, told = call("train", root, *QUICK, "--out", run)
        assert trained == checked, f"{verdict}\n{told}"
        if trained:
            assert "error: " in told
            assert not run.exists()
            tl.save(small_model(), run, classes=("ant", "bee"), image_size=32)
        for command in ("predict", "evaluate"):
            code, _, told = call(command, run, root)
            assert code in (0, 1)
            assert code == 0 or "error: " in told
        assert sorted(root.rglob("*")) == before
