"""ResNet-50 as in the comparison table of the COVID-Net paper (Wang, Lin, Wong, Sci Rep 10:19549, 2020).

Published: ImageNet ResNet-50, 480×480, three classes, 24.97 M parameters, 17.75 G multiply–accumulates, accuracy 90.6 %.
Reconstructed: the head, a linear layer from the flattened 15·15·2048 map to three classes, which the printed size fits.
Deviates: the published network is Keras' version 1 (stride in the first 1×1 convolution, biased convolutions, moving
statistics counted: 24.970 M, 17.71 G). Built here is torchvision's version 1.5 (stride in the 3×3 convolution, trainable
parameters only): 24.890 M. No augmentation or sampler is printed for this row; it is trained as COVID-Net was.
"""

from __future__ import annotations

from torch import nn

from baselines.covidnet_recipe import COVIDNET_RECIPE
from baselines.imagenet import from_torchvision
from baselines.layers import GreyClassifier, conv_to
from baselines.published import percent, size
from baselines.registry import Baseline, register_baseline
from baselines.torchvision_import import torchvision_models

TEST = "COVIDx3 test, 100 images a class"


def build(classes: int, in_channels: int, image_size: int) -> nn.Module:
    """ResNet-50 v1.5, flattened map, one linear layer: float (N, 1, H, W) in [0, 1] → logits (N, classes)."""
    net = torchvision_models().resnet50(weights=None, num_classes=2)
    net.conv1 = conv_to(in_channels, net.conv1)
    net.avgpool = nn.Identity()
    side = -(-image_size // 32)  # after five padded layers of stride 2, each of which rounds up
    net.fc = nn.Linear(2048 * side**2, classes)
    return GreyClassifier(net, in_channels)


register_baseline(
    Baseline(
        name="resnet50",
        title="ResNet-50",
        construct=build,
        recipe=COVIDNET_RECIPE,
        paper_size=480,
        published={
            **size(24.97, 17.75, "Keras version 1: biased convolutions, moving statistics counted"),
            "accuracy": percent(90.6, None, 300, TEST),
            "sensitivity[covid]": percent(83.0, 83, 100, TEST),
            "ppv[covid]": percent(98.8, 83, 84, TEST),
        },
        note="torchvision v1.5 trunk, flattened map, one linear layer",
        weights=from_torchvision("ResNet50_Weights", fresh=("fc",)),
        reconstruction=True,
    )
)
