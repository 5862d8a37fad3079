import pytest
import torch
from helpers import small_model, stripe_splits, stripes
from hypothesis import given, settings
from hypothesis import strategies as st

import transferlib as tl
from transferlib.data.transforms import augment
from transferlib.engine.processes import Processes
from transferlib.engine.state import Keeping
from transferlib.errors import DataError, TransferError
from transferlib.features import cache_bytes, cache_features, keepable
from transferlib.networks import backbone
from transferlib.training import begin


@pytest.mark.parametrize("k", range(1, 6))
def test_cached_activations_are_what_the_stages_give(k):
    model = small_model().freeze_to(k).train()
    images = stripes(16, 0).images
    cached = cache_features(model, images, batch_size=16)
    assert torch.equal(cached[0], model.stages[:k](model.preprocess.apply(images)))


@pytest.mark.parametrize("k", range(1, 6))
def test_gradients_from_the_cache_are_gradients_through_the_network(k):
    model = small_model().freeze_to(k)
    model.eval()
    images = stripes(8, 0).images
    model(images).square().sum().backward()
    through = [p.grad.clone() for p in model.parameters() if p.requires_grad]
    model.zero_grad()
    model.head(model.stages[k:](cache_features(model, images, batch_size=8)[0])).square().sum().backward()
    cached = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(torch.equal(a, b) for a, b in zip(through, cached, strict=True))


def test_images_that_are_large_together_pass_in_pieces_and_give_the_same(monkeypatch):
    images, seen = stripes(10, 0).images, []
    model = small_model().freeze_to(5)
    whole = cache_features(model, images), tl.extract_features(model, images), tl.predict(model, images)
    model.stages[0].register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    monkeypatch.setattr(backbone, "AT_ONCE", 4 * images[0, 0].numel())
    pieces = cache_features(model, images), tl.extract_features(model, images), tl.predict(model, images)
    assert seen == [1, 4, 4, 2, 4, 4, 2, 4, 4, 2]  # the first one asks how large the features are
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other)


def test_views_are_drawn_alike_however_many_images_are_computed_at_a_time(monkeypatch):
    images, model = stripes(10, 0).images, small_model().freeze_to(5)
    whole = cache_features(model, images, views=3, kind="dihedral", seed=3)
    monkeypatch.setattr(backbone, "AT_ONCE", 1)
    torch.testing.assert_close(cache_features(model, images, views=3, kind="dihedral", seed=3), whole)


def test_a_kind_of_change_that_there_is_not_is_refused_and_not_taken_for_another():
    with pytest.raises(DataError, match="'crop' is unknown: choose none, flip or dihedral"):
        augment(stripes(4, 0).images, "crop", torch.Generator())


def test_the_size_is_known_beforehand():
    model = small_model().freeze_to(3)
    images = stripes(10, 0).images
    assert cache_bytes(model, images, views=2) == cache_features(model, images, views=2).nbytes


def test_the_first_view_is_the_image_and_the_others_differ():
    model = small_model().freeze_to(5)
    views = cache_features(model, stripes(8, 0).images, views=3, kind="flip", seed=1)
    assert torch.equal(views[0], cache_features(model, stripes(8, 0).images)[0])
    assert not torch.equal(views[1], views[2])


def test_nothing_frozen_is_an_error():
    with pytest.raises(TransferError, match="freeze_to"):
        cache_features(small_model(), stripes(2, 0).images)


@settings(deadline=None)
@given(kind=st.sampled_from(["none", "flip", "dihedral"]), seed=st.integers(0, 99))
def test_augmented_images_keep_shape_type_and_values(kind, seed):
    images = stripes(4, 0).images
    changed = augment(images, kind, torch.Generator().manual_seed(seed))
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    assert set(changed.unique().tolist()) <= set(images.unique().tolist())


def test_each_image_of_a_batch_gets_its_own_change():
    images = torch.arange(3 * 8 * 8).reshape(1, 3, 8, 8).to(torch.uint8).repeat(32, 1, 1, 1)
    changed = augment(images, "dihedral", torch.Generator().manual_seed(0))
    assert len({picture.numpy().tobytes() for picture in changed}) > 8


def test_flip_never_turns_an_image_upside_down():
    ramp = torch.arange(16)[None, None, :, None].expand(8, 3, 16, 16).to(torch.uint8)
    changed = augment(ramp, "flip", torch.Generator().manual_seed(0)).float().mean(dim=(1, 3))
    assert (changed[:, 3:-3].diff(dim=1) >= 0).all()


def begun(model, splits, strategy):
    """The state of a run that keeps features in half precision."""
    options = {"seed": 0, "processes": Processes("cpu"), "precision": "fp32"}
    return begin(model, splits, strategy, keeping=Keeping(None, torch.float16), **options)


@pytest.mark.parametrize("views", [1, 3])
def test_the_bytes_of_all_views_are_told_as_they_will_be(views):
    splits = stripe_splits(augment="flip")
    run = tl.fit(small_model(), splits, tl.feature_extraction(1, views=views), device="cpu")
    numbers = (views * len(splits.train) + len(splits.val)) * 128  # features of small_cnn
    assert f"{numbers * 4 / 1e6:.1f} MB" in run.notes[0]
    model = small_model()
    state = begun(model, splits, tl.feature_extraction(1, views=views))
    model.freeze_to(5)
    assert keepable(state) == (views, numbers * 2)
    assert all(type(number) is int for number in keepable(state))


@pytest.mark.parametrize("frozen", [0, 5])
def test_where_nothing_is_frozen_or_every_view_is_fresh_nothing_can_be_kept(frozen):
    model, strategy = small_model(), tl.feature_extraction(1, views=None)
    state = begun(model, stripe_splits(augment="flip"), strategy if frozen else tl.from_scratch(1))
    model.freeze_to(frozen)
    assert keepable(state) == (0, 0)


def test_images_that_are_shown_as_they_are_have_one_view_whatever_was_asked_for():
    model, splits = small_model(), stripe_splits(augment="none")
    state = begun(model, splits, tl.feature_extraction(1, views=3))
    model.freeze_to(5)
    assert keepable(state) == (1, (len(splits.train) + len(splits.val)) * 128 * 2)
