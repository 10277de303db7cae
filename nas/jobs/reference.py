"""What a model knew: operating points chosen on validation, and the range of the images it was trained and validated on.

Stored beside a candidate as ``reference.json`` and ``reference.safetensors`` and used by ``nas predict``. The out-of-distribution
check is deliberately plain. Seven figures of the pixels are held against their range among training images; the image's
layout (8×8 thumbnail) and its features (what enters the model's last linear layer) against their distance from training's
centre, as far as 99 % of validation images lie. It notices photographs, inverted or blank images and other body parts; what passes
it may still be foreign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from nas.files import read_json, write_bytes, write_json
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from nas.data.dataset import Dataset, Indices, Parts

FILE, TENSORS = "reference.json", "reference.safetensors"
PIXEL_FIGURES = ("brightness", "contrast", "dark share", "bright share", "corner brightness", "centre brightness", "gradient")
_COMPONENTS = 24
_QUANTILE = 0.99  # of validation images that lie inside; the rest would raise a notice
_SLACK = 0.25  # of a figure's range, beyond which an image is noticed
_MOST_IMAGES = 4_000
_CELLS = 8
Floats = NDArray[np.float64]


class OperatingPoint(BaseModel):
    """The threshold on one class's probability that maximises sensitivity + specificity on validation (Youden 1950)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float
    sensitivity: float
    specificity: float
    n: int


class ReferenceRecord(BaseModel):
    """``reference.json``. A distance limit is ``None`` where the model has no linear layer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    operating_points: dict[str, OperatingPoint]  # class → its point, one-vs-rest
    pixel_range: dict[str, tuple[float, float]]
    layout_limit: float
    feature_limit: float | None
    training_images: int
    validation_images: int


@dataclass(frozen=True, eq=False)
class Spread:
    """Where vectors lie: their mean (d,), leading directions (k, d), and deviations (k + 1,), the last of what these leave out."""

    mean: Floats
    components: Floats
    scales: Floats

    @classmethod
    def of(cls, vectors: Floats) -> Spread:
        """Of vectors (n, d), by principal components."""
        mean = vectors.mean(axis=0)
        centred = vectors - mean
        _, _, directions = np.linalg.svd(centred, full_matrices=False)
        components = directions[: min(_COMPONENTS, *vectors.shape)]
        along = centred @ components.T
        remainder = np.linalg.norm(centred - along @ components, axis=1)
        scales = np.append(along.std(axis=0), np.sqrt((remainder**2).mean()))
        return cls(mean, components, np.maximum(scales, 1e-6 * max(1.0, float(np.abs(vectors).max()))))

    def distances(self, vectors: Floats) -> Floats:
        """Mahalanobis distance along the components, and of the remainder in its own scale, (n, d) → (n,)."""
        centred = vectors - self.mean
        along = centred @ self.components.T
        remainder = np.linalg.norm(centred - along @ self.components, axis=1)
        return np.sqrt(((along / self.scales[:-1]) ** 2).sum(axis=1) + (remainder / self.scales[-1]) ** 2)


@dataclass(frozen=True, eq=False)
class Reference:
    """The record with the two spreads; ``features`` is ``None`` where the model has no linear layer."""

    record: ReferenceRecord
    layout: Spread
    features: Spread | None

    def notices(self, image: NDArray[np.uint8], features: Floats | None) -> tuple[str, ...]:
        """Why an image is unlike what the model knows, in sentences; empty where nothing was noticed.

        Args:
            image: uint8 (1, s, s), prepared.
            features: (d,), what enters the last linear layer.
        """
        found = []
        for name, value in zip(PIXEL_FIGURES, pixel_figures(image[None])[0], strict=True):
            low, high = self.record.pixel_range[name]
            slack = _SLACK * (high - low)
            if not low - slack <= value <= high + slack:
                found.append(f"{name} {value:.2f} lies outside training's {low:.2f} to {high:.2f}")
        found += _beyond("layout", self.layout, layouts(image[None]), self.record.layout_limit)
        if features is not None and self.features is not None:
            found += _beyond("features", self.features, features[None], self.record.feature_limit)
        return tuple(found)


def _beyond(name: str, spread: Spread, vector: Floats, limit: float | None) -> list[str]:
    distance = float(spread.distances(vector)[0])
    if limit is None or distance <= limit:
        return []
    return [f"{name} {distance:.1f} from training's centre; {_QUANTILE:.0%} of validation images lie within {limit:.1f}"]


def make_reference(
    model: nn.Module, dataset: Dataset, parts: Parts, validation_logits: NDArray[np.float32] | None = None
) -> Reference:
    """Operating points and ranges of a trained model; one forward pass over at most 4,000 training and the validation images."""
    from nas.evaluation import predict_logits, probabilities

    train, held_out = dataset.images[_thinned(parts.train)], dataset.images[parts.validation]
    logits = predict_logits(model, held_out) if validation_logits is None else validation_logits
    low, high = np.quantile(pixel_figures(train), [0.002, 0.998], axis=0)
    layout = Spread.of(layouts(train))
    known, new = model_features(model, train), model_features(model, held_out)
    features = None if known is None else Spread.of(known)
    record = ReferenceRecord(
        operating_points=operating_points(probabilities(logits), dataset.labels[parts.validation], dataset.classes),
        pixel_range={name: (round(float(a), 4), round(float(b), 4)) for name, a, b in zip(PIXEL_FIGURES, low, high, strict=True)},
        layout_limit=float(np.quantile(layout.distances(layouts(held_out)), _QUANTILE)),
        feature_limit=None if features is None or new is None else float(np.quantile(features.distances(new), _QUANTILE)),
        training_images=len(train), validation_images=len(held_out),
    )  # fmt: skip
    return Reference(record, layout, features)


def save_reference(reference: Reference, directory: Path) -> None:
    """Write both files beside a candidate."""
    from safetensors.numpy import save

    spreads = {"layout": reference.layout, "features": reference.features}
    arrays = {
        f"{name}.{part}": np.ascontiguousarray(getattr(spread, part), dtype=np.float32)
        for name, spread in spreads.items()
        if spread is not None
        for part in ("mean", "components", "scales")
    }
    write_bytes(directory / TENSORS, save(arrays))
    write_json(directory / FILE, reference.record.model_dump(mode="json"))


def load_reference(directory: Path) -> Reference | None:
    """What ``save_reference`` wrote; ``None`` where there is none (a foreign model, or one saved by an older version).

    Raises:
        InputError: the files are damaged.
    """
    if not (directory / FILE).exists():
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        record = ReferenceRecord.model_validate(read_json(directory / FILE))
        arrays = {name: array.astype(np.float64) for name, array in load_file(directory / TENSORS).items()}
        layout, features = (_spread(arrays, name) for name in ("layout", "features"))
        if layout is None:
            raise KeyError("layout")
    except (ValueError, KeyError, OSError, SafetensorError) as error:
        raise InputError(
            f"{directory / FILE} is damaged ({type(error).__name__}); delete it to predict without thresholds"
        ) from error
    return Reference(record, layout, features)


def _spread(arrays: dict[str, Floats], name: str) -> Spread | None:
    if f"{name}.mean" not in arrays:
        return None
    return Spread(arrays[f"{name}.mean"], arrays[f"{name}.components"], arrays[f"{name}.scales"])


def operating_points(scores: Floats, labels: NDArray[np.int64], classes: Sequence[str]) -> dict[str, OperatingPoint]:
    """Youden's threshold of every class that validation has with and without."""
    points = {}
    for column, name in enumerate(classes):
        positive = labels == column
        if 0 < positive.sum() < len(positive):
            points[name] = _youden(scores[:, column], positive)
    return points


