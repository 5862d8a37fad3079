from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transferlib.data.check import check_folder
from transferlib.errors import DataError


def put(path: Path, seed: int, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    for i in range(12):
        put(tmp_path / "ant" / f"{i:02d}.png", i)
        put(tmp_path / "bee" / f"{i:02d}.png", 100 + i)
    return tmp_path


def test_clean_folder_is_ok(clean: Path) -> None:
    report = check_folder(clean)
    assert report.ok
    assert report.counts == {"": {"ant": 12, "bee": 12}} == report.usable
    assert not (report.broken or report.copies or report.two_labels or report.crossing or report.tiny or report.ignored)
    assert report.modes == {"RGB": 24}
    assert report.sizes == {"12×10": 24}
    assert "Ready to be loaded." in str(report)


def test_everything_odd_is_found_at_once(clean: Path) -> None:
    (clean / "ant" / "zero.jpg").touch()
    put(clean / "bee" / "photo.gif", 7)
    put(clean / "bee" / "grey.png", 8, (30, 40), "L")
    (clean / "ant" / "copy.png").write_bytes((clean / "ant" / "00.png").read_bytes())
    (clean / "bee" / "twin.png").write_bytes((clean / "ant" / "01.png").read_bytes())
    (clean / "notes.txt").write_text("x")
    for i in range(5):
        put(clean / "few" / f"{i}.png", 200 + i)
    put(clean / "one" / "only.png", 300)
    report = check_folder(clean)
    assert not report.ok
    assert list(report.broken) == ["ant/zero.jpg", "bee/photo.gif"]
    assert report.copies == [["ant/00.png", "ant/copy.png"], ["ant/01.png", "bee/twin.png"]]
    assert report.two_labels == [["ant/01.png", "bee/twin.png"]]
    assert report.tiny == {"few": {"images": 5}}
    assert "one" not in report.usable[""]
    assert report.modes == {"RGB": 32, "L": 1}
    assert report.sizes["30×40"] == 1
    assert report.ignored == {"notes.txt": "not in a class folder"}
    text = str(report)
    for word in ("zero.jpg", "GIF", "'ant/01.png' = 'bee/twin.png'", "'few': images 5", "notes.txt", "left out"):
        assert word in text
    assert "shorter side 10 to 30 pixels" in text


def test_copies_alone_do_not_stop_anything(clean: Path) -> None:
    (clean / "ant" / "copy.png").write_bytes((clean / "ant" / "00.png").read_bytes())
    report = check_folder(clean)
    assert report.ok
    assert report.usable[""]["ant"] == 12
    assert report.counts[""]["ant"] == 13


def test_files_across_given_parts_are_found(tmp_path: Path) -> None:
    for i in range(4):
        for label in (1, 2):
            put(tmp_path / "train" / str(label) / f"{i}.png", 10 * label + i)
            put(tmp_path / "test" / str(label) / f"{i}.png", 100 * label + i)
    (tmp_path / "train" / "1" / "leak.png").write_bytes((tmp_path / "test" / "1" / "2.png").read_bytes())
    report = check_folder(tmp_path)
    assert report.crossing == [["train/1/leak.png", "test/1/2.png"]]
    assert not report.ok
    assert set(report.counts) == {"train/", "test/"}
    by_number = check_folder(tmp_path, groups=r"(\d|leak)")
    assert len(by_number.crossing) == 4


def test_broken_beyond_use_is_reported_and_not_raised(tmp_path: Path) -> None:
    report = check_folder(tmp_path)
    assert not report.ok
    assert "no images" in report.fatal
    assert report.fatal in str(report)
    put(tmp_path / "ant" / "a.png", 1)
    assert "single class" in check_folder(tmp_path).fatal


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        check_folder(tmp_path / "nowhere")


def test_report_is_printable_and_its_json_is_whole(clean: Path) -> None:
    odd = clean / "ant" / "two\nlines \x1b[31m.jpg"
    try:
        odd.write_bytes(b"x")
    except OSError:
        pytest.skip("this file system does not take such a name")
    report = check_folder(clean)
    assert all(line.isprintable() for line in str(report).split("\n"))
    stored = json.loads(report.to_json())
    assert stored["ok"] is False
    assert list(stored["broken"]) == ["ant/two\nlines \x1b[31m.jpg"]
    assert stored["counts"] == report.counts


def test_real_hymenoptera(real_data: Callable[[str], Path]) -> None:
    report = check_folder(real_data("hymenoptera/hymenoptera_data"))
    assert sum(sum(part.values()) for part in report.counts.values()) + len(report.broken) == 398
    assert list(report.broken) == ["train/ants/imageNotFound.gif"]
    assert report.counts == {"train/": {"ants": 123, "bees": 121}, "val/": {"ants": 70, "bees": 83}}
    assert not report.copies
    assert not report.ok


def test_real_isic9(real_data: Callable[[str], Path]) -> None:
    report = check_folder(real_data("isic9/images"))
    assert sum(sum(part.values()) for part in report.counts.values()) == 2359
    assert not report.broken
    assert len(report.copies) == 159
    assert len(report.two_labels) == 155
    assert len(report.crossing) == 18
    assert report.sizes == {"180×180": 2359}
    assert report.tiny == {"actinic keratosis": {"Test/": 1}, "vascular lesion": {"Test/": 3}}
    assert any("'seborrheic keratosis' has 2 unrelated images in Train/" in text for text in report.left_out)
    assert not report.ok
