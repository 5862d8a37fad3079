import pytest
import torch
from helpers import same, small_model, state_of, stripes

import transferlib as tl
from transferlib.data.splits import Splits
from transferlib.errors import DataError, TransferError

SIZES = {"vit_b_16": 224, "small_cnn": 96}
CONVOLUTIONAL = [name for name in tl.list_backbones() if name not in ("vit_b_16", "minilm")]


def random_images(n, height, width=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, height, width or height), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def stripe_reader():
    """A small network that has learned to tell stripes of 64 pixels apart."""
    train, val, test = stripes(32, 0, size=64), stripes(8, 1, 1000, size=64), stripes(8, 2, 2000, size=64)
    model = small_model()
    splits = Splits(train, val, test, ("across", "down"), "stripes", augment="none", synthetic=True)
    tl.fit(model, splits, tl.from_scratch(epochs=12), seed=0, device="cpu")
    return model


def by_hand(model, images, target):
    """The formula of Selvaraju et al. 2017, on a network whose last stage is: conv layers, pooling, flatten."""
    last = model.stages[-1]
    maps = model.stages[:-1](model.preprocess.apply(images))
    for layer in last[:-2]:
        maps = layer(maps)
    maps = maps.detach().requires_grad_()
    score = model.head(last[-2:](maps))[range(len(images)), target].sum()
    (slope,) = torch.autograd.grad(score, maps)
    return torch.relu((slope.mean(dim=(2, 3), keepdim=True) * maps.detach()).sum(1))


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_every_convolutional_backbone_has_a_map(name):
    model = tl.TransferModel(name, num_classes=3, pretrained=False, seed=1)
    images = random_images(2, 64)
    maps = torch.stack([tl.grad_cam(model, images, target) for target in range(3)])
    assert maps.shape == (3, 2, 64, 64)
    assert maps.dtype == torch.float32
    assert maps.min() >= 0
    assert maps.max() == 1
    assert maps.std() > 0


@pytest.mark.parametrize("size", [32, 224])
def test_vgg_at_any_size_is_explained_before_the_pooling_that_would_blow_up_one_cell(size):
    model = tl.TransferModel("vgg11_bn", num_classes=2, pretrained=False, seed=0)
    maps = torch.cat([tl.grad_cam(model, random_images(1, size), target) for target in (0, 1)])
    assert maps.std(dim=(1, 2)).max() > 0


def test_a_vision_transformer_is_refused_with_the_reason_and_a_way_out():
    model = tl.TransferModel("vit_b_16", num_classes=2, pretrained=False)
    with pytest.raises(TransferError, match=r"vit_b_16 has no map.*tokens.*efficientnet_lite0"):
        tl.grad_cam(model, random_images(1, 224))


def test_the_map_is_the_formula_of_the_paper(stripe_reader):
    images = stripes(4, 3, size=64).images
    target = torch.tensor([0, 1, 1, 1])
    small = by_hand(stripe_reader, images, target)
    large = torch.nn.functional.interpolate(small[:, None], (64, 64), mode="bilinear")[:, 0]
    wanted = large / large.amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)
    assert wanted.max() == 1
    assert torch.allclose(tl.grad_cam(stripe_reader, images, target), wanted, atol=1e-5)


def test_the_evidence_is_found_where_it_is():
    """A head that reads one channel must point at the place where that channel is bright."""
    model = small_model()
    images = stripes(1, 0, size=96).images
    with torch.no_grad():
        maps = model.stages[-1][:-2](model.stages[:-1](model.preprocess.apply(images)))[0]
        channel = int(maps.amax(dim=(1, 2)).argmax())
        model.head.weight.zero_()
        model.head.weight[1, channel] = 1
    place = torch.nn.functional.interpolate(maps[None, channel : channel + 1], (96, 96), mode="bilinear")[0, 0]
    assert torch.allclose(tl.grad_cam(model, images, 1)[0], place / place.max(), atol=1e-5)


@pytest.mark.parametrize("frozen", range(6))
def test_freezing_changes_nothing_about_the_map(stripe_reader, frozen):
    images = stripes(3, 4, size=64).images
    wanted = tl.grad_cam(small_copy(stripe_reader), images, 0)
    assert torch.equal(tl.grad_cam(small_copy(stripe_reader).freeze_to(frozen), images, 0), wanted)


def small_copy(model):
    copy = small_model()
    copy.load_state_dict(model.state_dict())
    return copy


def test_the_model_is_left_exactly_as_it_was():
    model = small_model().freeze_to(2).train()
    model.stages[3].eval()  # a mode that neither train() nor eval() would give back
    model.stages[4][0].weight.requires_grad_(False)
    images = stripes(4, 0).images
    model(images).sum().backward()
    state = state_of(model)
    modes = [module.training for module in model.modules()]
    flags = [p.requires_grad for p in model.parameters()]
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    given = images.clone()
    random = torch.get_rng_state()

    tl.grad_cam(model, images)

    assert same(state, state_of(model))
    assert modes == [module.training for module in model.modules()]
    assert flags == [p.requires_grad for p in model.parameters()]
    for before, parameter in zip(grads, model.parameters(), strict=True):
        assert (before is None) == (parameter.grad is None)
        assert before is None or torch.equal(before, parameter.grad)
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    assert not [module for module in model.modules() for name in hooks if getattr(module, name)]
    assert torch.equal(images, given)
    assert torch.equal(random, torch.get_rng_state())


