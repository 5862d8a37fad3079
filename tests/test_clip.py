"""The cell of lesson 13 that runs CLIP where its weights are: here with a tiny one of random numbers, to see it run."""

import json
from pathlib import Path

import nbformat
import pytest

transformers = pytest.importorskip("transformers")
LESSON = Path(__file__).parents[1] / "lessons" / "13_other_teachers.ipynb"


def asked_for(name):
    """Run what the cell needs, and the cell, with the weights of this name."""
    cells = [cell.source for cell in nbformat.read(LESSON, 4).cells if cell.cell_type == "code"]
    (at,) = (number for number, source in enumerate(cells) if "CLIPModel.from_pretrained" in source)
    names = {}
    for source in (cells[0], *(c for c in cells[1:at] if c.startswith(("THINGS =", "SPOTS =", "NAME ="))), cells[at]):
        exec(source.replace("openai/clip-vit-base-patch32", str(name)), names)


@pytest.fixture
def tiny_clip(tmp_path):
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    vocabulary.write_text(json.dumps({word: number for number, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    tower = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    text = {**tower, "vocab_size": len(words), "eos_token_id": len(words) - 1, "max_position_embeddings": 120}
    vision = {**tower, "image_size": 32, "patch_size": 16}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=4)
    folder = tmp_path / "clip"
    transformers.CLIPModel(config).save_pretrained(folder)
    sides = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    pictures = transformers.CLIPImageProcessor(**sides)
    tokens = transformers.CLIPTokenizer(str(vocabulary), str(merges))
    transformers.CLIPProcessor(pictures, tokens).save_pretrained(folder)
    return folder


def test_where_clip_is_at_hand_the_lesson_measures_it(tiny_clip, capsys):
    asked_for(tiny_clip)
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said] == ["CLIP on photos", "CLIP on lesions"]


def test_where_it_is_not_the_lesson_says_so(capsys):
    asked_for("nobody/has-this")
    assert "nobody/has-this is not on this machine: nothing is measured here." in capsys.readouterr().out
