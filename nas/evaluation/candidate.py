"""A trained model on disk: architecture, weights, preprocessing, metrics, history, audit; loadable without a study.

Weights are safetensors, never pickle, and their SHA-256 stands in the manifest. A candidate of a search stores its architecture; a
baseline stores its name and how to build it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import files
from nas.records import EpochRecord, Finding, Metric
from search_spaces.errors import InputError, first_line

if TYPE_CHECKING:
    from torch import nn

    from nas.data.preprocessing import Preprocessing
    from search_spaces.architecture import Architecture

FORMAT = 1
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model with what is needed to use it.

    Attributes:
        model: float (n, 1, H, W) in [0, 1] → logits (n, classes), in evaluation mode, on the CPU.
        classes: names in logit order.
        preprocessing: how an image file becomes its input.
        training_hashes: pixels' hashes of the images that it was trained on: it must not be judged on them.
    """

    model: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    name: str
    training_hashes: frozenset[str]
    architecture: dict[str, Any] | None = None
    selection: tuple[str, ...] = ()  # the words that load data under these classes again, merged ones included


def save_candidate(
    directory: Path,
    *,
    model: nn.Module,
    architecture: Architecture | None = None,
    baseline: Mapping[str, Any] | None = None,
    preprocessing: Preprocessing | None,
    classes: Sequence[str],
    metrics: Sequence[Metric] = (),
    history: Sequence[EpochRecord] = (),
    training_hashes: Iterable[str] = (),
    finding: Finding | None = None,
    name: str = "",
    selection: Sequence[str] = (),
) -> None:
    """Write a trained model; every file whole or not at all, the manifest last.

    Args:
        architecture: the point of a search space that ``model`` was built from; or
        baseline: ``{"name": …, "in_channels": …}`` and whatever else its ``build`` takes.
    """
    from safetensors.torch import save

    if (architecture is None) == (baseline is None):
        raise InputError("a candidate is saved with either its architecture or its baseline's name, not both or neither")
    if preprocessing is None:
        raise InputError("a candidate needs its data set's preprocessing to read new images; set Dataset.preprocessing")
    origin = {"architecture": architecture.to_json()} if architecture is not None else {"baseline": dict(baseline or {})}
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()}
    files.write_bytes(directory / WEIGHTS, save(tensors))
    files.write_json(directory / "architecture.json", origin)
    files.write_json(directory / "preprocessing.json", preprocessing.model_dump(mode="json"))
    files.write_json(directory / "metrics.json", [metric.model_dump(mode="json") for metric in metrics])
    files.write_text(directory / "history.csv", _history_csv(history))
    files.write_json(directory / "training_images.json", sorted(set(map(str, training_hashes))))
    if finding is not None:
        files.write_json(directory / "audit.json", finding.model_dump(mode="json"))
    manifest = {
        "format": FORMAT,
        "name": name,
        "classes": list(classes),
        "selection": list(selection),
        "sha256": files.sha256(directory / WEIGHTS),
    }
    files.write_json(directory / "manifest.json", manifest)


def load_candidate(directory: Path) -> LoadedModel:
    """Read a model back; nothing in it can run code.

    Raises:
        InputError: no candidate there, a damaged or exchanged file, or a space or baseline that is not installed.
    """
    manifest = _manifest(directory)
    with files.understanding(directory):
        return _load(directory, manifest)


def _load(directory: Path, manifest: Mapping[str, Any]) -> LoadedModel:
    from nas.data.preprocessing import Preprocessing

    preprocessing = Preprocessing.model_validate(files.read_json(directory / "preprocessing.json"))
    origin = files.read_json(directory / "architecture.json")
    classes = tuple(str(name) for name in manifest["classes"])
    model = _build(origin, len(classes), preprocessing.image_size)
    _load_weights(model, directory / WEIGHTS, manifest["sha256"])
    return LoadedModel(
        model=model.eval(),
        classes=classes,
        preprocessing=preprocessing,
        name=str(manifest["name"] or directory.name),
        training_hashes=frozenset(files.read_json(directory / "training_images.json")),
        architecture=origin.get("architecture"),
        selection=tuple(manifest.get("selection", ())),
    )


def _manifest(directory: Path) -> dict[str, Any]:
    if not (directory / "manifest.json").exists():
        raise InputError(f"{directory} holds no trained model (no manifest.json); give a candidate's directory")
    manifest = files.read_json(directory / "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{directory}/manifest.json is not of format {FORMAT}; it was written by another version")
    return manifest


def _build(origin: Mapping[str, Any], classes: int, image_size: int) -> nn.Module:
    if "architecture" in origin:
        from search_spaces import get_space, load_architecture

        architecture = load_architecture(origin["architecture"])
        space = get_space(architecture.space, classes=classes, in_channels=architecture.in_channels, image_size=image_size)
        return space.build(architecture, image_size)
    from baselines.registry import get_baseline

    options = dict(origin["baseline"])
    baseline = get_baseline(options.pop("name"))
    return baseline.build(classes=classes, in_channels=options.pop("in_channels"), image_size=image_size, **options)


def _load_weights(model: nn.Module, path: Path, expected: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file() or files.sha256(path) != expected:
        raise InputError(f"{path} is not the file that the manifest describes (SHA-256 differs); restore it")
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{path} does not fit the architecture beside it: {first_line(error)}") from error


def _history_csv(history: Sequence[EpochRecord]) -> str:
    columns = sorted({name for record in history for name in record.validation})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", "train_loss", "learning_rate", "images_per_second", *columns])
    for record in history:
        own = [record.validation.get(name, "") for name in columns]
        writer.writerow([record.epoch, record.train_loss, record.learning_rate, record.images_per_second or "", *own])
    return text.getvalue()
