"""What a worker holds for the whole of a search: space, budget, data on the device, parts; made once, checked against the study."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.data import Preprocessing, check_leaks, load, make_parts, parts_from_json, parts_to_json
from nas.data.dataset import Dataset, Parts
from nas.data.masking import with_masks
from nas.engine.directory import RunDirectory
from nas.engine.requirements import Requirement, check_known, check_reachable, parse_requirement
from nas.engine.settings import SearchSettings
from nas.files import read_json, understanding, write_json
from search_spaces import Architecture, Budget, get_space, load_architecture
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from nas.evaluation import DeviceData
    from nas.records import Metric


def import_plugins(modules: tuple[str, ...]) -> None:
    """Import the user's own modules, whose spaces, samplers and audits register themselves."""
    for name in modules:
        import_here(name, f"--import {name}")


def import_plugins_of(path: Path) -> None:
    """Import the modules that the search or benchmark at or above ``path`` was started with: its networks may be the user's own."""
    folders = (path, *path.absolute().parents)
    named = (folder / name for folder in folders for name in ("settings.json", "benchmark_settings.json"))
    stored = next((file for file in named if file.is_file()), None)
    if stored is not None:
        with understanding(stored):
            import_plugins(tuple(read_json(stored).get("imports", ())))


def import_here(name: str, asked: str) -> ModuleType:
    """Import a module by name, also from the working directory, as ``python -m`` would; ``asked`` is what the error quotes."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except (ImportError, TypeError, ValueError) as error:  # the latter two: a name that is empty, relative or holds a NUL
        raise InputError(f"{asked}: {error}; run it in the module's folder, or name that in PYTHONPATH") from error


TRIAL_THREADS = 1
"""Threads of a search's trainings on a CPU; more cores are used by more workers. Waking a second thread for each small layer
costs more than it does: 40 steps of a network of 8 MFLOPs at 64 pixels took 2.7 s with one thread and 6.9 s with two that sleep
between layers. Two that spin took 2.0 s on an idle machine, and many times more on one with other work."""


@dataclass(frozen=True, eq=False)
class Context:
    """One search's fixed surroundings."""

    settings: SearchSettings
    directory: RunDirectory
    dataset: Dataset
    parts: Parts
    fingerprint: str

    @classmethod
    def open(cls, settings: SearchSettings, directory: RunDirectory, progress: Any = None) -> Context:
        """Load the data, split it (or read the run's split), check for leaks.

        Raises:
            InputError: bad data, a leak, or a split that belongs to other data.
        """
        import_plugins(settings.imports)
        dataset = _images(settings, progress)
        if directory.parts.exists():
            parts = parts_from_json(dataset, read_json(directory.parts))
        else:
            parts = make_parts(dataset, seed=settings.seed, keep_splits=settings.splits == "keep")
            write_json(directory.parts, parts_to_json(dataset, parts))
        check_leaks(dataset, parts)
        fingerprint = dataset.fingerprint  # of what was brought: segmented masks follow from it
        return cls(settings, directory, _masked(settings, dataset, parts), parts, fingerprint)

    def seen_by(self, preprocessing: Preprocessing) -> Context:
        """The surroundings of a candidate with this preprocessing: the search's own, or those of one that a crop to the lungs cured."""
        return self.cropped if preprocessing.lungs else self

    @cached_property
    def cropped(self) -> Context:
        """The same search with all images cut to the lungs as well; parts, groups and fingerprint are those of the whole pictures."""
        how = Preprocessing.parse(self.settings.crop, self.settings.image_size)
        if how.lungs:
            return self
        settings = self.settings.model_copy(update={"crop": how.model_copy(update={"lungs": True}).crop})
        dataset = _images(settings, None)
        if dataset.file.tolist() != self.dataset.file.tolist():
            raise InputError(
                f"{dataset.spec} changed while the search went on: it has other files now; restore them and resume"
            )
        dataset = dataset.changed(group=self.dataset.group)
        return replace(self, settings=settings, dataset=_masked(settings, dataset, self.parts))

    @cached_property
    def space(self) -> Any:
        """The search space, for this data's classes."""
        return get_space(
            self.settings.space, classes=len(self.dataset.classes), in_channels=1, image_size=self.settings.image_size
        )

    @cached_property
    def budget(self) -> Budget:
        """The hard bound; an infeasible one raises here, before anything is trained."""
        budget = Budget.parse(self.settings.budget, image_size=self.settings.image_size)
        self.space.sample(np.random.default_rng(0), budget)  # raises where nothing fits
        return budget

    @cached_property
    def prototype(self) -> Architecture | None:
        """Where the search starts, if a prototype was asked for, as a point of this search's space."""
        if self.settings.prototype is None:
            return None
        if self.settings.sampler != "generator":
            raise InputError(
                f"sampler {self.settings.sampler!r} cannot start from a prototype; use the generator, or no prototype"
            )
        return self.space.adopt(load_architecture(self.settings.prototype))

    @cached_property
    def pretrained(self) -> bool:
        """Whether each network is trained on phantom images first."""
        if self.settings.pretrained == "imagenet":
            raise InputError(
                "pretrained = 'imagenet' needs published weights, and a searched network has none; choose none or shared, "
                "and give the baselines theirs with: nas benchmark --pretrained imagenet"
            )
        return self.settings.pretrained == "shared"

    @cached_property
    def requirements(self) -> tuple[Requirement, ...]:
        """The operational requirements; one of a metric that this data's classes do not have, or that no figure can reach, raises here."""
        asked = tuple(parse_requirement(text) for text in self.settings.require)
        if asked:
            from nas.evaluation.metrics import metric_names, metric_range

            names = (*metric_names(self.dataset.classes), "latency")
            for requirement in asked:
                check_known(requirement, names)
                check_reachable(requirement, *metric_range(requirement.metric))
        return asked

    def latency(self, model: nn.Module) -> tuple[Metric, ...]:
        """The network's measured latency, where a requirement asks for it: it varies from run to run."""
        from nas.evaluation.latency import latency

        asked = any(requirement.metric == "latency" for requirement in self.requirements)
        return (latency(model, self.settings.image_size, self.device),) if asked else ()

    @cached_property
    def device(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return resolve_device(self.settings.device)

    @cached_property
    def device_data(self) -> DeviceData:
        """The images, resident on the device."""
        from nas.evaluation import DeviceData

        return DeviceData(self.dataset, self.device)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What every worker of this study must agree on (and, where it joins, takes over: ``threads``)."""
        return {
            "run": self.directory.identity(),
            "data_fingerprint": self.fingerprint,
            "classes": list(self.dataset.classes),
            "space": self.space.name,
            "space_version": self.space.version,
            "threads": TRIAL_THREADS,
        }


def _images(settings: SearchSettings, progress: Any) -> Dataset:
    root = None if settings.data_root is None else Path(settings.data_root)
    return load(
        settings.data,
        classes=settings.classes,
        image_size=settings.image_size,
        crop=settings.crop,
        root=root,
        progress=progress,
    )


def _masked(settings: SearchSettings, dataset: Dataset, parts: Parts) -> Dataset:
    """With masks wherever an audit, or an option that answers one, asks for them."""
    audited = [parts.train, parts.validation, parts.audit] if settings.answer_findings else [parts.validation, parts.audit]
    return with_masks(dataset, np.concatenate(audited))


def resolve_device(asked: str) -> str:
    """``auto`` → the best at hand; ``cuda`` where there is none, and any other word, raises ``InputError``."""
    import torch

    if asked not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device must be auto, cpu or cuda, but got {asked!r}")
    available = torch.cuda.is_available()
    if asked == "cuda" and not available:
        raise InputError("--device cuda, but torch sees no CUDA device; use --device cpu, or install a CUDA build of torch")
    return "cuda" if available and asked != "cpu" else "cpu"


def threads_per_worker(workers: int) -> int:
    """Threads of one worker such that all of them together use each core once."""
    return max(1, (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) // workers)


def derived_seed(seed: int, *path: int) -> int:
    """A 63-bit seed for one purpose, from the search's seed and a path of indices (SeedSequence: streams do not overlap)."""
    words = np.random.SeedSequence([seed, *path]).generate_state(2, np.uint32)
    return int(words[0]) << 31 ^ int(words[1])