def _youden(scores: Floats, positive: NDArray[np.bool_]) -> OperatingPoint:
    """Called positive at or above the threshold, which lies halfway between two scores so that rounding moves no image."""
    values = np.unique(scores)
    cuts = np.concatenate([[values[0]], (values[1:] + values[:-1]) / 2])
    sensitivity = 1 - np.searchsorted(np.sort(scores[positive]), cuts) / positive.sum()
    specificity = np.searchsorted(np.sort(scores[~positive]), cuts) / (~positive).sum()
    best = int(np.argmax(sensitivity + specificity))
    return OperatingPoint(
        threshold=float(cuts[best]), sensitivity=float(sensitivity[best]), specificity=float(specificity[best]), n=len(scores)
    )


def pixel_figures(images: NDArray[np.uint8]) -> Floats:
    """The figures of ``PIXEL_FIGURES``, images uint8 (n, 1, s, s) → float64 (n, 7), grey in 0..1."""
    grey = images[:, 0].astype(np.float64) / 255
    side = grey.shape[1]
    edge, inner = max(1, side // 8), side // 4
    corners = np.stack([grey[:, :edge, :edge], grey[:, :edge, -edge:], grey[:, -edge:, :edge], grey[:, -edge:, -edge:]])
    gradient = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
    middle = grey[:, inner : side - inner, inner : side - inner]
    columns = (
        grey.mean(axis=(1, 2)), grey.std(axis=(1, 2)), (grey < 0.03).mean(axis=(1, 2)), (grey > 0.97).mean(axis=(1, 2)),
        corners.mean(axis=(0, 2, 3)), middle.mean(axis=(1, 2)), gradient,
    )  # fmt: skip
    return np.stack(columns, axis=1)


def layouts(images: NDArray[np.uint8]) -> Floats:
    """8×8 thumbnails without their brightness and contrast, uint8 (n, 1, s, s) → float64 (n, 64)."""
    edges = np.linspace(0, images.shape[-1], _CELLS + 1).round().astype(np.int64)[:-1]
    sums = np.add.reduceat(np.add.reduceat(images[:, 0].astype(np.float64), edges, axis=1), edges, axis=2)
    sizes = np.diff(np.append(edges, images.shape[-1]))
    flat = (sums / np.outer(sizes, sizes)).reshape(len(images), -1)
    return (flat - flat.mean(axis=1, keepdims=True)) / (flat.std(axis=1, keepdims=True) + 1.0)


def model_features(model: nn.Module, images: NDArray[np.uint8], batch: int = 32) -> Floats | None:
    """What enters the linear layer that runs last, float64 (n, d); ``None`` for a model without one."""
    import torch
    from torch import nn as layers

    caught: dict[str, torch.Tensor] = {}

    def catch(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        caught["features"] = inputs[0].detach().flatten(1)

    hooks = [module.register_forward_pre_hook(catch) for module in model.modules() if isinstance(module, layers.Linear)]
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    rows = []
    try:
        with torch.inference_mode():
            for start in range(0, len(images), batch):
                caught.clear()
                model.eval()(torch.from_numpy(images[start : start + batch]).to(device).float().div(255))
                if "features" not in caught:
                    return None
                rows.append(caught["features"].double().cpu().numpy())
    finally:
        for hook in hooks:
            hook.remove()
    return np.concatenate(rows) if rows else None


def _thinned(indices: Indices) -> Indices:
    """Evenly spread, at most 4,000."""
    return indices[np.linspace(0, len(indices) - 1, min(len(indices), _MOST_IMAGES)).astype(np.int64)]
