from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transferlib.check import page as page_module
from transferlib.check.page import page, place, write_page
from transferlib.check.report import check_folder
from transferlib.cli import main
from transferlib.data.builtin.originals import photograph
from transferlib.errors import CheckpointError, DataError

SCRIPT = "<script>alert(1)<／script>"  # no name may hold a plain slash


class Reader(HTMLParser):
    """All tags with their attributes, and the text outside of style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


def put(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(6):
        put(tmp_path / "photos" / "ant" / f"{i}.png", i)
        put(tmp_path / "photos" / "bee" / f"{i}.png", 100 + i)
    return tmp_path / "photos"


def twin(photos: Path, name: bytes | str = "twin.png", label: str = "bee") -> None:
    """A copy of ant/0.png in another class, under any name."""
    target = os.path.join(os.fsencode(photos / label), os.fsencode(name))  # noqa: PTH118 -- Path takes no bytes
    try:
        with open(target, "wb") as file:  # noqa: PTH123
            file.write((photos / "ant" / "0.png").read_bytes())
    except OSError:
        pytest.skip("this file system does not take such a name")


def test_the_report_is_two_files_that_say_the_same_and_nothing_else_is_left(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "out"
    assert main(["data", "check", str(photos), "--report", str(out)]) == 0
    printed, said = capsys.readouterr()
    assert "ready, but look at this first: 2 classes with fewer than 10 images" in printed
    assert repr(str(out)) in said
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json"]
    stored = json.loads((out / "report.json").read_text())
    assert stored["ok"] is True
    assert stored["counts"] == {"": {"ant": 6, "bee": 6}}
    assert "ready, but look at this first: 2 classes with fewer than 10 images" in (out / "report.html").read_text()
    twin(photos)
    assert main(["data", "check", str(photos), "--report", str(out)]) == 1
    assert json.loads((out / "report.json").read_text())["ok"] is False
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json"]


def test_each_contradiction_is_shown_side_by_side_with_its_labels(photos: Path) -> None:
    twin(photos)
    read = Reader(page(check_folder(photos)))
    assert "Must be seen to before loading" in read.text
    assert "Identical pictures with two labels: 1 group" in read.text
    assert read.text.count("bee/twin.png") >= 2
    pictures = read.all("img")
    assert [picture["alt"] for picture in pictures] == ["image of class ant", "image of class bee"] * 2
    data = base64.b64decode(str(pictures[0]["src"]).removeprefix("data:image/jpeg;base64,"))
    assert data.startswith(b"\xff\xd8\xff")
    assert len(data) < 20_000


def test_near_copies_are_shown_as_a_suspicion(photos: Path) -> None:
    photograph("cat", True).save(photos / "ant" / "cat.png")
    photograph("cat", True).save(photos / "bee" / "cat.jpg")
    read = Reader(page(check_folder(photos)))
    assert "ready, but look at this first: 1 group of near copies with two labels" in read.text
    assert "Near copies with two labels: 1 group" in read.text
    assert "A suspicion: look at them." in read.text
    assert len(read.all("img")) == 4


def test_the_page_loads_and_runs_nothing(photos: Path) -> None:
    twin(photos)
    text = page(check_folder(photos))
    read = Reader(text)
    assert {tag for tag, _ in read.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "b", "br", "ul", "li", "div"),
        *("table", "tr", "th", "td", "figure", "figcaption", "img", "span"),
    }
    for tag, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("href", "style")], tag
        assert str(attributes.get("src", "data:")).startswith("data:")
    assert "url(" not in text
    assert "@import" not in text
    policy = next(meta["content"] for meta in read.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_the_page_has_the_colours_of_the_reader(photos: Path) -> None:
    text = page(check_folder(photos))
    assert "color-scheme: light dark" in text
    assert not re.search("#[0-9a-f]{3}", text[: text.index("<body>")])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two\nlines.png", r"'bee/two\nlines.png'"),
        ("\"quoted\" 'twice'.png", "bee/\"quoted\" 'twice'.png"),
        ("<script>alert(1).png", "bee/<script>alert(1).png"),
        ('" onerror="alert(1)" x=".png', 'bee/" onerror="alert(1)" x=".png'),
        ("&lt;b&gt;.png", "bee/&lt;b&gt;.png"),
        ("\x1b[31mred.png", r"'bee/\x1b[31mred.png'"),
        ("left\u202eright.png", r"'bee/left\u202eright.png'"),
        (b"caf\xe9.png", r"'bee/caf\udce9.png'"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="names as on POSIX")
def test_a_hostile_name_is_shown_as_text_and_is_whole_in_the_json(
    photos: Path, tmp_path: Path, name: str | bytes, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    twin(photos, name)
    assert main(["data", "check", str(photos), "--report", str(tmp_path / "out"), "--json"]) == 1
    wanted = f"bee/{os.fsdecode(name)}"
    assert json.loads(capsys.readouterr().out)["two_labels"] == [["ant/0.png", wanted]]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["two_labels"] == [["ant/0.png", wanted]]
    read = Reader((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert shown in read.text
    assert not read.all("script")
    assert all(set(picture) == {"alt", "src"} for picture in read.all("img"))
    assert len(read.all("img")) == 4


@pytest.mark.skipif(os.name == "nt", reason="names as on POSIX")
def test_hostile_names_of_classes_and_of_the_folder_are_shown_as_text(tmp_path: Path) -> None:
    root = tmp_path / '<img src="x">'
    for i in range(6):
        put(root / SCRIPT / f"{i}.png", i)
        put(root / 'a"b' / f"{i}.png", 100 + i)
    twin_of = root / 'a"b' / "twin.png"
    twin_of.write_bytes((root / SCRIPT / "0.png").read_bytes())
    read = Reader(page(check_folder(root)))
    assert SCRIPT in read.text
    assert '<img src="x">' in read.text
    assert not read.all("script")
    assert {picture["alt"] for picture in read.all("img")} == {f"image of class {SCRIPT}", 'image of class a"b'}


def test_many_groups_many_pictures_and_long_lists_are_cut_with_a_line_that_says_how_many(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in (("GROUPS", 2), ("PICTURES", 3), ("NAMES", 4)):
        monkeypatch.setattr(page_module, name, limit)
    for i in range(5):
        for k in range(4 if i == 0 else 1):
            (photos / "ant" / f"copy{i}{k}.png").write_bytes((photos / "ant" / f"{i}.png").read_bytes())
    for i in range(7):
        (photos / "bee" / f"zero{i}.png").touch()
    read = Reader(page(check_folder(photos)))
    assert "All identical pictures: 5 groups" in read.text
    assert "… and 3 more groups: see report.json." in read.text
    assert "… and 2 more files" in read.text
    assert len(read.all("img")) == 3 + 2
    assert "Broken files: 7" in read.text
    assert "… and 3 more: see report.json." in read.text


def test_a_picture_that_is_gone_by_now_is_said_to_be(photos: Path) -> None:
    twin(photos)
    report = check_folder(photos)
    (photos / "bee" / "twin.png").unlink()
    assert Reader(page(report)).text.count("cannot be shown") == 2


def test_a_folder_with_nothing_in_it_has_a_page_too(tmp_path: Path) -> None:
    assert "holds no images" in Reader(page(check_folder(tmp_path))).text


def test_a_report_inside_the_checked_folder_or_in_place_of_a_file_is_refused_before_anything_is_read(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transferlib.cli.data.check_folder", lambda *_, **__: pytest.fail("the images were read"))
    for out in (photos, photos / "out", photos / "ant" / ".." / "out"):
        assert main(["data", "check", str(photos), "--report", str(out)]) == 1
        assert "taken for a class" in capsys.readouterr().err
        assert not (photos / "out").exists()
    file = tmp_path / "file"
    file.write_text("mine")
    assert main(["data", "check", str(photos), "--report", str(file)]) == 1
    assert "is a file" in capsys.readouterr().err
    assert file.read_text() == "mine"
    with pytest.raises(DataError, match="cannot be used"):
        place("zero\0byte", photos)
    assert place(tmp_path / "out", photos) == tmp_path / "out"


def test_a_report_that_cannot_be_written_leaves_the_earlier_one_whole(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    report = check_folder(photos)
    write_page(report, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(CheckpointError, match=r"out.*No space left on device"):
        write_page(report, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
