"""What defines a benchmark; stored in its directory, so that a resumed one does exactly the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from baselines.recipe import Recipe
from nas.engine.settings import Classes, Texts, explain
from nas.files import read_json, write_json
from search_spaces.errors import InputError

SHARED = Recipe(name="shared", epochs=30, learning_rate=1e-3, early_stopping=10)  # for all models alike
SETTINGS_FILE = "benchmark_settings.json"
FREE_ON_RESUME = frozenset({"device", "workers", "survey"})


class BenchmarkSettings(BaseModel):
    """The settings of one benchmark; immutable, JSON-able, refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = ()  # run or candidate directories
    data: Texts = ("phantom:n=600",)
    classes: Classes | None = None
    data_root: str | None = None
    crop: str = "none"
    splits: Literal["keep", "fresh"] = "keep"  # the parts that the data bring, where no run that competes has split them
    baselines: tuple[str, ...] = ()
    folds: int = Field(5, ge=2, le=50)
    seeds: int = Field(1, ge=1, le=100)
    epochs: int | None = Field(None, ge=1)  # none: the recipe's own
    image_size: int = Field(96, ge=16, le=1024)
    recipe: Literal["shared", "paper"] = "shared"
    shared: Recipe = SHARED
    learning_rates: tuple[float, ...] = (1e-3, 2e-4)  # shared recipe: each model's is picked on the first fold's validation
    pretraining: str = Field("none", pattern=r"^(none|shared|imagenet(:.+)?)$")
    audit: Literal["none", "screen", "full"] = "none"
    margin: float = Field(0.05, gt=0, lt=1)  # of non-inferiority, in balanced accuracy, accuracy and AUROC
    leave_one_source_out: bool = False
    survey: bool = False
    imports: Texts = ()
    workers: int = Field(1, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on CUDA, float32 on a CPU
    seed: int = Field(0, ge=0)

    @property
    def weights_folder(self) -> Path | None:
        """Folder of ImageNet weights (``imagenet:FOLDER``), if one is named."""
        _, _, folder = self.pretraining.partition(":")
        return Path(folder) if folder else None

    @property
    def pretraining_kind(self) -> str:
        """``none``, ``shared`` or ``imagenet``."""
        return self.pretraining.partition(":")[0]


def parse_settings(values: dict[str, Any]) -> BenchmarkSettings:
    """Settings from plain values; an unknown key or a bad value raises ``InputError`` that names it."""
    try:
        return BenchmarkSettings.model_validate(values)
    except ValidationError as error:
        raise InputError(explain(error, "setting")) from error


def settle(directory: Path, asked: dict[str, Any], resume: bool) -> BenchmarkSettings:
    """The settings of a new benchmark (``store`` writes them down, once they hold), or the stored ones of a resumed one.

    Raises:
        InputError: nothing to resume, a directory in use, or other settings than the benchmark was started with.
    """
    path = directory / SETTINGS_FILE
    if not path.exists():
        if resume:
            raise InputError(f"there is no benchmark to resume in {directory}; leave --resume out to start one there")
        return parse_settings(asked)
    if not resume:
        raise InputError(f"{directory} holds a benchmark already; go on with it by --resume, or choose another --out")
    stored = parse_settings(read_json(path)).model_dump(mode="json")  # complete, also where an earlier version wrote it
    merged = parse_settings({**stored, **asked}).model_dump(mode="json")
    for key in asked:
        if key not in FREE_ON_RESUME and merged[key] != stored[key]:
            raise InputError(
                f"this benchmark was started with {key} = {stored[key]!r}, but got {merged[key]!r}; "
                "leave the option out to resume, or start another with another --out"
            )
    return parse_settings(merged)


def store(directory: Path, settings: BenchmarkSettings) -> None:
    """Write the settings down for resuming."""
    write_json(directory / SETTINGS_FILE, settings.model_dump(mode="json"))
