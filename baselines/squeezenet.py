"""SqueezeNet 1.0, the network under two of the baselines (COVIDiagnosis-Net and SGDM-SqueezeNet).

Deviates: the published network passes its class scores through a ReLU. Without pretrained weights that often ends with
every score clipped to zero and no gradient left, and it forbids the negative scores that a log-loss needs; it is left out.
"""

from __future__ import annotations

from torch import nn

from baselines.imagenet import from_torchvision
from baselines.layers import GreyClassifier, conv_to
from baselines.torchvision_import import torchvision_models

load_weights = from_torchvision("SqueezeNet1_0_Weights", fresh=("classifier.1",))


def build(classes: int, in_channels: int, image_size: int) -> nn.Module:
    """Fire modules and a convolution to the class maps, averaged: float (N, 1, H, W) in [0, 1] → logits (N, classes)."""
    del image_size  # the class maps are averaged: any size will do
    net = torchvision_models().squeezenet1_0(weights=None, num_classes=classes)
    net.features[0] = conv_to(in_channels, net.features[0])
    _, class_maps, _, _ = net.classifier
    net.classifier = nn.Sequential(nn.Dropout(0.5), class_maps, nn.AdaptiveAvgPool2d(1))
    return GreyClassifier(net, in_channels)
