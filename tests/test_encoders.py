from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import transferlib as tl
from transferlib.cli import main
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
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", *(["my", "knee", "hurts", "i", "cannot", "sleep", "itchy", ".", ","])]
    small = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 24}
    configs = {
        "bert": transformers.BertConfig(vocab_size=len(words), pad_token_id=0, **small),
        "roberta": transformers.RobertaConfig(vocab_size=len(words), pad_token_id=0, **small),
        "distilbert": transformers.DistilBertConfig(
            vocab_size=len(words), dim=16, n_heads=2, n_layers=2, hidden_dim=24, pad_token_id=0
        ),
    }
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    folders = {}
    for name, config in configs.items():
        folders[name] = tmp_path_factory.mktemp(name)
        transformers.AutoModel.from_config(config).save_pretrained(folders[name])
        fast.save_pretrained(folders[name])
    return folders


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
    with pytest.warns(UserWarning, match="1 of 2 texts have more than 64 tokens"):
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
    with pytest.raises(TransferError, match="texts, not images"):
        tl.advise(splits)


@pytest.mark.parametrize(
    "command", [["evaluate", "run", "."], ["predict", "run", "a.jpg"], ["export", "run", "a.onnx"]]
)
def test_a_command_for_images_refuses_a_model_of_texts(command, minilm, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tl.save(minilm, tmp_path / "run", classes=tuple("abcdefgh"))
    assert main(command) == 1
    assert "error: minilm reads texts" in capsys.readouterr().err


def test_the_tokeniser_is_the_one_of_the_weights():
    vocabulary = json.loads((encoders.Path(encoders.encoder_source("minilm")) / "tokenizer.json").read_text())
    pieces = encoders.Tokenize("minilm").pieces("My knee clicks.")
    assert pieces[0] == "[CLS]" and pieces[-1] == "[SEP]"
    assert all(piece in vocabulary["model"]["vocab"] for piece in pieces)
