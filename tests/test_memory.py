"""Frozen features in memory or in a file, and what happens when either runs out."""

import errno
import logging
import shutil
from collections import namedtuple

import pytest
import torch
from helpers import same, small_model, state_of, stripe_splits, stripes
from hypothesis import given, settings
from hypothesis import strategies as st

import transferlib as tl
from transferlib import features
from transferlib.engine.memory import halving
from transferlib.features import cache_features
from transferlib.files import tensors as storage
from transferlib.files.tensors import mapped_tensor


@pytest.fixture
def tiny_memory(monkeypatch):
    monkeypatch.setattr(features, "CACHE_LIMIT", 0)


def trained(**options):
    model = small_model()
    run = tl.fit(model, stripe_splits(augment="none"), tl.progressive_unfreezing(3, steps=3), **options)
    return state_of(model), run


@pytest.mark.usefixtures("tiny_memory")
def test_features_in_a_file_train_the_same_weights(tmp_path, monkeypatch):
    state, run = trained(cache=tmp_path)
    assert f"kept in {tmp_path}" in run.notes[0]
    assert len(list(tmp_path.glob("features-*.bin"))) == 4  # training and validation, two phases
    monkeypatch.undo()
    assert same(state, trained()[0])


@pytest.mark.usefixtures("tiny_memory")
def test_features_are_found_again_and_not_computed_twice(tmp_path, monkeypatch):
    state, _ = trained(cache=tmp_path)
    monkeypatch.setattr(features, "halving", lambda *_: pytest.fail("computed again"))
    monkeypatch.setattr(features, "batched", lambda function, inputs, *_: function(inputs).detach())
    assert same(state, trained(cache=tmp_path)[0])


@pytest.mark.parametrize("damage", ["truncate", "change", "empty json", "no json", "other key"])
@pytest.mark.usefixtures("tiny_memory")
def test_a_damaged_file_is_noticed_and_computed_again(tmp_path, damage):
    state, _ = trained(cache=tmp_path)
    for path in tmp_path.glob("features-*.bin"):
        content, facts = path.read_bytes(), path.with_suffix(".json")
        if damage == "truncate":
            path.write_bytes(content[:-4])
        elif damage == "change":
            path.write_bytes(content[:100] + bytes([content[100] ^ 255]) + content[101:])
        elif damage == "other key":
            facts.write_text(facts.read_text().replace('"key": "', '"key": "0'))
        else:
            facts.write_text("{") if damage == "empty json" else facts.unlink()
    assert same(state, trained(cache=tmp_path)[0])


def test_other_weights_other_images_and_other_views_are_other_files(tmp_path):
    images = stripes(8, 0).images
    for seed in (0, 1):
        cache_features(small_model(seed).freeze_to(3), images, folder=tmp_path)
    cache_features(small_model().freeze_to(2), images, folder=tmp_path)
    cache_features(small_model().freeze_to(3), stripes(8, 1).images, folder=tmp_path)
    cache_features(small_model().freeze_to(3), images, views=2, kind="flip", folder=tmp_path)
    cache_features(small_model().freeze_to(3), images, dtype=torch.float16, folder=tmp_path)
    assert len(list(tmp_path.glob("*.bin"))) == 6


@pytest.mark.usefixtures("tiny_memory")
def test_a_disk_without_space_is_seen_before_anything_is_computed(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1))
    with pytest.warns(UserWarning, match="recomputed every epoch instead"):
        state, run = trained(cache=tmp_path)
    assert run.notes == []
    monkeypatch.undo()
    assert same(state, trained()[0])


