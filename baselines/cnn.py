"""The plain CNN that CNN-LSTM is compared with (Islam, Islam, Asraf, Informatics in Medicine Unlocked 20, 2020).

Published: twelve 3×3 convolutions (64, 64, 128, 128, 256, 256, 512 six times) in five blocks, each closed by a 2×2
maximum; 224×224×3; a fully connected layer of 64; softmax over three classes; RMSprop at 1e-4, at most 125 epochs.
From the public code: batch normalisation before each pooling, batch 16, rotation ±15°.
Deviates: the dropout of 25 % after each block that the paper tells of is commented out in the code, and is left out here.
The code freezes its convolutions at random weights, carries weights from fold to fold, and lets a scheduler override the
learning rate; here everything is trained, each fold starts afresh, and the learning rate is the paper's.
Leaks behind the published figures: 912 of the 1,525 COVID-19 images are augmented copies mixed in before the split.
"""

from __future__ import annotations

from torch import Tensor, nn

from baselines.layers import GreyInput, he_initialise
from baselines.published import percent
from baselines.recipe import Augmentation, Recipe
from baselines.registry import Baseline, register_baseline

BLOCKS = ((64, 2), (128, 2), (256, 2), (512, 3), (512, 3))  # width, convolutions
TEST = "305 images a class; copies of training images among them"
ISLAM_RECIPE = Recipe(
    name="paper",
    epochs=125,
    batch_size=16,
    optimiser="rmsprop",
    linear_inputs=0,
    learning_rate=1e-4,
    weight_decay=0.0,
    momentum=0.0,
    schedule="constant",
    warmup=0.0,
    class_balanced=False,
    gradient_clip=0.0,
    augmentation=Augmentation(rotation=15, translation=0, zoom=0, flip=0, brightness=0, contrast=0),
)


def trunk(in_channels: int) -> nn.Sequential:
    """The twelve convolutions and five poolings: (N, in_channels, H, W) → (N, 512, H // 32, W // 32)."""
    layers = nn.Sequential()
    channels = in_channels
    for number, (width, convolutions) in enumerate(BLOCKS, start=1):
        for index in range(1, convolutions + 1):
            layers.add_module(f"conv{number}_{index}", nn.Conv2d(channels, width, 3, padding=1))
            layers.add_module(f"relu{number}_{index}", nn.ReLU())
            channels = width
        layers.add_module(f"norm{number}", nn.BatchNorm2d(width))
        layers.add_module(f"pool{number}", nn.MaxPool2d(2))
    he_initialise(layers)
    return layers


def head(features: int, classes: int) -> nn.Sequential:
    """Fully connected layer of 64 and the logits: (N, features) → (N, classes)."""
    return nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.BatchNorm1d(64), nn.Linear(64, classes))


class PlainCNN(nn.Module):
    """Float (N, 1, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, classes: int, in_channels: int, image_size: int) -> None:
        super().__init__()
        self.input = GreyInput(in_channels)
        self.trunk = trunk(in_channels)
        self.head = head(512 * (image_size // 32) ** 2, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.trunk(self.input(images)).flatten(1))


register_baseline(
    Baseline(
        name="cnn",
        title="CNN (of CNN-LSTM)",
        construct=PlainCNN,
        recipe=ISLAM_RECIPE,
        paper_size=224,
        published={
            "accuracy": percent(98.47, 901, 915, TEST, "top-1, rebuilt from the printed table"),
            "accuracy[covid]": percent(98.5, None, 915, TEST, "one-vs-rest"),
            "sensitivity[covid]": percent(99.0, 302, 305, TEST),
        },
        note="twelve convolutions, batch normalisation as in the public code",
    )
)
