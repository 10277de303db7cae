"""Audit a decision-maker: does it decide from the lungs, or from a marker, a border, a scanner's style?"""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nas.files import make_folder, write_json
from nas.records import AuditRecord
from nas.versions import toolkit_version, versions
from search_spaces.errors import InputError

if TYPE_CHECKING:
    import torch

    from nas.data.dataset import Dataset, Indices
    from nas.data.preprocessing import Preprocessing
    from nas.evaluation import LoadedModel
    from nas.inquisitor.audit import Progress


_OTHERS = {"settings.json": "a run", "run.json": "a run", "benchmark.json": "a benchmark", "manifest.json": "a model"}


def audit(
    model: torch.nn.Module | LoadedModel | str | Path,
    data: Dataset | str | Path | Sequence[str | Path] | None = None,
    *,
    classes: Sequence[str] | None = None,
    level: Literal["screen", "full"] = "full",
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    model_spec: Path | None = None,
    weights: Path | None = None,
    data_root: str | None = None,
    cross_fit: int | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> AuditRecord:
    """Audit one model and return the record, with ``.verdict``, ``.tests`` and ``.to_json()``.

    Args:
        model: any ``nn.Module`` from float (N, 1, H, W) in [0, 1] to logits (N, classes), a loaded candidate, or what
            ``nas audit`` takes: a run or candidate directory, an ONNX file, ``package.module:factory``.
        data: a data set or specs; none, for a run: the part of its own data that no model trained on and no test sealed.
        classes: of an ``nn.Module``, its classes in logit order, by default the data's. Else which classes to make of the data's
            labels, as ``nas.data.load`` takes them (``abnormal=covid+pneumonia``), by default those of the model's names.
        seed: of all random streams, 0 or more.
        out: where pictures, record and page go; none: no files. Not where a run, a benchmark or a model lies.
        cross_fit: train a candidate's architecture anew on so many folds and audit every image with the network that never
            saw it. What is judged is then the architecture with its recipe and data, not the one set of weights.
        progress: called with what is being done and the share of it that is behind (0 … 1).

    Raises:
        InputError: no such model, data, level or device, classes or an image size that differ from the data's, images that the model was trained
            on only.
    """
    from nas.data import summarise
    from nas.data.masking import with_masks
    from nas.engine.context import resolve_device
    from nas.engine.directory import RunDirectory
    from nas.evaluation import metrics, predict_logits
    from nas.inquisitor import audit_model
    from nas.inquisitor.audit import obstacle_to
    from nas.inquisitor.opening import in_data_order
    from nas.jobs.crossfit import cross_fit as cross_fitted
    from nas.jobs.crossfit import folds_of, training_of

    started = time.time()
    if level not in ("screen", "full"):
        raise InputError(f"--level must be full or screen, but got {level!r}")
    check_seed(seed)
    _check_home(out)
    loaded = _as_loaded(model, classes, data, model_spec, weights)
    dataset = data_for(loaded, model, data, data_root, classes=classes, pool=cross_fit is not None)
    ordered = in_data_order(loaded.model, loaded.classes, dataset)
    if cross_fit is not None:
        if not isinstance(model, str | Path):
            raise InputError(
                f"--cross-fit trains an architecture anew, as it was trained, and {loaded.name} in memory has none of a search space or "
                "does not say how; give a run or a candidate's directory"
            )
        folds_of(loaded, dataset, cross_fit, seed)  # what cannot be is refused before anything is made
    pictures = None if out is None else Path(out) / "pictures"
    if pictures is not None:
        make_folder(pictures)  # an audit takes long: a place that cannot be written to is said before it
        RunDirectory(Path(out or "")).unseal()  # of an earlier audit there
    indices = unseen(dataset, loaded.training_hashes) if cross_fit is None else np.arange(len(dataset))
    dataset = with_masks(dataset, indices)
    where = resolve_device(device)
    network, names, logits = loaded.model.to(where), loaded.classes, None
    anew = cross_fit is not None and not obstacle_to(dataset, indices, level)  # else what folds would answer settles nothing
    if cross_fit is None:
        logits = predict_logits(ordered, dataset.images[indices], where)
    elif anew:
        names = dataset.classes
        network, logits = cross_fitted(
            loaded, dataset, training_of(str(model)), folds=cross_fit, seed=seed, device=where, progress=progress
        )
    finding = audit_model(
        network, dataset, indices, classes=names, level=level, seed=seed, device=where, pictures_dir=pictures, progress=progress
    )
    record = AuditRecord(
        toolkit=toolkit_version(),
        versions=versions(),
        command=command,
        created=datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        model=f"{loaded.name}, trained anew on {cross_fit} folds" if anew else loaded.name,
        verdict=finding.verdict,
        finding=finding,
        metrics=()
        if logits is None
        else metrics(logits, dataset.labels[indices], dataset.group[indices], dataset.classes, part="audited images"),
        data=summarise(dataset, None),
        seconds=round(time.time() - started, 2),
        directory="" if out is None else str(out),
    )
    return record if out is None else publish(record, Path(out))


def publish(record: AuditRecord, directory: Path) -> AuditRecord:
    """Write ``audit.json``, the page and the table of tests, and their checksums."""
    from nas.engine.directory import vouch_for
    from nas.report import PAGE_NAME, write_page
    from nas.report.tables import write_tables

    record = record.model_copy(update={"page": str(directory / PAGE_NAME)})
    write_page(record, directory)
    write_tables(record, directory)
    write_json(directory / "audit.json", record.model_dump(mode="json"))
    vouch_for(directory, ("audit.json", PAGE_NAME, "tests.csv", "pictures/*"))
    return record


def check_seed(seed: int) -> None:
    """Raise ``InputError`` for a seed that no random stream can start from."""
    if seed < 0:
        raise InputError(f"seed must be 0 or more, but got {seed}")


def _check_home(out: str | Path | None) -> None:
    """An audit's page and record would replace those of what lies in its directory already."""
    held = [name for name in _OTHERS if out is not None and (Path(out) / name).exists()]
    if held:
        raise InputError(
            f"--out {out} holds {_OTHERS[held[0]]} ({held[0]}), whose files an audit would replace; choose another directory, such as {out}/audit"
        )


def _as_loaded(
    model: Any, classes: Sequence[str] | None, data: Any, model_spec: Path | None, weights: Path | None
) -> LoadedModel:
    from torch import nn

    from nas.data import Preprocessing
    from nas.data.dataset import Dataset
    from nas.evaluation import LoadedModel
    from nas.jobs.foreign import tried
    from nas.jobs.models import refuse_foreign_options, resolve_model

    if isinstance(model, LoadedModel | nn.Module):
        refuse_foreign_options(f"a model in memory ({type(model).__name__})", model_spec, weights)
    if isinstance(model, LoadedModel):
        return model
    if isinstance(model, nn.Module):
        if not isinstance(data, Dataset):
            raise InputError(
                "auditing an nn.Module needs a loaded data set at the model's image size: nas.audit(model, nas.data.load(SPEC, image_size=…))"
            )
        names = tuple(classes) if classes is not None else data.classes
        return tried(
            LoadedModel(
                model=model,
                classes=names,
                preprocessing=Preprocessing(image_size=data.image_size),
                name=type(model).__name__,
                training_hashes=frozenset(),
            )
        )
    if not isinstance(model, str | Path):
        raise InputError(
            f"a model must be an nn.Module or the name of one, but got {type(model).__name__}; wrap a function in an nn.Module"
        )
    return resolve_model(str(model), model_spec=model_spec, weights=weights)


def data_for(
    loaded: LoadedModel,
    model: Any,
    data: Any,
    root: str | None,
    *,
    classes: Sequence[str] | None = None,
    pool: bool = False,
) -> Dataset:
    """The images to audit on: the given data, or those of the run that the model belongs to.

    Args:
        classes: what to make of the labels of data that are loaded here; by default the model's own classes.
        pool: of a run all but its sealed test: no network that is audited on an image has trained on it.
    """
    from nas.data import load
    from nas.data.dataset import Dataset
    from nas.engine.directory import run_of
    from nas.jobs.crossfit import run_pool

    how = loaded.preprocessing
    if data is not None and not isinstance(data, Dataset):
        names = classes or loaded.selection or loaded.classes
        return load(data, classes=names, image_size=how.image_size, crop=how.crop, root=None if root is None else Path(root))
    if classes is not None and tuple(classes) != loaded.classes:
        raise InputError(
            f"{loaded.name} tells {', '.join(loaded.classes)}, not {', '.join(classes)}; --classes says what to make of the labels of --data SPEC"
        )
    if data is not None:
        if data.image_size != how.image_size:
            raise InputError(
                f"the images are {data.image_size} px, and {loaded.name} takes {how.image_size}; load them with image_size={how.image_size}"
            )
        return data
    run = run_of(model) if isinstance(model, str | Path) else None
    if run is None:
        raise InputError(f"{loaded.name} does not say on which images to audit it; add --data SPEC")
    return run_pool(run, how) if pool else run_audit_data(run, how)


def run_audit_data(run: Path, how: Preprocessing) -> Dataset:
    """The images that a run's candidate with this preprocessing is audited on: the audit and validation parts, or fresh phantom images."""
    from nas.engine.context import Context
    from nas.engine.directory import RunDirectory
    from nas.jobs.finalists import audit_images

    directory = RunDirectory(run)
    dataset, indices = audit_images(Context.open(directory.stored_settings(), directory).seen_by(how))
    return dataset.subset(indices)


def unseen(dataset: Dataset, training_hashes: frozenset[str]) -> Indices:
    """The images that the model did not train on, by content hash; nor any other image of a group that it trained on."""
    if not training_hashes:
        return np.arange(len(dataset))
    trained = np.isin(dataset.image_hashes, list(training_hashes))
    indices = np.flatnonzero(~np.isin(dataset.group, dataset.group[trained]))
    if len(indices) == 0:
        raise InputError("the model was trained on every one of these images; audit it on others with --data SPEC")
    return indices
