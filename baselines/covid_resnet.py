"""COVID-ResNet (Farooq and Hafeez, arXiv 2003.14395, 2020).

Published: ResNet-50 pretrained on ImageNet; progressive resizing 128 → 224 → 229; learning-rate finder, cyclical and
discriminative rates; 41 epochs in all; four classes (normal, bacterial, viral, COVID-19); 613 of 637 test images right,
COVID-19 8 of 8.
Reconstructed: the head is fastai's (average and maximum pooled, 512, two dropouts), and the epochs are split as 3 with the
trunk frozen and 5 with all layers at 128, the same at 224, 25 at 229, which sums to 41. Base rate and the factors of the
discriminative rates are ours.
Deviates: the learning-rate finder is replaced by a fixed base rate, so that every fold trains alike. At another image size
the three sizes keep their ratio to the last one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.imagenet import from_torchvision
from baselines.layers import GreyClassifier, conv_to, seeded
from baselines.published import percent
from baselines.recipe import Augmentation, FitData, Initialise, Recipe, TrainFunction, leave_as_built
from baselines.registry import Baseline, register_baseline
from baselines.torchvision_import import torchvision_models

TEST = "COVIDx version 1, four classes, 637 images, 8 of them COVID-19"
SIZES = (128, 224, 229)
STAGES = ((128, "last", 3), (128, "all", 5), (224, "last", 3), (224, "all", 5), (229, "all", 25))  # pixels, trains, epochs
HEAD_LAYERS = 2  # the two linear layers; the trunk is frozen in the stages that train "last"
SMALLEST = 32


class AverageAndMaximum(nn.Module):
    """(N, C, H, W) → (N, 2C, 1, 1): the average and the maximum over positions, side by side."""

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat((maps.mean(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)), dim=1)


def build(classes: int, in_channels: int, image_size: int) -> nn.Module:
    """ResNet-50 with fastai's head: float (N, 1, H, W) in [0, 1] → logits (N, classes)."""
    del image_size  # the map is pooled: any size will do
    net = torchvision_models().resnet50(weights=None, num_classes=2)
    net.conv1 = conv_to(in_channels, net.conv1)
    net.avgpool = AverageAndMaximum()
    net.fc = nn.Sequential(
        nn.BatchNorm1d(4096), nn.Dropout(0.25), nn.Linear(4096, 512), nn.ReLU(),
        nn.BatchNorm1d(512), nn.Dropout(0.5), nn.Linear(512, classes),
    )  # fmt: skip
    return GreyClassifier(net, in_channels)


def stages(image_size: int, epochs: int) -> list[tuple[int, str, int]]:
    """Pixels, what trains, and epochs of each stage; ``epochs`` is the sum. Stages that get no epoch are left out.

    The published shares are rounded so that the running sum is right, from the last stage backwards: one epoch in all
    goes to the full size.
    """
    total = sum(share for *_, share in STAGES)
    plan: list[tuple[int, str, int]] = []
    share_left, epochs_left = total, epochs
    for pixels, trains, share in reversed(STAGES):
        share_left -= share
        here = epochs_left - share_left * epochs // total
        epochs_left -= here
        if here:
            plan.append((max(round(image_size * pixels / SIZES[-1]), min(SMALLEST, image_size)), trains, here))
    return plan[::-1]


def fit(
    train: TrainFunction,
    data: FitData,
    *,
    classes: int,
    image_size: int,
    recipe: Recipe,
    seed: int,
    in_channels: int = 3,
    initialise: Initialise = leave_as_built,
) -> nn.Module:
    """Train one network through the stages of growing images."""
    del data  # the training function knows the fold
    model = seeded(seed, lambda: build(classes, in_channels, image_size))
    initialise(model)
    for pixels, trains, epochs in stages(image_size, recipe.epochs):
        changes = {"epochs": epochs, "trainable": trains, "trainable_layers": HEAD_LAYERS}
        train(model, recipe.model_copy(update=changes), image_size=pixels)
    return model


register_baseline(
    Baseline(
        name="covid_resnet",
        title="COVID-ResNet",
        construct=build,
        recipe=Recipe(
            name="paper",
            epochs=41,
            batch_size=32,
            optimiser="adamw",
            linear_inputs=0,
            learning_rate=1e-3,
            weight_decay=0.01,
            schedule="one_cycle",
            class_balanced=False,
            layer_rates=(0.01, 0.1, 1.0),
            augmentation=Augmentation(rotation=10, translation=0, zoom=0.1, flip=0.5, brightness=0.1, contrast=0.1),
        ),
        paper_size=229,
        paper_classes=4,
        published={
            "accuracy": percent(96.23, 613, 637, TEST),
            "accuracy[covid]": percent(100.0, 8, 8, TEST, "sensitivity of the class, called accuracy in the survey"),
        },
        note="ResNet-50, fastai head, progressive resizing 128 → 224 → 229",
        weights=from_torchvision("ResNet50_Weights", fresh=("fc",)),
        fit=fit,
        reconstruction=True,
    )
)
