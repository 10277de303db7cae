"""VGG-19 as in the comparison table of the COVID-Net paper (Wang, Lin, Wong, Sci Rep 10:19549, 2020).

Published: ImageNet VGG-19, 480×480, three classes, 20.37 M parameters, 89.63 G multiply–accumulates, accuracy 83.0 %.
Reconstructed: the head. 20.370 M is exactly the convolutions (20.024 M) plus one linear layer from the flattened
15·15·512 map to three classes, so that is the head built here.
Deviates: no augmentation or sampler is printed for this row; it is trained as COVID-Net was. The multiply–accumulates of
convolutions and head come to 89.58 G, 0.05 G below the printed figure, unexplained.
"""

from __future__ import annotations

from torch import nn

from baselines.covidnet_recipe import COVIDNET_RECIPE
from baselines.imagenet import from_torchvision
from baselines.layers import GreyClassifier, conv_to, he_initialise
from baselines.published import percent, size
from baselines.registry import Baseline, register_baseline
from baselines.torchvision_import import torchvision_models

TEST = "COVIDx3 test, 100 images a class"


def build(classes: int, in_channels: int, image_size: int) -> nn.Module:
    """VGG-19's convolutions, flattened, one linear layer: float (N, 1, H, W) in [0, 1] → logits (N, classes)."""
    vgg = torchvision_models().vgg
    features = vgg.make_layers(vgg.cfgs["E"])  # the whole VGG-19 would build 120 M parameters of a head that is not used
    features[0] = conv_to(in_channels, features[0])
    he_initialise(features)
    side = image_size // 32
    net = nn.Sequential()
    net.add_module("features", features)
    net.add_module("flatten", nn.Flatten())
    net.add_module("classifier", nn.Linear(512 * side * side, classes))
    return GreyClassifier(net, in_channels)


register_baseline(
    Baseline(
        name="vgg19",
        title="VGG-19",
        construct=build,
        recipe=COVIDNET_RECIPE,
        paper_size=480,
        published={
            **size(20.37, 89.63),
            "accuracy": percent(83.0, 249, 300, TEST),
            "sensitivity[covid]": percent(58.7, None, 100, TEST, "58.7 % is no k/100; 61/100 fits the accuracy and the PPV"),
            "ppv[covid]": percent(98.4, None, None, TEST, "98.4 % is 61/62"),
        },
        note="ImageNet convolutions, flattened map, one linear layer",
        weights=from_torchvision("VGG19_Weights", fresh=("classifier",)),
        reconstruction=True,
    )
)
