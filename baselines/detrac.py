"""DeTraC: decompose, transfer, compose (Abbas, Abdelsamea, Gaber, arXiv 2003.13815 and Applied Intelligence, 2020).

Published: a network is fine-tuned on the classes; its last features, reduced to the principal components that explain 95 %
of the variance, are split by k-means (k = 2) within each class; a network is fine-tuned on the sub-classes; the predicted
class is the predicted sub-class divided by k. SGD, momentum 0.9 then 0.95, 1e-4 (×0.9 every 3 epochs, then ×0.95 every 5), L2 1e-3
then 1e-4, batch 64, 100 epochs each; the new last layer learns ten times faster; shallow / deep / fine tuning = last layer,
all layers, last layers; backbones AlexNet, VGG-16/19, GoogLeNet, ResNet-18/50, SqueezeNet. ResNet-18 gave the headline of
the first preprint and is the default.
Deviates: decomposition is fitted on training images only, and images are augmented after the split; the authors' scripts do
both on the whole set before it, which leaks. ``order=published`` brings that back as far as a fold allows (training and
validation images together) and is marked as leaking. With one and the same backbone the second phase starts from the trunk of the
first, so that the method also works where there are no ImageNet weights; the ports start again from ImageNet. Given few
epochs (the shared recipe) both phases share them. Flips up/down are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from baselines.backbones import get_backbone
from baselines.decomposition import Composed, decompose
from baselines.layers import last_layer, penultimate_features, seeded
from baselines.published import percent
from baselines.recipe import Augmentation, FitData, Initialise, Recipe, TrainFunction, leave_as_built
from baselines.registry import Baseline, register_baseline
from search_spaces.errors import InputError

TEST = "196 images (80 normal, 105 COVID-19, 11 SARS) augmented to 1,764 before the split"
LEAK = "decomposition is fitted before the split, so validation images shape the training labels"
PAPER = Recipe(
    name="paper",
    epochs=200,  # 100 on the classes, 100 on the sub-classes
    batch_size=64,
    optimiser="sgd",
    learning_rate=1e-4,
    weight_decay=1e-3,
    momentum=0.9,
    schedule="step",
    warmup=0.0,
    step_factor=0.9,
    step_epochs=3,
    class_balanced=False,
    gradient_clip=0.0,
    head_rate=10.0,
    augmentation=Augmentation(rotation=15, translation=0.1, zoom=0, flip=0.5, brightness=0, contrast=0),
)


@dataclass(frozen=True)
class DeTraC:
    """The method with its options; ``build`` and ``fit`` are what the registry takes.

    Attributes:
        backbone: see ``backbones``. k, depth: clusters of each split, and how often clusters are split again.
        features: ``"pca"`` (as the paper tells) or ``"raw"`` (as the public script does).
        tuning: ``"deep"`` (all layers), ``"shallow"`` (the last), or a number: that many last layers.
        order: ``"fold"``, or ``"published"``, which leaks.
    """

    backbone: str = "resnet18"
    k: int = 2
    depth: int = 1
    features: str = "pca"
    tuning: str = "deep"
    order: str = "fold"

    @property
    def per_class(self) -> int:
        """Sub-classes of a class."""
        return self.k**self.depth

    def build(self, classes: int, in_channels: int, image_size: int) -> nn.Module:
        """The network over sub-classes, composed: float (N, 1, H, W) in [0, 1] → logits (N, classes) in evaluation mode."""
        del image_size  # every backbone pools its map
        net = get_backbone(self.backbone).build(classes * self.per_class, in_channels)
        return Composed(net, classes, self.per_class)

    def load_weights(self, model: nn.Module, folder: Path | None) -> str:
        """Load ImageNet weights into the backbone, bare or composed."""
        return get_backbone(self.backbone).weights(model.net if isinstance(model, Composed) else model, folder)

    def fit(
        self,
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
        """Train on the classes, split them by what that network sees, train on the sub-classes."""
        first, second = (self.tuned(phase) for phase in phases(recipe))
        coarse = seeded(seed, lambda: get_backbone(self.backbone).build(classes, in_channels))
        initialise(coarse)
        train(coarse, first)
        sub_labels = self.sub_classes(coarse, data, classes, seed)
        fine = seeded(seed + 1, lambda: self.build(classes, in_channels, image_size))
        assert isinstance(fine, Composed)
        carry_trunk(coarse, fine.net)
        fine.used.copy_(torch.isin(torch.arange(classes * self.per_class), sub_labels))
        train(fine, second, labels=sub_labels, n_classes=classes * self.per_class)
        return fine

    def tuned(self, recipe: Recipe) -> Recipe:
        """The recipe with the layers that the tuning mode trains."""
        if self.tuning == "deep":
            return recipe
        layers = 1 if self.tuning == "shallow" else int(self.tuning)
        return recipe.model_copy(update={"trainable": "last", "trainable_layers": layers})

    def sub_classes(self, model: nn.Module, data: FitData, classes: int, seed: int) -> Tensor:
        """Sub-class of every training image, int64 (N,)."""
        images, labels = data.images, data.labels
        if self.order == "published":
            images, labels = torch.cat((images, data.validation_images)), torch.cat((labels, data.validation_labels))
        found = decompose(
            features_of(model, images),
            labels.cpu().numpy().astype(np.int64),
            classes,
            k=self.k,
            depth=self.depth,
            reduce=self.features == "pca",
            seed=seed,
        )
        return torch.from_numpy(found[: len(data.labels)])


def phases(recipe: Recipe) -> tuple[Recipe, Recipe]:
    """The recipes of the two phases; they share the epochs, at least one each. The paper's second phase has its own values."""
    first = max(recipe.epochs // 2, 1)
    changes: dict[str, object] = {"epochs": max(recipe.epochs - first, 1)}
    if recipe.name == PAPER.name:
        changes |= {"momentum": 0.95, "weight_decay": 1e-4, "step_factor": 0.95, "step_epochs": 5}
    return recipe.model_copy(update={"epochs": first}), recipe.model_copy(update=changes)


def features_of(model: nn.Module, images: Tensor, batch: int = 64) -> np.ndarray:
    """What the last layer reads for every image, float64 (N, f), in evaluation mode."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    rows = [penultimate_features(model, part.to(device).float() / 255).cpu() for part in images.split(batch)]
    model.train(was_training)
    return torch.cat(rows).double().numpy()


def carry_trunk(source: nn.Module, target: nn.Module) -> None:
    """Copy every tensor from one network to another of the same backbone, but the last layer, whose width differs."""
    skip = {id(tensor) for tensor in last_layer(source).state_dict(keep_vars=True).values()}
    carried = {key: tensor for key, tensor in source.state_dict(keep_vars=True).items() if id(tensor) not in skip}
    target.load_state_dict({key: tensor.detach().cpu() for key, tensor in carried.items()}, strict=False)


def configure(options: Mapping[str, str]) -> Baseline:
    """The variant that the options ask for, for example ``{"backbone": "vgg19", "depth": "2"}``.

    Raises:
        InputError: an unknown option or value.
    """
    known = {"backbone", "k", "depth", "features", "tuning", "order"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise InputError(f"detrac has no option {unknown[0]!r}; known: {', '.join(sorted(known))}")
    method = DeTraC(
        backbone=options.get("backbone", "resnet18"),
        k=number("k", options.get("k", "2"), 2),
        depth=number("depth", options.get("depth", "1"), 1),
        features=one_of("features", options.get("features", "pca"), ("pca", "raw")),
        tuning=tuning(options.get("tuning", "deep")),
        order=one_of("order", options.get("order", "fold"), ("fold", "published")),
    )
    spelled = "+".join(f"{key}={value}" for key, value in sorted(options.items()))
    return entry(method, f"detrac:{spelled}")


def number(name: str, text: str, least: int) -> int:
    """A whole number of at least ``least``."""
    if not text.isdecimal() or int(text) < least:
        raise InputError(f"detrac's {name} must be a whole number of at least {least}, but got {text!r}")
    return int(text)


def one_of(name: str, text: str, choices: tuple[str, ...]) -> str:
    """One of the choices."""
    if text not in choices:
        raise InputError(f"detrac's {name} must be one of {', '.join(choices)}, but got {text!r}")
    return text


def tuning(text: str) -> str:
    """``deep``, ``shallow``, or how many last layers."""
    return text if text in ("deep", "shallow") else str(number("tuning (deep, shallow or a number of layers)", text, 1))


def entry(method: DeTraC, name: str) -> Baseline:
    """The registry's entry of a variant."""
    backbone = get_backbone(method.backbone)
    plain = Baseline(
        name=name,
        title=f"DeTraC ({method.backbone})",
        construct=method.build,
        recipe=PAPER,
        paper_size=224,
        minimum_size=backbone.minimum_size,
        note=f"k = {method.k}, depth {method.depth}, {method.tuning} tuning",
        weights=method.load_weights,
        fit=method.fit,
        fit_is_method=True,
        configure=configure,
        leaks=LEAK if method.order == "published" else "",
    )
    return replace(plain, published=PUBLISHED) if method.backbone == "resnet18" else plain


PUBLISHED = {
    "accuracy": percent(95.12, None, None, TEST, "first preprint, ResNet-18"),
    "sensitivity": percent(97.91, None, None, TEST, "mean over classes, one-vs-rest"),
    "specificity": percent(91.87, None, None, TEST, "mean over classes, one-vs-rest"),
    "accuracy[plain ResNet]": percent(92.5, None, None, TEST),
    "sensitivity[plain ResNet]": percent(65.01, None, None, TEST),
    "specificity[plain ResNet]": percent(94.3, None, None, TEST),
}
register_baseline(entry(DeTraC(), "detrac"))
