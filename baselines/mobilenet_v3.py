"""MobileNetV3 (as used by COV-MobNets, BMC Medical Imaging, 2023).

Published: ImageNet MobileNetV3 on COVIDx CXR-3, 97.0 % of 400 images; with a MobileViT beside it 97.75 %.
Reconstructed: the large variant at 224×224 (4.2 M parameters with two classes fits "4 to 5 M"); the recipe below is a plain
fine-tuning of ours, since none was at hand.
"""

from __future__ import annotations

from torch import nn

from baselines.imagenet import from_torchvision
from baselines.layers import GreyClassifier, conv_to
from baselines.published import percent
from baselines.recipe import COVIDNET_AUGMENTATION, Recipe
from baselines.registry import Baseline, register_baseline
from baselines.torchvision_import import torchvision_models

TEST = "COVIDx CXR-3 test, 200 images a class; every positive from one source, every negative from another"


def build(classes: int, in_channels: int, image_size: int) -> nn.Module:
    """MobileNetV3-Large: float (N, 1, H, W) in [0, 1] → logits (N, classes)."""
    del image_size  # the map is pooled: any size will do
    net = torchvision_models().mobilenet_v3_large(weights=None, num_classes=classes)
    net.features[0][0] = conv_to(in_channels, net.features[0][0])
    return GreyClassifier(net, in_channels)


register_baseline(
    Baseline(
        name="mobilenet_v3",
        title="MobileNetV3-Large",
        construct=build,
        recipe=Recipe(
            name="paper",
            epochs=50,
            batch_size=32,
            optimiser="adam",
            linear_inputs=0,
            learning_rate=1e-4,
            weight_decay=0.0,
            warmup=0.0,
            early_stopping=10,
            augmentation=COVIDNET_AUGMENTATION,
        ),
        paper_size=224,
        paper_classes=2,
        published={"accuracy": percent(97.0, None, 400, TEST)},
        note="large variant, recipe ours",
        weights=from_torchvision("MobileNet_V3_Large_Weights", fresh=("classifier.3",)),
        reconstruction=True,
    )
)
