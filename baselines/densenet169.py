"""DenseNet-169 with Breve's recipe (Breve, Expert Systems with Applications, 2022; public code ``fbreve/covid-cnn``).

Published: Keras ImageNet DenseNet-169, global average, dense layer of 256, dropout 0.2, softmax over two classes; Adam,
1e-5 in the trunk and 1e-3 in the head; batch 16, at most 50 epochs, stopping after 10 without progress; class weights by inverse
frequency (0.5782 and 3.696); no augmentation, no crop; 20 % validation; 98.15 % on COVIDx8B (mean of 5), 99.25 % for an
ensemble of five.
Deviates: torchvision's trunk and weights in place of Keras'; 224×224, the trunk's own size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from baselines.imagenet import from_torchvision
from baselines.layers import GreyClassifier, conv_to
from baselines.published import percent
from baselines.recipe import Augmentation, Recipe
from baselines.registry import Baseline, register_baseline
from baselines.torchvision_import import torchvision_models

TEST = "COVIDx8B test, 200 images a class; every positive from one source, every negative from another"
NO_AUGMENTATION = Augmentation(rotation=0, translation=0, zoom=0, flip=0, brightness=0, contrast=0)


def build(classes: int, in_channels: int, image_size: int) -> nn.Module:
    """DenseNet-169, global average, 256, logits: float (N, 1, H, W) in [0, 1] → logits (N, classes)."""
    del image_size  # the map is pooled: any size will do
    net = torchvision_models().densenet169(weights=None, num_classes=2)
    net.features.conv0 = conv_to(in_channels, net.features.conv0)
    net.classifier = nn.Sequential(nn.Linear(1664, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, classes))
    return GreyClassifier(net, in_channels)


def modern_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published file writes ``denselayer1.norm.1.weight`` for what is called ``denselayer1.norm1.weight`` now."""
    return {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", key): value for key, value in state.items()}


register_baseline(
    Baseline(
        name="densenet169",
        title="DenseNet-169 (Breve)",
        construct=build,
        recipe=Recipe(
            name="paper",
            epochs=50,
            batch_size=16,
            optimiser="adam",
            linear_inputs=0,
            learning_rate=1e-5,
            weight_decay=0.0,
            schedule="constant",
            warmup=0.0,
            class_balanced=False,
            inverse_frequency=True,
            gradient_clip=0.0,
            early_stopping=10,
            head_rate=100.0,
            head_layers=2,
            augmentation=NO_AUGMENTATION,
        ),
        paper_size=224,
        paper_classes=2,
        published={
            "accuracy": percent(98.15, None, 400, TEST, "mean of five trainings"),
            "f1": percent(98.12, None, 400, TEST, "mean of five trainings"),
        },
        note="global average, 256, dropout 0.2",
        weights=from_torchvision("DenseNet169_Weights", fresh=("classifier",), rename=modern_names),
    )
)
