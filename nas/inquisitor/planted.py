"""Models whose cheating is known: phantom data with a planted cue of stated strength, small networks, and the truth about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from baselines.recipe import Augmentation, Recipe
from nas.data.dataset import Dataset
from nas.data.phantom import phantom
from nas.evaluation import DeviceData, predict_logits, train
from nas.inquisitor.engine import margins
from nas.statistics import auc

CLASSES = ("normal", "pneumonia")
IMAGE_SIZE = 48
CLARITY = 40.0  # grey levels added to a lesion of full severity: networks of seconds become competent
KINDS = ("marker", "marker2", "frame", "obstruction", "style", "size")
RECIPE = Recipe(
    name="self-test", epochs=8, batch_size=64, learning_rate=6e-3, linear_inputs=0,
    augmentation=Augmentation(rotation=0, translation=0.06, zoom=0, flip=0, brightness=0, contrast=0),
)  # fmt: skip


@dataclass(frozen=True)
class Plant:
    """One model of the self-test: which cue, how strongly tied to the class, which network, which repetition."""

    kind: str
    strength: float
    architecture: str
    seed: int

    @property
    def honest(self) -> bool:
        """The cue is there, but tells nothing."""
        return self.strength == 0

    @property
    def key(self) -> str:
        """A name for files."""
        return f"{self.kind}@{self.strength:g}/{self.architecture}/{self.seed}"


def images(plant_kind: str, strength: float, n: int, seed: int, cue: str = "planted") -> Dataset:
    """Phantom images with clear disease, and the cue at the given strength (0: half of all images, whatever the label)."""
    made = phantom(n, IMAGE_SIZE, seed, CLASSES, f"{plant_kind}@{strength:g}", cue=cue)  # type: ignore[arg-type]
    lesion = torch.from_numpy(made.truth_maps("lesion")).float()[:, None]
    severity = torch.from_numpy(made.metadata["severity"].astype(np.float32))[:, None, None, None]
    clear = torch.from_numpy(made.images).float() + CLARITY * severity * avg_pool2d(lesion, 3, 1, 1)
    return replace(made, images=clear.clamp(0, 255).to(torch.uint8).numpy())


class MeanAndPeak(nn.Module):
    """Global mean and maximum of each channel, (n, 2c) from (n, c, h, w): a small focus is not averaged away."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)


def _layer(inputs: int, outputs: int, stride: int = 1, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_layer(width, width), _layer(width, width))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


def _net(*layers: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(*layers, MeanAndPeak(), nn.Linear(2 * width, len(CLASSES)))


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: _net(_layer(1, 12, 2), _layer(12, 24, 2), _layer(24, 24), _layer(24, 48, 2), width=48),
    "wide": lambda: _net(_layer(1, 20, 2), _layer(20, 40, 2), _layer(40, 56, 2), width=56),
    "large": lambda: _net(_layer(1, 12, 2, kernel=7), _layer(12, 24, 2, kernel=5), _layer(24, 48, 2), width=48),
    "residual": lambda: _net(_layer(1, 12, 2), _layer(12, 24, 2), _Residual(24), _layer(24, 40, 2), width=40),
    "separable": lambda: _net(
        _layer(1, 16, 2), _layer(16, 16, 2, groups=16), _layer(16, 40, kernel=1), _layer(40, 40, groups=40),
        _layer(40, 48, kernel=1), _layer(48, 48, 2, groups=48), _layer(48, 64, kernel=1), width=64,
    ),
}  # fmt: skip


def raise_model(plant: Plant, *, n: int = 1500) -> nn.Module:
    """Train the plant's network on data with its cue; a few seconds."""
    data = DeviceData(images(plant.kind, plant.strength, n, _seed(plant, 1)))
    with torch.random.fork_rng([]):
        torch.manual_seed(_seed(plant, 2))
        model = ARCHITECTURES[plant.architecture]()
    train(model, data, np.arange(n), np.arange(0), RECIPE, seed=_seed(plant, 2))
    return model.eval()


def audit_images(plant: Plant, n: int) -> Dataset:
    """Fresh images with the cue as the model knew it: what an auditor would be given."""
    return images(plant.kind, plant.strength, n, _seed(plant, 3))


@dataclass(frozen=True)
class Truth:
    """What only the generator knows: AUC as the data come and with the cue freed from the class, and the cue's effect in σ."""

    auc: float
    auc_free: float
    effect: float

    @property
    def loss(self) -> float:
        """AUC lost on de-correlated data: 0.05 or more makes a cheat."""
        return self.auc - self.auc_free


def truth_about(model: nn.Module, plant: Plant, audited: Dataset) -> Truth:
    """Measured with images that show the same patients with and without the cue."""
    free, known = _reference(plant.kind)[0], _scores(model, audited)
    effect = _moved(model, plant.kind) / float(known.std())
    return Truth(auc(known, audited.labels == 1), auc(_scores(model, free), free.labels == 1), effect)


def reliance(model: nn.Module, kind: str) -> float:
    """What the cue does to the log-odds of its class, in units of their spread over images with the cue drawn freely."""
    return _moved(model, kind) / float(_scores(model, _reference(kind)[0]).std())


def _moved(model: nn.Module, kind: str) -> float:
    """Log-odds with the cue minus without, averaged over the same patients."""
    _, present, absent = _reference(kind)
    return float((_scores(model, present) - _scores(model, absent)).mean())


def _scores(model: nn.Module, data: Dataset) -> np.ndarray:
    """Log-odds of the last class, float64 (n,)."""
    return margins(predict_logits(model, data.images, "cpu"))[:, -1]


@cache
def _reference(kind: str) -> tuple[Dataset, Dataset, Dataset]:
    """Images with the cue drawn freely, always, never; the same for all models of a kind."""
    return images(kind, 0, 1200, 90_001), images(kind, 0, 300, 90_002, "always"), images(kind, 0, 300, 90_002, "never")


def _seed(plant: Plant, stream: int) -> int:
    cell = (KINDS.index(plant.kind) * 11 + round(plant.strength * 10)) * 7 + list(ARCHITECTURES).index(plant.architecture)
    return 1_000_000 * stream + 1000 * cell + plant.seed
