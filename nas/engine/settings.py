"""Everything that defines a search: stored in its study, so that a resumed or a second worker does exactly the same."""

from __future__ import annotations

import reprlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from baselines.recipe import Recipe
from nas.files import texts
from search_spaces.errors import InputError

_shown = reprlib.Repr()  # cut short, and not followed into any depth
_shown.maxstring = _shown.maxother = 200

Objective = Literal["log_loss", "auroc", "balanced_accuracy"]
# what a search minimises is called so, in a line and in full
OBJECTIVE_NAMES: dict[str, tuple[str, str]] = {
    "log_loss": ("log-loss", "class-balanced log-loss"),
    "auroc": ("1 − AUROC", "1 − AUROC"),
    "balanced_accuracy": ("1 − balanced accuracy", "1 − balanced accuracy"),
}

# one text stands for a list of one; classes are listed as on the command line, "covid,pneumonia,normal"
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]
Classes = Annotated[
    tuple[str, ...], BeforeValidator(lambda given: tuple(map(str.strip, given.split(","))) if isinstance(given, str) else given)
]

# what a resumed search may change: how much of the same search is done, and where
FREE_ON_RESUME = frozenset({"trials", "time", "device", "workers", "stall_minutes"})
_FEW = 10  # trials


class SearchSettings(BaseModel):
    """The settings of one search; immutable, JSON-able, refuses unknown keys. The defaults are the phantom preset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Texts = ("phantom:n=600",)
    classes: Classes | None = None
    data_root: str | None = None
    crop: str = "none"
    splits: Literal["keep", "fresh"] = "keep"  # the parts that the data bring
    space: str = "pepx"
    prototype: dict[str, Any] | None = None  # architecture JSON that the search starts from
    budget: str = "8M"
    image_size: int = Field(64, ge=16, le=1024)
    trials: int = Field(10, ge=1)
    time: float | None = Field(None, gt=0)  # seconds for the trials
    epochs: int = Field(4, ge=1)
    recipe: Recipe = Recipe()
    sampler: str = "generator"
    pretrained: Literal["none", "shared", "imagenet"] = "none"
    control: Literal["none", "random"] = "none"
    objective: Objective = "log_loss"
    require: Texts = ()
    screen: bool = True
    block_probes: bool = False  # per-block importances after each trial, for the generator
    prune: bool | None = None  # none: where there are more than ten trials; a search stores what that came to
    finalists: int = Field(1, ge=1)
    final_seeds: int = Field(2, ge=1)
    final_epochs: int | None = Field(None, ge=1)  # none: twice the trials' epochs
    audit_images: int = Field(2000, ge=0)  # fresh images for the audit of finalists, where the data can make them (phantom)
    answer_findings: bool = False
    imports: Texts = ()
    workers: int = Field(1, ge=1)
    stall_minutes: float = Field(20.0, gt=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(0, ge=0)

    @property
    def pruning(self) -> bool:
        """Whether hopeless trials are ended early: among a few each is wanted to the end, and there is little to judge them by."""
        return self.trials > _FEW if self.prune is None else self.prune

    @property
    def full_epochs(self) -> int:
        """Epochs of the finalists' training."""
        return self.final_epochs or 2 * self.epochs


OWN_DATA: dict[str, Any] = {"budget": "50M", "image_size": 96, "trials": 20, "epochs": 8, "finalists": 2}


def preset(values: dict[str, Any]) -> dict[str, Any]:
    """What is not asked for, by the data: the fields' own defaults suit the phantom, a user's images want larger ones."""
    return {} if all(spec.partition(":")[0] == "phantom" for spec in texts(values.get("data", ()))) else dict(OWN_DATA)


def parse_settings(values: dict[str, Any]) -> SearchSettings:
    """Settings from plain values; an unknown key or a bad value raises ``InputError`` that names it."""
    try:
        return SearchSettings.model_validate(values)
    except ValidationError as error:
        raise InputError(explain(error, "setting")) from error


def explain(error: ValidationError, what: str) -> str:
    """The first problem of a validation error in one line: key, rule, value."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or what
    if first["type"] == "extra_forbidden":
        return f"unknown {what} {key!r}; see the command's --help for the known ones"
    return f"{what} {key!r}: {first['msg'].lower().replace('valid tuple', 'valid list')}, but got {_shown.repr(first.get('input'))}"


def refuse_other_settings(stored: SearchSettings, asked: dict[str, Any]) -> None:
    """Raise ``InputError`` where a resumed search is asked for something else than it was started with."""
    before = stored.model_dump(mode="json")
    for key, value in asked.items():
        if key in FREE_ON_RESUME:
            continue
        now = parse_settings({**before, key: value}).model_dump(mode="json")[key]
        if now != before[key]:
            raise InputError(
                f"this search was started with {key} = {before[key]!r}, but got {now!r}; "
                "leave the option out to resume, or start another search with another --out"
            )
