from __future__ import annotations

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from local_server import serve

import transferlib as tl
from transferlib.data.builtin.public import SETS
from transferlib.errors import DataError, DownloadError

words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip()
)


@given(st.lists(words, min_size=1, max_size=5))
def test_texts_of_any_script_come_back_from_their_bytes(written):
    assert tl.decode(tl.encode(written)) == written


@pytest.mark.parametrize("bad", ["", "  \n", "a\0b"])
def test_a_text_without_words_or_with_a_zero_byte_is_refused(bad):
    with pytest.raises(DataError, match="text 1"):
        tl.encode(["good", bad])


def test_images_are_not_texts_and_texts_are_no_images():
    split = tl.load_data("triage", 16).train
    assert len(split.texts) == 16 and "texts" in repr(split)
    with pytest.raises(DataError, match="texts, not images"):
        _ = split.images
    with pytest.raises(DataError, match="texts must be"):
        _ = tl.load_data("digits", 10, image_size=32).train.texts


# The embedded set


def test_triage_holds_eighty_different_sentences_of_each_of_eight_specialties():
    splits = tl.load_data("triage", 624, n_val=8, n_test=8)
    everything = [text for part in (splits.train, splits.val, splits.test) for text in part.texts]
    labels = torch.cat([part.labels for part in (splits.train, splits.val, splits.test)])
    assert len(splits.classes) == 8 and labels.bincount().tolist() == [80] * 8
    assert len({text.casefold() for text in everything}) == 640
    lengths = [len(text.split()) for text in everything]
    assert min(lengths) <= 2 and max(lengths) >= 35


def test_val_and_test_of_triage_do_not_depend_on_the_training_size():
    few, many = tl.load_data("triage", 16, seed=3), tl.load_data("triage", 320, seed=3)
    assert few.test.texts == many.test.texts and few.val.texts == many.val.texts
    assert not set(few.test.texts) & set(many.train.texts)
    assert tl.load_data("triage", 16, seed=4).test.texts != few.test.texts


def test_asking_triage_for_more_than_there_is_names_the_numbers():
    with pytest.raises(DataError, match="cannot draw sets of 600"):
        tl.load_data("triage", 600)


# A table of one's own


def rows(n: int) -> str:
    return "text,label\n" + "".join(f'"letter {i}, about {"cats" if i % 2 else "dogs"}",{i % 2}\n' for i in range(n))


def test_a_table_becomes_splits_with_its_labels_as_classes(tmp_path):
    path = tmp_path / "letters.csv"
    path.write_text(rows(60), encoding="utf-8")
    splits = tl.load_data("texts", path=path)
    assert splits.classes == ("0", "1") and splits.name == "letters"
    assert [len(p) for p in (splits.train, splits.val, splits.test)] == [40, 10, 10]
    assert all(
        ("cats" in text) == bool(label) for text, label in zip(splits.test.texts, splits.test.labels, strict=True)
    )


def test_a_tsv_keeps_quotation_marks_and_other_column_names(tmp_path):
    path = tmp_path / "letters.tsv"
    path.write_text(
        "kind\tsaid\n" + 'a\tI said "no".\nb\tShe said 5" is short.\n' * 1 + "a\tx\nb\ty\n", encoding="utf-8"
    )
    splits = tl.load_data("texts", path=path, text="said", label="kind", n_val=0, n_test=0)
    assert 'I said "no".' in splits.train.texts


def test_copies_of_a_text_stay_on_one_side(tmp_path):
    path = tmp_path / "letters.csv"
    lines = [f"{'  Same   TEXT' if i % 3 else 'same text'} {i // 6},{i // 6 % 2}" for i in range(60)]
    path.write_text("text,label\n" + "\n".join(lines), encoding="utf-8")
    splits = tl.load_data("texts", path=path, seed=1)
    splits.assert_no_leak()
    assert len(set(splits.train.groups.tolist())) < len(splits.train)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,topic\na,b\n", "no column 'label'; its first line names: text, topic. .*--label"),
        ("", "no column 'label'; its first line names: nothing"),
        ("text,label\na,\n", "1 row without a label or without a text: line 2"),
        ("text,label\na,x\nA ,y\n", r"labelled 'x' \(line 2\) and 'y' \(line 3\)"),
    ],
)
def test_a_bad_table_is_refused_with_the_place(tmp_path, content, message):
    path = tmp_path / "letters.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        tl.load_data("texts", path=path, n_val=0, n_test=0)


def test_a_table_that_is_missing_or_not_utf8_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        tl.load_data("texts", path=tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("text,label\nGr\xfc\xdfe,x\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        tl.load_data("texts", path=tmp_path / "latin.csv")


# AG News, from a server on this machine


def news(part: str, n: int) -> bytes:
    return "".join(f'"{i % 4 + 1}","Title {part} {i}","What happened, {part} {i}"\n' for i in range(n)).encode()


@pytest.fixture
def agnews(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TRANSFERLIB_CACHE", str(tmp_path))
    files = {"train.csv": news("train", 80), "test.csv": news("test", 40) + news("train", 4)}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setitem(SETS["agnews"], "files", digests)
    with serve(files) as server:
        monkeypatch.setitem(SETS["agnews"], "url", f"{server.url}/{{file}}")
        yield server


def test_agnews_is_fetched_once_and_no_training_text_is_in_its_test(agnews):
    splits = tl.load_data("agnews", 40, n_val=20, n_test=None)
    assert splits.classes == ("World", "Sports", "Business", "Sci/Tech")
    assert (len(splits.train), len(splits.val), len(splits.test)) == (40, 20, 40)
    assert splits.train.texts[0].startswith("Title train")
    tl.load_data("agnews", 40, n_val=20, n_test=8)
    assert sorted(agnews.requests) == ["test.csv", "train.csv"]


def test_a_file_that_is_not_agnews_is_refused(agnews, monkeypatch):
    content = b'"nine","a","b"\n'
    agnews.files["train.csv"] = content
    monkeypatch.setitem(SETS["agnews"]["files"], "train.csv", hashlib.sha256(content).hexdigest())
    with pytest.raises(DownloadError, match="not a file of AG News"):
        tl.load_data("agnews", 40)
