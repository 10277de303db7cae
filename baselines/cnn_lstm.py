"""CNN-LSTM (Islam, Islam, Asraf, Informatics in Medicine Unlocked 20, 2020): the plain CNN, read by an LSTM.

Published: the twelve convolutions and five poolings of the plain CNN; the 7×7×512 map as 49 steps of 512 features, row by
row; an LSTM of 512 units that returns the whole sequence; a fully connected layer of 64; softmax. Recipe as for the CNN.
Deviates: the public code gives the LSTM a ReLU where tanh is usual; tanh is used here (ReLU lets the cell state grow without bound). Batch
normalisation after the LSTM follows the code. The published 99.4 % "accuracy" is a mean of one-vs-rest accuracies; its
top-1 is 907/915. Training and leaks: see the plain CNN.
"""

from __future__ import annotations

from torch import Tensor, nn

from baselines.cnn import ISLAM_RECIPE, TEST, head, trunk
from baselines.layers import GreyInput
from baselines.published import percent
from baselines.registry import Baseline, register_baseline

UNITS = 512


class CNNLSTM(nn.Module):
    """Float (N, 1, H, W) in [0, 1] → logits (N, classes)."""

    def __init__(self, classes: int, in_channels: int, image_size: int) -> None:
        super().__init__()
        steps = (image_size // 32) ** 2
        self.input = GreyInput(in_channels)
        self.trunk = trunk(in_channels)
        self.lstm = nn.LSTM(512, UNITS, batch_first=True)
        self.norm = nn.BatchNorm1d(UNITS)
        self.head = head(steps * UNITS, classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.trunk(self.input(images))  # (N, 512, h, w)
        sequence, _ = self.lstm(maps.flatten(2).transpose(1, 2))  # (N, h·w, 512), positions row by row
        return self.head(self.norm(sequence.transpose(1, 2)).flatten(1))


register_baseline(
    Baseline(
        name="cnn_lstm",
        title="CNN-LSTM",
        construct=CNNLSTM,
        recipe=ISLAM_RECIPE,
        paper_size=224,
        published={
            "accuracy": percent(99.13, 907, 915, TEST, "top-1, rebuilt from the printed table"),
            "mean_one_vs_rest_accuracy": percent(99.4, None, 915, TEST, "the paper's headline"),
            "accuracy[covid]": percent(99.2, None, 915, TEST, "one-vs-rest"),
            "sensitivity[covid]": percent(99.3, 303, 305, TEST),
            "specificity[covid]": percent(99.2, 605, 610, TEST),
        },
        note="tanh LSTM over the map's positions, row by row",
    )
)
