"""COVID-Next (public code ``velebit-ai/COVID-Next-Pytorch``, 2020).

Published: ResNeXt-50 32×4d trunk pretrained on ImageNet; then convolution, batch normalisation, leaky ReLU (0.1) three
times, 2048 → 512 (3×3), 512 → 1024 (1×1), 1024 → 512 (3×3); global average; one linear layer. 256×256; an Adam-type
optimiser at 1e-4, weight decay 1e-3, ×0.7 after 5 epochs without progress, batch 64, class weights 0.05, 0.05, 1 (COVID-19);
94.76 % on the COVIDx2 test.
Deviates: the class weights stand for a data set with one COVID-19 image in a hundred; here they follow the training images
(inverse frequency). The number of epochs is not stated; 50 with early stopping.
"""

from __future__ import annotations

from torch import nn

from baselines.imagenet import from_torchvision
from baselines.layers import GreyClassifier, conv_to
from baselines.published import percent
from baselines.recipe import COVIDNET_AUGMENTATION, Recipe
from baselines.registry import Baseline, register_baseline
from baselines.torchvision_import import torchvision_models

TEST = "COVIDx2 test, 231 images, 31 of them COVID-19"


def step(channels: int, width: int, kernel: int) -> list[nn.Module]:
    """Convolution, batch normalisation, leaky ReLU."""
    conv = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(width), nn.LeakyReLU(0.1)]


def build(classes: int, in_channels: int, image_size: int) -> nn.Module:
    """ResNeXt-50 32×4d and three more convolutions: float (N, 1, H, W) in [0, 1] → logits (N, classes)."""
    del image_size  # the map is pooled: any size will do
    net = torchvision_models().resnext50_32x4d(weights=None, num_classes=2)
    net.conv1 = conv_to(in_channels, net.conv1)
    net.avgpool = nn.Sequential(*step(2048, 512, 3), *step(512, 1024, 1), *step(1024, 512, 3), nn.AdaptiveAvgPool2d(1))
    net.fc = nn.Linear(512, classes)
    return GreyClassifier(net, in_channels)


register_baseline(
    Baseline(
        name="covid_next",
        title="COVID-Next",
        construct=build,
        recipe=Recipe(
            name="paper",
            epochs=50,
            batch_size=64,
            optimiser="adam",
            linear_inputs=0,
            learning_rate=1e-4,
            weight_decay=1e-3,
            schedule="plateau",
            warmup=0.0,
            step_factor=0.7,
            step_epochs=5,
            class_balanced=False,
            inverse_frequency=True,
            gradient_clip=0.0,
            early_stopping=10,
            augmentation=COVIDNET_AUGMENTATION,
        ),
        paper_size=256,
        published={
            "accuracy": percent(94.76, None, 231, TEST),
            "f1": percent(92.98, None, 231, TEST, "mean over classes"),
        },
        note="ResNeXt-50 32×4d trunk",
        weights=from_torchvision("ResNeXt50_32X4D_Weights", fresh=("avgpool", "fc")),
    )
)
