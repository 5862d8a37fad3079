"""Where pretrained networks and their weights come from, and where each is cut into stages.

Knows nothing of heads, data sets or training. A network is built by `build(name, pretrained)` of one module
here; to add one, give it a line in `NETWORKS`, or, if it is torchvision's, in `CUTS`.
"""

CUTS: dict[str, str | tuple[int, ...]] = {
    "resnet18": "resnet",
    "resnet34": "resnet",
    "resnet50": "resnet",
    "vgg11_bn": "vgg",
    "vgg16": "vgg",
    "mobilenet_v2": (2, 4, 7, 14),
    "mobilenet_v3_small": (1, 2, 4, 9),
    "efficientnet_b0": (2, 3, 4, 6),
    "convnext_tiny": (1, 2, 4, 6),
    "vit_b_16": "vit",
}
"""Where each network of torchvision is cut: as its family is, or in front of these layers of its `features`."""

NETWORKS = {
    "efficientnet_lite0": "lite0",
    **dict.fromkeys(CUTS, "torchvision"),
    "minilm": "encoders",
    "small_cnn": "small_cnn",
}
"""The module that builds each registered network."""