def test_the_model_is_left_as_it_was_after_an_error_too():
    model = tl.TransferModel("vit_b_16", num_classes=2, pretrained=False).train()
    with pytest.raises(DataError, match="224"):
        tl.grad_cam(model, random_images(1, 32))
    assert all(module.training for module in model.modules())


def test_a_model_in_training_gives_the_map_of_evaluation(stripe_reader):
    images = stripes(3, 4, size=64).images
    wanted = tl.grad_cam(stripe_reader, images)
    assert torch.equal(tl.grad_cam(small_copy(stripe_reader).train(), images), wanted)


def test_it_works_where_gradients_are_switched_off(stripe_reader):
    images = stripes(3, 4, size=64).images
    wanted = tl.grad_cam(stripe_reader, images)
    with torch.no_grad():
        assert torch.equal(tl.grad_cam(stripe_reader, images), wanted)
    assert not wanted.requires_grad


def test_without_a_target_it_is_the_most_probable_class(stripe_reader):
    images = stripes(6, 5, size=64).images
    calls = tl.predict(stripe_reader, images).argmax(1)
    assert len(calls.unique()) == 2
    assert torch.equal(tl.grad_cam(stripe_reader, images), tl.grad_cam(stripe_reader, images, calls))


def test_a_class_for_each_image_is_that_class_and_batches_make_no_difference(stripe_reader):
    images = stripes(5, 5, size=64).images
    target = torch.tensor([0, 1, 1, 0, 1])
    together = tl.grad_cam(stripe_reader, images, target)
    alone = torch.cat(
        [tl.grad_cam(stripe_reader, image[None], int(k)) for image, k in zip(images, target, strict=True)]
    )
    assert torch.allclose(together, alone, atol=1e-5)
    for given in (target, None):
        whole = tl.grad_cam(stripe_reader, images, given)
        assert torch.allclose(tl.grad_cam(stripe_reader, images, given, batch_size=2), whole, atol=1e-5)


def test_float_images_and_images_that_are_not_square_are_explained_too(stripe_reader):
    images = random_images(2, 64, 96)
    maps = tl.grad_cam(stripe_reader, images, 1)
    assert maps.shape == (2, 64, 96)
    assert torch.allclose(maps, tl.grad_cam(stripe_reader, images.float() / 255, 1), atol=1e-5)


def test_a_network_with_its_channels_last_gives_a_map_of_places_not_of_channels():
    class Last(torch.nn.Module):
        def forward(self, x):
            return x.permute(0, 2, 3, 1)

    class Mean(torch.nn.Module):
        def forward(self, x):
            return x.mean(dim=(1, 2))

    model = small_model()
    images = random_images(2, 96)
    wanted = tl.grad_cam(model, images, 1)
    pooled = model.stages[-1]
    model.stages[-1] = torch.nn.Sequential(*pooled[:-2], Last(), Mean())
    assert torch.allclose(tl.grad_cam(model, images, 1), wanted, atol=1e-5)


def test_no_images_give_no_maps():
    assert tl.grad_cam(small_model(), random_images(0, 64)).shape == (0, 64, 64)


@pytest.mark.parametrize(
    ("target", "said"),
    [(2, "0…1"), (-1, "0…1"), (torch.tensor([0]), "2 images"), (0.5, "whole"), (torch.tensor([True, False]), "whole")],
)
def test_a_target_that_does_not_fit_is_refused(target, said):
    with pytest.raises(DataError, match=said):
        tl.grad_cam(small_model(), random_images(2, 64), target)


def test_images_that_are_not_a_batch_are_refused():
    with pytest.raises(DataError, match="N, 3, H, W"):
        tl.grad_cam(small_model(), random_images(1, 64)[0])


def test_overlay_blends_image_and_colours():
    images = random_images(2, 8)
    maps = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(tl.overlay(images, maps, strength=0), images)
    pure = tl.overlay(torch.zeros_like(images), maps, strength=1)
    assert torch.equal(tl.overlay(255 - torch.zeros_like(images), maps, strength=1), pure)
    half = tl.overlay(images, maps).float()
    assert (half - (images.float() + pure.float()) / 2).abs().max() <= 1


def test_overlay_refuses_what_does_not_fit():
    with pytest.raises(DataError, match="grad_cam"):
        tl.overlay(random_images(2, 8), torch.zeros(1, 8, 8))
    with pytest.raises(DataError, match="uint8"):
        tl.overlay(random_images(1, 8).float(), torch.zeros(1, 8, 8))
    with pytest.raises(DataError, match="strength"):
        tl.overlay(random_images(1, 8), torch.zeros(1, 8, 8), strength=2)
