"""The fixed surroundings of a benchmark: data, parts, folds, device; opened once in each process."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.data import check_leaks, load, make_parts, parts_from_json
from nas.data.dataset import Dataset, Parts
from nas.engine.directory import run_of
from nas.files import file_name, read_json
from nas.jobs.benchmark_entrants import Entrant, entrants
from nas.jobs.benchmark_folds import Fold, check_copies, make_folds
from nas.jobs.benchmark_settings import BenchmarkSettings
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from nas.evaluation import DeviceData


@dataclass(frozen=True, eq=False)
class Arena:
    """Where everyone meets: the same images, parts, folds and seeds."""

    settings: BenchmarkSettings
    directory: Path
    dataset: Dataset
    parts: Parts
    folds: tuple[Fold, ...]
    entrants: tuple[Entrant, ...]
    notes: tuple[str, ...]
    runs: tuple[Path, ...] = ()  # whose split it is: their sealed test is the one that is opened

    @classmethod
    def open(cls, settings: BenchmarkSettings, directory: Path, dataset: Dataset | None = None) -> Arena:
        """Load the data, split them (as the search did, where a run competes), make the folds, check for leaks.

        Raises:
            InputError: bad data or models. LeakageError: images that training could have seen and that are scored.
        """
        from nas.engine.context import import_plugins

        import_plugins(settings.imports)
        if dataset is None:
            root = None if settings.data_root is None else Path(settings.data_root)
            dataset = load(
                settings.data, classes=settings.classes, image_size=settings.image_size, crop=settings.crop, root=root
            )
        who = entrants(settings, len(dataset.classes))
        parts, notes, runs = agreed_parts(settings, dataset)
        check_leaks(dataset, parts)
        folds = make_folds(dataset, parts, folds=settings.folds, seeds=settings.seeds, seed=settings.seed)
        notes = (*notes, *_differences(settings), *_left_out(dataset, parts), *check_copies(dataset, parts))
        return cls(settings, directory, dataset, parts, folds, who, notes, runs)

    @cached_property
    def device(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        from nas.engine.context import resolve_device

        return resolve_device(self.settings.device)

    @cached_property
    def masked(self) -> Dataset:
        """The images with lung masks for the audit and the controls; those that bring none are segmented where an audit is asked for."""
        from nas.data.masking import with_masks

        return self.dataset if self.settings.audit == "none" else with_masks(self.dataset)

    @cached_property
    def device_data(self) -> DeviceData:
        """The images, resident on the device."""
        from nas.evaluation import DeviceData

        precision = self.settings.precision
        return DeviceData(self.dataset, self.device, None if precision == "auto" else precision)

    def home(self, entrant: Entrant) -> Path:
        """Where an entrant's trained folds lie."""
        return self.directory / "models" / file_name(entrant.name)


def agreed_parts(settings: BenchmarkSettings, dataset: Dataset) -> tuple[Parts, tuple[str, ...], tuple[Path, ...]]:
    """The parts of the runs that compete, so that what a search has looked at is never sealed; else parts dealt afresh.

    Returns:
        The parts, notes, and the runs whose parts they are.

    Raises:
        InputError: two runs split the same images otherwise.
    """
    found: dict[Path, Parts] = {}
    notes: list[str] = []
    for model in settings.models:
        run = run_of(model)
        if run is None or not (run / "parts.json").exists():
            notes.append(f"{model} brings no split of its own; the images that its search looked at are not known")
            continue
        searched = read_json(run / "settings.json")
        alike = all(searched.get(key, getattr(settings, key)) == getattr(settings, key) for key in ("image_size", "crop"))
        parts = parts_by_file(read_json(run / "parts.json"), dataset, pixels=alike)
        if parts is None:
            notes.append(f"{run} was searched on other images; the parts were dealt afresh")
        else:
            found[run] = parts
    if not found:
        return make_parts(dataset, seed=settings.seed, keep_splits=settings.splits == "keep"), tuple(notes), ()
    first, *others = found.items()
    for name, parts in others:
        if any(
            not np.array_equal(np.sort(a), np.sort(b)) for (_, a), (_, b) in zip(first[1].items(), parts.items(), strict=True)
        ):
            raise InputError(f"{first[0]} and {name} split the same images otherwise; benchmark them apart")
    return first[1], tuple(notes), tuple(found)


def _differences(settings: BenchmarkSettings) -> list[str]:
    """What a run was searched with and its networks are not trained with here."""
    found = []
    for run in dict.fromkeys(run_of(model) for model in settings.models):
        stored = read_json(run / "settings.json") if run else {}
        for key, name, unit in (("image_size", "at", " px"), ("crop", "with the crop", "")):
            now = getattr(settings, key)
            if stored.get(key, now) != now:
                found.append(
                    f"{run} was searched {name} {stored[key]}{unit}; its networks are trained and costed here {name} {now}{unit}"
                )
    return found


def _left_out(dataset: Dataset, parts: Parts) -> list[str]:
    """Images that no part holds: those that came to the data after the search had split them."""
    left = len(dataset) - sum(len(indices) for _, indices in parts.items())
    return (
        [f"{left:,} of {len(dataset):,} images were not there when the run split its data: they take no part"] if left else []
    )


def parts_by_file(stored: Any, dataset: Dataset, *, pixels: bool = False) -> Parts | None:
    """A run's parts by file name; with ``pixels`` by these, too: other sets call files alike, but sizes and crops change pixels.

    Of the run's images and the data set's, one must hold all of the other (images have come, or a class is left out).

    Returns:
        None where neither does, where a part is left empty, or where nothing tells images of one name apart.
    """
    width = 2 if pixels else 1
    try:
        named = {part: [tuple(map(str, row))[:width] for row in rows] for part, rows in stored["parts"].items()}
    except (KeyError, TypeError, AttributeError):
        return None
    keys = [key[:width] for key in zip(dataset.file.tolist(), dataset.image_hashes.tolist(), strict=True)]
    position = {key: index for index, key in enumerate(keys)}
    if len(position) != len(keys):  # joined sets call files alike: pixels tell them apart, at the image size of the search
        with suppress(InputError):
            return parts_from_json(dataset, stored)
        return None
    known = {key for rows in named.values() for key in rows}
    if not (known <= position.keys() or position.keys() <= known):
        return None
    here = {part: [position[key] for key in rows if key in position] for part, rows in named.items()}
    try:
        return Parts(**{part: np.array(rows, dtype=np.int64) for part, rows in here.items()}) if all(here.values()) else None
    except TypeError:
        return None


def openings(arena: Arena, who: str) -> int:
    """Log this look at the sealed test in the benchmark's directory and in the runs whose test it is; the largest count."""
    from nas.engine.openings import record_opening

    return max(record_opening(place, who) for place in (arena.directory, *arena.runs))
