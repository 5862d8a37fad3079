from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from helpers import tiny_encoder

import transferlib as tl
from transferlib.errors import TransferError, WeightsError
from transferlib.networks import encoders

transformers = pytest.importorskip("transformers")
SENTENCES = ["My knee hurts.", "I cannot sleep, and at four I get up and count the cars.", "Itchy."]


@pytest.fixture(scope="module")
def minilm():
    return tl.TransferModel("minilm", num_classes=8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with a small random encoder, for each of three architectures, and a tokeniser."""
    return {kind: tiny_encoder(tmp_path_factory.mktemp(kind), kind) for kind in ("bert", "roberta", "distilbert")}


def test_minilm_computes_what_the_original_does_for_texts_of_different_lengths(minilm):
    folder = encoders.encoder_source("minilm")
    original, cutter = (kind.from_pretrained(folder) for kind in (transformers.AutoModel, transformers.AutoTokenizer))
    batch = cutter(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = original.eval()(**batch).last_hidden_state
        found = minilm.features(tl.encode(SENTENCES))
    mask = batch["attention_mask"][..., None]
    assert torch.allclose(found, (hidden * mask).sum(1) / mask.sum(1), atol=1e-4)


def test_a_texts_features_do_not_depend_on_its_neighbours(minilm):
    with torch.no_grad():
        together = minilm.features(tl.encode(SENTENCES))
        alone = torch.cat([minilm.features(tl.encode([text])) for text in SENTENCES])
    assert torch.allclose(together, alone, atol=1e-5)


def test_near_sentences_have_near_features(minilm):
    with torch.no_grad():
        a, b, c = minilm.features(tl.encode(["My skin itches.", "A rash that I scratch.", "I broke my arm."]))
    assert torch.cosine_similarity(a, b, dim=0) > torch.cosine_similarity(a, c, dim=0) + 0.1


def test_the_rest_of_a_long_text_is_not_read_and_that_is_said(minilm):
    with pytest.warns(UserWarning, match=r"some texts have more than 64 tokens; .*--input-size .* up to 512"):
        tokens = minilm.preprocess.apply(tl.encode(["word " * 100, "short"]))
    assert tokens.shape == (2, 64) and (tokens[1] >= 0).sum() == 3
    longer = replace(minilm.preprocess, length=128)
    assert (longer.apply(tl.encode(["word " * 100]))[0] >= 0).sum() == 102


def test_frozen_layers_are_computed_once_and_training_on_them_is_the_same(tiny):
    splits = tl.load_data("triage", 24, n_val=16, n_test=16)
    runs = []
    for views in (1, None):
        model = tl.TransferModel(f"hf:{tiny['bert']}", 8)
        strategy = tl.progressive_unfreezing(3, steps=3, views=views, augment="none" if views else None)
        runs.append(tl.fit(model, splits, strategy))
    for a, b in zip(runs[0].history, runs[1].history, strict=True):
        assert abs(a.train_loss - b.train_loss) < 1e-5


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_any_encoder_of_the_family_becomes_stages_and_trains(tiny, kind):
    splits = tl.load_data("triage", 24, n_val=16, n_test=16)
    model = tl.TransferModel(f"hf:{tiny[kind]}", 8)
    assert model.stage_names == ("embeddings", "layer1", "layer2")
    before = {name: tensor.clone() for name, tensor in model.stages[:2].state_dict().items()}
    tl.fit(model, splits, tl.fine_tuning(2, learn=1))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.stages[:2].state_dict().items())
    assert tl.evaluate(model, splits.test).confusion.sum() == 16


def test_a_saved_text_model_comes_back(tiny, tmp_path):
    model = tl.TransferModel(f"hf:{tiny['distilbert']}", 2)
    tl.save(model, tmp_path, classes=("a", "b"))
    loaded, facts = tl.load(tmp_path)
    assert torch.equal(loaded(tl.encode(SENTENCES)), model(tl.encode(SENTENCES)))
    assert facts["preprocess"]["length"] == 64


def test_weights_with_another_hash_are_refused(monkeypatch):
    monkeypatch.setattr(encoders, "MINILM_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="damaged or another file"):
        tl.build_backbone("minilm")


def test_an_encoder_that_is_not_there_names_three_ways_out(monkeypatch, tmp_path):
    with pytest.raises(WeightsError, match="use minilm"):
        tl.build_backbone(f"hf:{tmp_path / 'nothing'}")


def test_a_network_that_is_no_stack_of_layers_is_refused(tmp_path, tiny):
    config = transformers.GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=20)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="embeddings and a list of layers"):
        tl.build_backbone(f"hf:{tmp_path}")


def test_what_is_made_for_images_says_so(minilm, tmp_path):
    splits = tl.load_data("triage", 16)
    with pytest.raises(TransferError, match="reads texts"):
        tl.export_onnx(minilm, tmp_path / "a.onnx", classes=splits.classes, image_size=64)
    with pytest.raises(TransferError, match="reads texts"):
        tl.grad_cam(minilm, splits.train.inputs)
    with pytest.raises(TransferError, match=r"images, not texts.* Begin with feature_extraction"):
        tl.advise(splits)
    with pytest.raises(TransferError, match=r"these are texts, and this network reads images: take minilm"):
        tl.fit(tl.TransferModel("small_cnn", 8, pretrained=False), splits, tl.from_scratch(1))
    with pytest.raises(TransferError, match="minilm reads texts, and these are images: take another backbone"):
        minilm(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


def test_how_many_tokens_are_read_is_the_models_input_size_and_is_saved_with_it(tiny, tmp_path):
    model = tl.TransferModel(f"hf:{tiny['bert']}", 2, input_size=128)
    long = tl.encode(["my knee hurts " * 30 + "itchy"])
    assert (model.preprocess.apply(long) >= 0).sum() == 91
    tl.save(model, tmp_path, classes=("a", "b"))
    loaded, _ = tl.load(tmp_path)
    assert loaded.preprocess.length == 128
    assert torch.equal(loaded(long), model(long))
    for size in (0, 2, 513):
        with pytest.raises(TransferError, match=f"reads 3 to 512 tokens of a text, not {size}"):
            tl.TransferModel(f"hf:{tiny['bert']}", 2, input_size=size)


def test_the_tokeniser_is_the_one_of_the_weights():
    vocabulary = json.loads((encoders.Path(encoders.encoder_source("minilm")) / "tokenizer.json").read_text())
    pieces = encoders.Tokenize("minilm").pieces("My knee clicks.")
    assert pieces[0] == "[CLS]" and pieces[-1] == "[SEP]"
    assert all(piece in vocabulary["model"]["vocab"] for piece in pieces)
