"""The command line takes a table of texts wherever it takes a folder of images."""

from __future__ import annotations

import csv
import io
import json
import shutil

import pytest
import torch
from helpers import tiny_encoder

import transferlib as tl
from transferlib.cli import main

pytest.importorskip("transformers")
SAID = {"bones": "my knee hurts", "nights": "i cannot sleep"}


def table(path, n=36, header=("label", "text"), first=0):
    rows = [(name, f"{SAID[name]} {i}") for i in range(first, first + n) for name in SAID]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny encoder, a table, and what `train` made of it."""
    folder = tmp_path_factory.mktemp("texts")
    table(folder / "letters.csv", header=("Door", "Said"))
    backbone = f"hf:{tiny_encoder(folder / 'encoder')}"
    command = ["train", str(folder / "letters.csv"), "--text", "said", "--label", "door", "--backbone", backbone]
    assert (
        main([*command, "--strategy", "fine-tuning", "--lr", "0.02", "--epochs", "12", "--out", str(folder / "run")])
        == 0
    )
    return folder


def rows_of(capsys):
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_train_on_a_table_leaves_a_report_whose_words_are_true(place):
    facts = json.loads((place / "run" / "metrics.json").read_text())
    assert facts["data"]["classes"] == ["bones", "nights"]
    assert any(note.startswith("Words: ") for note in facts["data"]["notes"])
    report = (place / "run" / "README.md").read_text()
    assert "texts" in report and "photo" not in report and "export" not in report
    scope = {}
    exec(report.split("```python\n")[1].split("```")[0].replace('"run"', repr(str(place / "run"))), scope)
    assert scope["probabilities"].shape == (2, 2)
    assert {path.suffix for path in (place / "run").iterdir()} >= {".png", ".json", ".md", ".safetensors"}


def test_train_says_texts_and_not_images(place, tmp_path, capsys):
    command = ["train", str(table(tmp_path / "a.tsv", 12).rename(tmp_path / "a.csv")), "--out", str(tmp_path / "run")]
    assert main([*command, "--backbone", f"hf:{place / 'encoder'}", "--epochs", "1"]) == 0
    out = capsys.readouterr().out
    assert "texts/s" in out and "image" not in out
    assert main([*command[:-1], str(tmp_path / "dry"), "--backbone", f"hf:{place / 'encoder'}", "--dry-run"]) == 0
    assert "image" not in capsys.readouterr().out and not (tmp_path / "dry").exists()


def test_evaluate_reads_the_columns_that_it_was_trained_on_and_warns(place, tmp_path, capsys):
    new = table(tmp_path / "new.csv", 10, ("door", "said"), first=100)
    assert main(["evaluate", str(place / "run"), str(new)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("20 texts: accuracy 1.000") and "flattered" in err
    other = table(tmp_path / "other.csv", 10, ("truth", "words"), first=100)
    assert main(["evaluate", str(place / "run"), str(other)]) == 1
    assert "no column 'door'" in capsys.readouterr().err
    assert main(["evaluate", str(place / "run"), str(other), "--text", "words", "--label", "truth", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 20


def test_evaluate_refuses_a_class_that_the_model_does_not_know(place, tmp_path, capsys):
    path = tmp_path / "new.csv"
    path.write_text("door,said\nskin,itchy\n", encoding="utf-8")
    assert main(["evaluate", str(place / "run"), str(path)]) == 1
    assert "does not know: 'skin'. It knows 'bones'; 'nights'." in capsys.readouterr().err


def test_predict_takes_a_table_a_file_of_lines_and_a_text_and_tells_where_each_stood(place, tmp_path, capsys):
    table(tmp_path / "new.csv", 20, ("door", "said"))
    (tmp_path / "lines.txt").write_text("my knee hurts\n\ni cannot sleep\n", encoding="utf-8")
    inputs = [str(tmp_path / "new.csv"), str(tmp_path / "lines.txt"), "my knee hurts"]
    assert main(["predict", str(place / "run"), *inputs]) == 0
    rows = rows_of(capsys)
    assert list(rows[0]) == ["file", "line", "text", "class", "probability", "bones", "nights"]
    assert len(rows) == 43
    assert [row["line"] for row in rows[:3]] == ["2", "3", "4"]
    assert all(row["class"] == ("bones" if "knee" in row["text"] else "nights") for row in rows)
    assert [(row["file"], row["line"]) for row in rows[-3:]] == [(inputs[1], "1"), (inputs[1], "3"), ("", "1")]
    model, facts = tl.load(place / "run")
    shares = tl.predict(model, tl.encode([row["text"] for row in rows]))
    told = torch.tensor([[float(row[name]) for name in facts["classes"]] for row in rows])
    assert torch.allclose(told, shares, atol=1e-4)
    assert main(["predict", str(place / "run"), *inputs, "--json", "--top", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [item["text"] for item in found] == [row["text"] for row in rows]
    assert found[1]["line"] == 3


def test_predict_goes_on_after_what_it_cannot_read_and_ends_with_1(place, tmp_path, capsys):
    (tmp_path / "holes.csv").write_text("id,said\n1,my knee hurts\n2,\n3,i cannot sleep\n", encoding="utf-8")
    (tmp_path / "ragged.csv").write_text("said\nmy knee, my back\n", encoding="utf-8")
    inputs = [str(tmp_path / name) for name in ("holes.csv", "ragged.csv", "none.csv")]
    assert main(["predict", str(place / "run"), *inputs, "itchy"]) == 1
    out, err = capsys.readouterr()
    assert [row["text"] for row in csv.DictReader(io.StringIO(out))] == ["my knee hurts", "i cannot sleep", "itchy"]
    assert len(err.splitlines()) == 3 and "line 3: no text" in err and "line 2 has 2" in err and "none.csv" in err


def test_a_run_on_texts_goes_on_with_resume_only_on_the_same_texts(place, tmp_path, capsys):
    command = ["train", str(table(tmp_path / "a.csv", 12)), "--backbone", f"hf:{place / 'encoder'}", "--epochs", "2"]
    assert main([*command, "--seed", "3", "--out", str(tmp_path / "one")]) == 0
    assert main([*command, "--seed", "3", "--out", str(tmp_path / "two")]) == 0
    one, other = (json.loads((tmp_path / name / "model.json").read_text())["sha256"] for name in ("one", "two"))
    assert one == other


def test_how_much_of_a_text_is_read_is_asked_for_like_the_size_of_an_image(place, tmp_path, capsys):
    rows = [(name, f"{SAID[name]} {i} " * 30) for i in range(12) for name in SAID]
    with (tmp_path / "long.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("label", "text"), *rows])
    command = ["train", str(tmp_path / "long.csv"), "--backbone", f"hf:{place / 'encoder'}", "--epochs", "2"]
    assert main([*command, "--strategy", "fine-tuning", "--out", str(tmp_path / "short")]) == 0
    assert capsys.readouterr().err.count("more than 64 tokens") == 1
    assert main([*command, "--input-size", "256", "--out", str(tmp_path / "long")]) == 0
    assert "tokens" not in capsys.readouterr().err
    assert tl.load(tmp_path / "long")[0].preprocess.length == 256


def test_groups_are_a_column_and_data_check_says_whether_a_table_can_be_used(place, tmp_path, capsys):
    rows = [(name, f"{SAID[name]} {i}", f"p{i // 2}") for i in range(12) for name in SAID]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("label", "text", "patient"), *rows])
    assert main(["data", "check", str(tmp_path / "a.csv")]) == 0
    out, err = capsys.readouterr()
    verdict = out.splitlines()[-1]
    assert verdict.startswith("ready, but look at this first: ") and "--groups patient" in verdict and not err
    assert main(["data", "check", str(tmp_path / "a.csv"), "--groups", "patient", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["ok"] is True and not err
    (tmp_path / "b.csv").write_text("label,text\na,b,c\n", encoding="utf-8")
    assert main(["data", "check", str(tmp_path / "b.csv")]) == 1
    assert "line 2 has 3" in capsys.readouterr().err


def test_what_makes_no_sense_for_texts_is_one_refusal(place, tmp_path, capsys):
    run, letters, columns = str(place / "run"), str(place / "letters.csv"), ["--text", "said", "--label", "door"]
    wrong = {
        ("export", run, str(tmp_path / "model.onnx")): "ONNX",
        ("predict", run, "itchy", "--cam", str(tmp_path / "maps")): "maps",
        ("advise", letters, *columns): "images, not texts",
        ("data", "sheet", letters, *columns, "--out", str(tmp_path / "a.png")): "texts, not images",
        ("train", letters, *columns, "--backbone", "small_cnn", "--strategy", "from-scratch", "--out", "x"): "minilm",
        ("train", letters, *columns, "--groups", "who", "--out", str(tmp_path / "x")): "no column 'who'",
        ("train", "digits", "--text", "said", "--out", str(tmp_path / "x")): "takes no --text",
        ("train", str(tmp_path / "none.csv"), "--out", str(tmp_path / "x")): "cannot be read",
        ("evaluate", run, str(tmp_path)): "cannot be read",
    }
    for command, said in wrong.items():
        assert main(list(command)) == 1, command
        out, err = capsys.readouterr()
        assert err.startswith("error: ") and len(err.splitlines()) == 1 and said in err and not out.count("epoch"), err
    assert not list(tmp_path.iterdir())


def test_a_folder_of_images_and_a_table_of_one_name_are_told_apart(tmp_path, capsys):
    (tmp_path / "letters.csv").mkdir()
    assert main(["train", str(tmp_path / "letters.csv"), "--out", str(tmp_path / "run")]) == 1
    assert "no images" in capsys.readouterr().err


def test_the_embedded_texts_train_by_name(place, tmp_path, capsys):
    command = ["train", "triage", "--n-train", "16", "--backbone", f"hf:{place / 'encoder'}", "--epochs", "1"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    assert "8 classes" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "run")
