"""Where pretrained networks and their weights come from, and where each is cut into stages.

Knows nothing of heads, data sets or training. A network is built by `build(name, pretrained)` of one module
here; to add one, give it a line in `NETWORKS`, and, if it is torchvision's, its cut in `torchvision.CUTS`.
"""

NETWORKS = {
    "efficientnet_lite0": "lite0",
    "resnet18": "torchvision",
    "resnet34": "torchvision",
    "resnet50": "torchvision",
    "vgg11_bn": "torchvision",
    "vgg16": "torchvision",
    "mobilenet_v2": "torchvision",
    "mobilenet_v3_small": "torchvision",
    "efficientnet_b0": "torchvision",
    "convnext_tiny": "torchvision",
    "vit_b_16": "torchvision",
    "minilm": "encoders",
    "small_cnn": "small_cnn",
}
"""The module that builds each registered network."""
