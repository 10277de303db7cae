"""The backbones that DeTraC was published with, by name, each behind a grey input and with ImageNet weights where loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from baselines import squeezenet
from baselines.imagenet import Weights, from_torchvision
from baselines.layers import GreyClassifier, conv_to, he_initialise
from baselines.torchvision_import import torchvision_models
from search_spaces.errors import InputError


@dataclass(frozen=True)
class Backbone:
    """How to build one, (classes, in_channels) → network; its ImageNet weights; the smallest image side it takes."""

    build: Callable[[int, int], nn.Module]
    weights: Weights
    minimum_size: int


def resnet(name: str) -> Callable[[int, int], nn.Module]:
    """ResNet-18 or -50 with a global average."""

    def build(classes: int, in_channels: int) -> nn.Module:
        net = getattr(torchvision_models(), name)(weights=None, num_classes=classes)
        net.conv1 = conv_to(in_channels, net.conv1)
        return GreyClassifier(net, in_channels)

    return build


def fully_connected(name: str) -> Callable[[int, int], nn.Module]:
    """AlexNet or VGG with the two layers of 4096 that the features are read behind."""

    def build(classes: int, in_channels: int) -> nn.Module:
        net = getattr(torchvision_models(), name)(weights=None, num_classes=classes)
        net.features[0] = conv_to(in_channels, net.features[0])
        return GreyClassifier(net, in_channels)

    return build


def googlenet(classes: int, in_channels: int) -> nn.Module:
    """GoogLeNet without its two auxiliary classifiers."""
    net = torchvision_models().googlenet(weights=None, num_classes=classes, aux_logits=False, init_weights=False)
    net.conv1.conv = conv_to(in_channels, net.conv1.conv)
    he_initialise(net)  # the library's own start, truncated normals, is slow
    return GreyClassifier(net, in_channels)


def squeeze(classes: int, in_channels: int) -> nn.Module:
    """SqueezeNet 1.0."""
    return squeezenet.build(classes, in_channels, 0)


HALF = (0.5, 0.5, 0.5)  # GoogLeNet's weights come from TensorFlow, which scales to −1..1
BACKBONES = {
    "resnet18": Backbone(resnet("resnet18"), from_torchvision("ResNet18_Weights", fresh=("fc",)), 32),
    "resnet50": Backbone(resnet("resnet50"), from_torchvision("ResNet50_Weights", fresh=("fc",)), 32),
    "alexnet": Backbone(fully_connected("alexnet"), from_torchvision("AlexNet_Weights", fresh=("classifier.6",)), 63),
    "vgg16": Backbone(fully_connected("vgg16"), from_torchvision("VGG16_Weights", fresh=("classifier.6",)), 32),
    "vgg19": Backbone(fully_connected("vgg19"), from_torchvision("VGG19_Weights", fresh=("classifier.6",)), 32),
    "googlenet": Backbone(googlenet, from_torchvision("GoogLeNet_Weights", fresh=("fc",), mean=HALF, std=HALF), 32),
    "squeezenet": Backbone(squeeze, squeezenet.load_weights, 32),
}


def get_backbone(name: str) -> Backbone:
    """The backbone called ``name``; an unknown name raises ``InputError``."""
    if name not in BACKBONES:
        raise InputError(f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}")
    return BACKBONES[name]
