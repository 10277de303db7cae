"""Cross-fit a candidate's architecture for an audit: few images, each judged by a network that never saw its group."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from nas.data.dataset import Dataset
    from nas.data.preprocessing import Preprocessing
    from nas.evaluation import LoadedModel
    from nas.inquisitor.audit import Progress
    from nas.inquisitor.crossfit import CrossFitted
    from nas.jobs.benchmark_folds import Fold
    from nas.jobs.retraining import HowTrained

_STREAM = 2_000_000  # first word of the folds' seed path: apart from every trial's and finalist's
_PRETRAINING = 1  # of a fold's seed path


def training_of(model: str | Path) -> HowTrained:
    """How a candidate was trained, with the answers that cured it; for one outside a run, the shared recipe."""
    from baselines.recipe import Recipe
    from nas.engine.directory import RunDirectory, run_of
    from nas.files import read_json
    from nas.jobs.retraining import HOW_TRAINED, HowTrained
    from nas.jobs.search import candidate_home

    run = run_of(model)
    if run is None:
        return HowTrained(recipe=Recipe())
    home = candidate_home(Path(model))
    if (home / HOW_TRAINED).exists():
        return HowTrained.model_validate(read_json(home / HOW_TRAINED))
    settings = RunDirectory(run).stored_settings()  # a run of an earlier version
    recipe = settings.recipe.model_copy(update={"epochs": settings.full_epochs})
    return HowTrained(recipe=recipe, pretrained=settings.pretrained == "shared")


def run_pool(run: Path, how: Preprocessing) -> Dataset:
    """A run's own images, as a candidate with this preprocessing sees them, without its sealed test: what its folds are dealt from."""
    from nas.engine.context import Context
    from nas.engine.directory import RunDirectory

    directory = RunDirectory(run)
    context = Context.open(directory.stored_settings(), directory).seen_by(how)
    parts = context.parts
    return context.dataset.subset(np.sort(np.concatenate([parts.train, parts.validation, parts.audit])))


def folds_of(loaded: LoadedModel, dataset: Dataset, folds: int, seed: int) -> tuple[dict[str, Any], tuple[Fold, ...]]:
    """The candidate's architecture, and the folds that it is to be trained on; raises what :func:`cross_fit` does."""
    from nas.data.dataset import Parts
    from nas.jobs.benchmark_folds import make_folds

    if folds < 2:
        raise InputError(f"--cross-fit needs at least 2 folds, but got {folds}; 5 is usual")
    if loaded.architecture is None:
        raise InputError(
            f"--cross-fit trains an architecture anew, and {loaded.name} has none of a search space; give a run or a candidate's directory"
        )
    none = np.arange(0)
    parts = Parts(train=np.arange(len(dataset)), validation=none, audit=none, test=none)
    return loaded.architecture, make_folds(dataset, parts, folds=folds, seeds=1, seed=seed)


def cross_fit(
    loaded: LoadedModel,
    dataset: Dataset,
    training: HowTrained,
    *,
    folds: int,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[CrossFitted, NDArray[np.float32]]:
    """Train the candidate's architecture anew on every fold's complement.

    Args:
        dataset: all of it is dealt into folds, stratified by class, whole groups only; a seventh of what trains a network
            picks its epoch.
        training: how; a network that was trained on phantom images first is so in every fold.
        progress: called with what is being done and the share that is behind.

    Returns:
        The networks, and out-of-fold logits of every image, float32 (n, classes).

    Raises:
        InputError: the model has no architecture of a search space, or the data too few groups for so many folds.
    """
    import torch

    from nas.engine.context import derived_seed
    from nas.evaluation import DeviceData, predict_logits, train
    from nas.inquisitor.crossfit import CrossFitted

    architecture, dealt = folds_of(loaded, dataset, folds, seed)
    data, fold = DeviceData(dataset, device), np.full(len(dataset), -1, np.int64)
    models: list[torch.nn.Module] = []
    logits = np.zeros((len(dataset), len(dataset.classes)), np.float32)
    for part in dealt:
        if progress is not None:
            said = f"fold {part.number + 1} of {folds}: training on {len(part.train):,} images, {training.recipe.epochs} epochs"
            progress(said, part.number / folds)
        stream = derived_seed(seed, _STREAM, part.number)
        torch.manual_seed(stream)
        models.append(_fresh(architecture, dataset, training, stream, device))
        train(models[-1], data, part.train, part.validation, training.recipe, seed=stream, image_size=dataset.image_size)
        fold[part.held_out] = part.number
        logits[part.held_out] = predict_logits(models[-1], data, indices=part.held_out)
    return CrossFitted(models, fold), logits


def _fresh(architecture: dict[str, Any], dataset: Dataset, training: HowTrained, seed: int, device: str) -> nn.Module:
    from nas.engine.context import derived_seed
    from nas.evaluation.pretraining import pretrain
    from search_spaces import get_space, load_architecture

    known = load_architecture(architecture)
    space = get_space(known.space, classes=len(dataset.classes), in_channels=known.in_channels, image_size=dataset.image_size)
    network = space.build(known, dataset.image_size)
    if training.pretrained:
        with TemporaryDirectory() as place:
            pretrain(
                network, len(dataset.classes), dataset.image_size, training.recipe.model_copy(update={"answers": ()}),
                seed=derived_seed(seed, _PRETRAINING), device=device, checkpoint=Path(place) / "pretraining.safetensors",
            )  # fmt: skip
    return network
