"""How large the network sees an image is one thing; how large a data set keeps it is another."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from helpers import small_model, stripe_splits, stripes
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import transferlib as tl
from transferlib.cli import main
from transferlib.data.own.images import load_image
from transferlib.errors import CheckpointError, TransferError
from transferlib.features import cache_features
from transferlib.networks.backbone import Preprocess
from transferlib.ship.card import model_card

PLAIN = Preprocess((0.0,) * 3, (1.0,) * 3, 224)


def seeing(input_size):
    return tl.TransferModel("small_cnn", 2, pretrained=False, input_size=input_size)


@settings(deadline=None, max_examples=30)
@given(kept=st.integers(1, 40), seen=st.integers(1, 60), seed=st.integers(0, 9))
def test_the_network_sees_an_image_as_pillow_would_resize_it(kept, seen, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (3, kept, kept), dtype=np.uint8)
    # In fractions: of whole levels Pillow rounds and clips between its two passes.
    colours = [Image.fromarray(colour.astype(np.float32)) for colour in pixels]
    wanted = np.stack([np.asarray(colour.resize((seen, seen), Image.Resampling.BICUBIC)) for colour in colours])
    got = PLAIN.seen_at(seen).apply(torch.from_numpy(pixels)[None])[0] * 255
    assert np.abs(got.numpy() - wanted.clip(0, 255)).max() < 0.01


def test_without_an_input_size_an_image_stays_as_it_comes():
    images = stripes(2, 0).images
    assert torch.equal(PLAIN.apply(images), images / 255)
    assert torch.equal(PLAIN.seen_at(32).apply(images), images / 255)


def test_the_shorter_side_is_brought_to_it_and_the_shape_is_kept():
    assert PLAIN.seen_at(64).apply(torch.zeros(1, 3, 32, 48, dtype=torch.uint8)).shape == (1, 3, 64, 96)
    assert PLAIN.seen_at(10).apply(torch.zeros(1, 3, 40, 20, dtype=torch.uint8)).shape == (1, 3, 20, 10)


@pytest.mark.parametrize("size", [0, -3])
def test_an_input_size_below_one_pixel_is_refused(size):
    with pytest.raises(TransferError, match=f"input_size must be at least 1 pixel, not {size}"):
        seeing(size)


def test_a_vision_transformer_sees_small_images_at_the_size_it_needs():
    vit = tl.TransferModel("timm:vit_tiny_patch16_224", 2, pretrained=False, input_size=224)
    assert vit(stripes(1, 0).images).shape == (1, 2)


def test_a_pretrained_network_that_sees_less_than_half_of_what_it_was_trained_at_says_so_once():
    splits, recipe = stripe_splits(), tl.feature_extraction(1)

    def notes(**options):
        return tl.fit(tl.TransferModel("efficientnet_lite0", 2, **options), splits, recipe).notes

    told = [note for note in notes() if "input_size" in note]
    assert len(told) == 1 and "trained on images of 224 pixels and sees these at 32" in told[0]
    assert not any("input_size" in note for note in [*notes(input_size=112), *notes(pretrained=False)])
    scratch = tl.fit(tl.TransferModel("efficientnet_lite0", 2), splits, tl.from_scratch(1))
    assert not any("input_size" in note for note in scratch.notes)


def test_the_model_says_at_what_size_it_sees():
    assert "sees 48×48" in repr(seeing(48))
    assert "sees" not in repr(small_model())


def test_what_is_frozen_is_computed_once_at_the_input_size():
    model, images = seeing(48).freeze_to(3), stripes(6, 0).images
    apart = model.stages[:3](PLAIN_SMALL(images))
    assert torch.equal(cache_features(model, images, batch_size=6)[0], apart)
    assert torch.equal(tl.extract_features(model, images, batch_size=6), model.stages[3:](apart))


def PLAIN_SMALL(images):  # noqa: N802  the preprocessing of small_cnn by hand
    large = torch.nn.functional.interpolate(images.float() / 255, (48, 48), mode="bicubic", antialias=True)
    return (large.clamp(0, 1) - 0.5) / 0.25


def test_views_are_made_of_the_images_as_they_are_kept():
    sizes = []

    def augment(image):
        sizes.append(tuple(image.shape))
        return image

    tl.fit(seeing(48), stripe_splits(), tl.fine_tuning(1, augment=augment), device="cpu")
    assert set(sizes) == {(3, 32, 32)}


def test_a_saved_model_sees_at_the_same_size(tmp_path):
    model, images = seeing(48), stripes(4, 0).images
    tl.save(model, tmp_path, classes=("across", "down"), image_size=32)
    loaded, facts = tl.load(tmp_path)
    assert torch.equal(tl.predict(loaded, images), tl.predict(model, images))
    assert (facts["image_size"], facts["preprocess"]["input_size"], facts["preprocess"]["native_size"]) == (32, 48, 96)


def test_a_model_saved_before_there_was_an_input_size_is_read(tmp_path):
    model, images = small_model(), stripes(4, 0).images
    tl.save(model, tmp_path, classes=("across", "down"))
    facts = json.loads((tmp_path / "model.json").read_text())
    facts["preprocess"] = {"mean": [0.5] * 3, "std": [0.25] * 3, "image_size": 96}
    (tmp_path / "model.json").write_text(json.dumps(facts))
    assert torch.equal(tl.predict(tl.load(tmp_path)[0], images), tl.predict(model, images))


def test_the_old_name_of_the_native_size_still_works_and_warns():
    with pytest.deprecated_call(match="native_size"):
        assert PLAIN.image_size == 224


def test_a_run_does_not_go_on_at_another_input_size(tmp_path):
    strategy = tl.feature_extraction(2)
    tl.fit(seeing(48), stripe_splits(), strategy, checkpoint=tmp_path, device="cpu")
    with pytest.raises(CheckpointError, match="input_size"):
        tl.fit(seeing(64), stripe_splits(), strategy, checkpoint=tmp_path, resume=True, device="cpu")


@pytest.mark.parametrize("seen", [20, 48])
def test_the_exported_graph_brings_images_to_the_input_size_itself(seen, tmp_path):
    model, images = seeing(seen), stripes(5, 0).images
    made = tl.export_onnx(model, tmp_path / "a.onnx", classes=("across", "down"), image_size=32)
    session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"images": images.numpy()})
    assert (torch.from_numpy(got) - tl.predict(model, images)).abs().max() < 1e-4
    facts = json.loads(session.get_modelmeta().custom_metadata_map["preprocessing"])
    assert (facts["image_size"], facts["input_size"]) == (32, seen)
    card = model_card(made, model, classes=("across", "down"), image_size=32)
    assert "(N, 3, 32, 32)" in card and f"brings them to {seen} pixels" in card


def test_a_map_of_evidence_has_the_size_of_the_image():
    assert tl.grad_cam(seeing(64), stripes(2, 0).images).shape == (2, 32, 32)


def test_features_for_scikit_learn_are_those_at_the_input_size():
    images = stripes(4, 0).images
    step = tl.FeatureExtractor("small_cnn", pretrained=False, input_size=48)
    assert np.allclose(step.fit_transform(images.numpy()), tl.extract_features(seeing(48), images).numpy())


def test_the_command_line_trains_and_predicts_at_the_input_size(tmp_path, capsys):
    words = "train digits --n-train 40 --image-size 32 --input-size 48 --epochs 1 --strategy from-scratch"
    assert main([*words.split(), "--backbone", "small_cnn", "--out", str(tmp_path / "run")]) == 0
    facts = json.loads((tmp_path / "run" / "model.json").read_text())
    assert (facts["image_size"], facts["preprocess"]["input_size"]) == (32, 48)
    Image.new("RGB", (50, 40)).save(tmp_path / "a.png")
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "a.png"), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    pixels = load_image(tmp_path / "a.png", 32)
    model, _ = tl.load(tmp_path / "run")
    assert found["probability"] == pytest.approx(tl.predict(model, pixels[None]).max().item(), abs=1e-6)