@pytest.mark.usefixtures("tiny_memory")
def test_a_disk_that_fills_up_meanwhile_leaves_no_file_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage, "_reserve", full)
    with pytest.warns(UserWarning, match="No space left on device.*recomputed every epoch"):
        trained(cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_filling_that_fails_leaves_no_file_behind(tmp_path):
    def fails(_):
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        mapped_tensor(tmp_path, "features", "a" * 64, (4, 4), torch.float32, fails)
    assert list(tmp_path.iterdir()) == []


def test_half_precision_features_are_off_by_no_more_than_a_thousandth():
    model, images = small_model().freeze_to(4), stripes(32, 0).images
    exact, half = (cache_features(model, images, dtype=dtype) for dtype in (torch.float32, torch.float16))
    assert half.nbytes * 2 == exact.nbytes
    assert (half.float() - exact).abs().max() <= 1e-3 * exact.abs().max()


def test_training_on_half_precision_features_is_within_a_thousandth_and_takes_half_the_memory():
    exact, expected = trained()
    state, run = trained(half_features=True)
    sizes = [float(r.notes[0].split(": ")[1].split(" MB")[0]) for r in (expected, run)]
    assert sizes[1] == pytest.approx(sizes[0] / 2, abs=0.1)
    losses = [[e.train_loss for e in r.history] for r in (expected, run)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)
    assert not same(exact, state)


class Scarce:
    """Stands for memory that holds so many images and no more."""

    def __init__(self, monkeypatch, images, message="DefaultCPUAllocator: can't allocate memory"):
        real = tl.TransferModel.freeze_to

        def freeze_to(model, stage, **options):
            if not any(hook for hook in model.head._forward_pre_hooks):
                model.head.register_forward_pre_hook(lambda _, given: self.check(given[0]))
            return real(model, stage, **options)

        self.images, self.message, self.asked = images, message, []
        monkeypatch.setattr(tl.TransferModel, "freeze_to", freeze_to)

    def check(self, inputs):
        self.asked.append(len(inputs))
        if len(inputs) > self.images:
            raise RuntimeError(self.message)


def test_out_of_memory_halves_the_batch_keeps_the_step_and_says_so(monkeypatch, caplog):
    expected, _ = trained()
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "transferlib"):
        scarce = Scarce(patch, images=5)
        state, run = trained()
    assert len(run.history) == 3
    assert max(n for n in scarce.asked if n <= 5) >= 3
    assert "going on with 4 images" in caplog.text
    for name, tensor in expected.items():
        assert torch.allclose(tensor.float(), state[name].float(), atol=1e-5), name


def test_memory_too_small_for_one_image_is_an_error(monkeypatch):
    Scarce(monkeypatch, images=0)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        trained()


def test_another_runtime_error_is_not_taken_for_missing_memory(monkeypatch):
    scarce = Scarce(monkeypatch, images=5, message="shapes do not match")
    with pytest.raises(RuntimeError, match="shapes do not match"):
        trained()
    assert len(scarce.asked) == 1


@settings(deadline=None)
@given(room=st.integers(1, 64), size=st.integers(1, 64))
def test_halving_ends_with_what_fits(room, size):
    def action(n):
        if n > room:
            raise MemoryError
        return n

    found = halving(action, size)
    assert found <= room
    assert found == size or 2 * found > room / 2


def test_a_loss_that_is_no_number_is_noticed_under_accumulation(monkeypatch):
    Scarce(monkeypatch, images=5)
    wild = tl.fine_tuning(3, lr=1e30, optimizer="sgd", warmup=0.0, body=1.0, decay=1.0)
    with pytest.raises(tl.TrainingDiverged, match="phase 1"):
        tl.fit(small_model(), stripe_splits(), wild)


def test_bfloat16_trains_and_is_close():
    exact, half = (small_model(), small_model())
    runs = [
        tl.fit(model, stripe_splits(48), tl.fine_tuning(4, lr=1e-2), precision=precision)
        for model, precision in ((exact, "fp32"), (half, "bf16"))
    ]
    losses = [run.history[-1].train_loss for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    assert all(p.dtype == torch.float32 for p in half.parameters())


def test_an_unknown_precision_is_an_error():
    with pytest.raises(tl.TransferError, match="'fp8'"):
        tl.fit(small_model(), stripe_splits(), tl.fine_tuning(1), precision="fp8")


@pytest.mark.parametrize(("size", "tried"), [(1, [1]), (2, [2, 1]), (7, [7, 4, 2, 1])])
def test_without_room_for_a_single_image_every_half_is_tried_and_the_error_comes_out(size, tried):
    asked = []

    def action(images):
        asked.append(images)
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        halving(action, size)
    assert asked == tried


def test_another_error_is_not_tried_again():
    asked = []

    def action(images):
        asked.append(images)
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        halving(action, 8)
    assert asked == [8]
