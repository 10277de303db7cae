"""What every search space is: named decisions with ordered choices, an exact cost, a build, and proposals that keep the budget."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.budget import Budget
from search_spaces.cost import Cost
from search_spaces.errors import ArchitectureError, InputError, OverBudgetError

if TYPE_CHECKING:
    from optuna.trial import BaseTrial
    from torch import nn

Values = list[Any]
Triple = tuple[float, float, float]  # FLOPs, parameters, memory
Migration = Callable[[dict[str, Any]], dict[str, Any]]  # choices as an older version wrote them → as the next one does


class SearchSpace(ABC):
    """Base of all spaces.

    Attributes:
        name, version: written into every architecture; a changed meaning of a decision raises the version.
        decisions: name → ordered choices, conditional decisions included.
        classes, in_channels: of the networks, unless an architecture says otherwise.
        image_size: where a budget or a call names none.
        minimum_image_size: smaller images are refused.
        migrations: version → how its choices become those of the next version.
    """

    name: str
    version: int = 1
    minimum_image_size: int = 1
    migrations: ClassVar[Mapping[int, Migration]] = {}

    def __init__(self, decisions: Mapping[str, Sequence[Any]], *, classes: int, in_channels: int, image_size: int) -> None:
        self.decisions: dict[str, tuple[Any, ...]] = {name: _choices(name, options) for name, options in decisions.items()}
        self.classes = classes
        self.in_channels = in_channels
        self.image_size = image_size
        self.names = tuple(self.decisions)
        self._index = {name: position for position, name in enumerate(self.names)}
        self._choices = tuple(self.decisions.values())
        self._places = tuple({choice: place for place, choice in enumerate(choices)} for choices in self._choices)
        self._check_size(image_size)

    # --- what a space defines -------------------------------------------------------------------------------------

    @abstractmethod
    def _canonical(self, values: Values) -> Values:
        """Set, in place, what does not matter to its first choice; return ``values``."""

    @abstractmethod
    def _active(self, values: Values) -> list[int]:
        """Positions of the decisions that matter, in order; ``values`` may hold anything elsewhere."""

    @abstractmethod
    def _figures(self, values: Sequence[Any], image_size: int, in_channels: int, classes: int) -> Triple:
        """FLOPs, parameters, memory of canonical values, fast."""

    @abstractmethod
    def cost(self, architecture: Architecture, image_size: int | None = None) -> Cost:
        """Exact cost per block and in total, counted from the architecture alone."""

    @abstractmethod
    def build(self, architecture: Architecture, image_size: int | None = None) -> nn.Module:
        """The untrained network: float (n, 1, s, s) in [0, 1] → logits (n, classes)."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, budget: Budget | None = None, fill: bool = False) -> Architecture:
        """A random architecture inside the budget; ``fill``: one that uses most of it.

        Raises:
            BudgetInfeasibleError: none fits; it carries the smallest reachable cost per bound.
        """

    @abstractmethod
    def mutate(
        self,
        architecture: Architecture,
        rng: np.random.Generator,
        budget: Budget | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> Architecture:
        """One active decision changed, the result inside the budget; decisions that the change brings to life are drawn.

        ``weights`` (decision → weight ≥ 0, missing ones 1) steers which. Where no single change fits the budget, the
        architecture itself comes back. One that is over the budget is repaired instead.
        """

    @abstractmethod
    def repair(self, architecture: Architecture, budget: Budget, rng: np.random.Generator) -> Architecture:
        """The architecture itself if it fits, else a near one that does: no changed decision could be put back alone."""

    @abstractmethod
    def neighbours(self, architecture: Architecture, budget: Budget | None = None) -> Iterator[Architecture]:
        """All distinct architectures inside the budget that differ in one active decision."""

    @abstractmethod
    def smallest(self, budget: Budget | None = None) -> dict[str, float]:
        """The smallest reachable cost per bound, each alone, at the budget's image size."""

    def bounded(self, budget: Budget | None) -> Budget:
        """The budget itself; for ``None`` the one without bounds.

        Raises:
            InputError: it bounds a figure that this space does not know.
        """
        return budget or Budget()

    # --- what follows from it -------------------------------------------------------------------------------------

    def prototypes(self) -> dict[str, Architecture]:
        """Published designs as points of this space, from which a search may start."""
        return {}

    def paper_sizes(self) -> dict[str, int]:
        """Prototype → the pixels a side at which it was published."""
        return {}

    def adopt(self, architecture: Architecture) -> Architecture:
        """The same choices with this space's ``in_channels`` and ``classes``: how a prototype becomes where a search starts.

        Raises:
            ArchitectureError: it is a point of another space.
        """
        if (architecture.space, architecture.version) != (self.name, self.version):
            raise ArchitectureError(
                f"{architecture.key} is a point of space {architecture.space!r}, not of {self.name!r}; choose that space, or another start"
            )
        return self._wrap(list(architecture.values_tuple))

    def block_of(self, decision: str) -> str | None:
        """The module of the built network that a decision belongs to: ``"stage2.block1"``, or ``"stage2"`` for a whole stage."""
        return decision.rpartition(".")[0] or None

    def legal(self, decision: str, value: Any) -> bool:
        """Whether a decision may hold ``value``: one of its choices, or what published designs need beyond them."""
        return any(value == choice and type(value) is type(choice) for choice in self.decisions[decision])

    def active(self, choices: Mapping[str, Any]) -> set[str]:
        """The decisions that matter, given ``choices`` (missing ones count as their first choice)."""
        values = [choices.get(name, options[0]) for name, options in self.decisions.items()]
        return {self.names[position] for position in self._active(values)}

    def architecture(
        self, choices: Mapping[str, Any], in_channels: int | None = None, classes: int | None = None
    ) -> Architecture:
        """The point that ``choices`` describe; decisions that do not matter may be left out.

        Raises:
            ArchitectureError: an unknown decision, a missing one that matters, or a value that it may not hold.
        """
        unknown = [name for name in choices if name not in self._index]
        if unknown:
            raise ArchitectureError(f"space {self.name!r} has no decision {unknown[0]!r}; see its decisions")
        values = [choices.get(name, options[0]) for name, options in self.decisions.items()]
        for name, value in choices.items():
            if not self.legal(name, value):
                raise ArchitectureError(
                    f"{name}={_short(value)} is no choice of space {self.name!r}; choose among {_short(self.decisions[name])}"
                )
        missing = [self.names[position] for position in self._active(values) if self.names[position] not in choices]
        if missing:
            raise ArchitectureError(
                f"architecture of space {self.name!r} lacks {missing[0]!r}; give each decision that matters"
            )
        return self._wrap(values, in_channels, classes)

    def from_json(self, data: Mapping[str, Any]) -> Architecture:
        """The inverse of ``Architecture.to_json``, also for files of older versions that the space can still read.

        Raises:
            ArchitectureError: anything that is no architecture of this space, with what is wrong.
        """
        choices, version = data.get("choices"), data.get("version")
        if data.get("space") != self.name or not isinstance(choices, Mapping):
            raise ArchitectureError(f"expected an architecture of space {self.name!r} with 'choices', but got {_short(data)}")
        choices = self._migrate(dict(choices), version)
        sizes = {name: data.get(name, getattr(self, name)) for name in ("in_channels", "classes")}
        for name, size in sizes.items():
            if type(size) is not int or not 1 <= size <= 100_000:
                raise ArchitectureError(f"{name}={_short(size)} must be a whole number from 1 to 100000")
        restored = {name: self._restore(name, value) for name, value in choices.items()}
        return self.architecture(restored, **sizes)

    def suggest(
        self, trial: BaseTrial, budget: Budget | None = None, on_over_budget: Literal["repair", "raise"] = "repair"
    ) -> Architecture:
        """Ask an Optuna trial for each decision that matters; what it proposes over the budget is repaired, or raises.

        The parameters of the trial stay those of the proposal; its user attribute ``architecture`` then holds the repaired one,
        so that a sampler that reads it does not take the score for the proposal's.

        Raises:
            OverBudgetError: with ``on_over_budget="raise"``, the proposal breaks the budget.
            BudgetInfeasibleError: nothing fits the budget.
            InputError: the budget bounds a figure that this space does not know.
        """
        budget = None if budget is None else self.bounded(budget)
        values: Values = [options[0] for options in self._choices]
        suggested: set[int] = set()
        while pending := [position for position in self._active(values) if position not in suggested]:
            position = pending[0]  # one at a time, in order: an answer may switch later decisions on or off
            values[position] = trial.suggest_categorical(self.names[position], self._choices[position])
            suggested.add(position)
        proposal = self._wrap(values)
        if budget is None or budget.admits(cost := self.cost(proposal, budget.image_size)):
            return proposal
        if on_over_budget == "raise":
            violations = budget.violations(cost)
            worst = max(violations, key=lambda bound: violations[bound])
            raise OverBudgetError(f"proposal breaks {worst} of the budget ({budget}) by {violations[worst]:.1%}", violations)
        repaired = self.repair(proposal, budget, np.random.default_rng(int(proposal.key[-8:], 16)))
        trial.set_user_attr("architecture", repaired.to_json())
        return repaired

    def sample_many(
        self, n: int, rng: np.random.Generator, budget: Budget | None = None, fill: bool = False
    ) -> list[Architecture]:
        """``n`` samples: never fewer; repeats are possible, above all in small spaces."""
        return [self.sample(rng, budget, fill) for _ in range(n)]

    def crossover(
        self, first: Architecture, second: Architecture, rng: np.random.Generator, budget: Budget | None = None
    ) -> Architecture:
        """Each block of the child, as a whole, comes from one of the parents; repaired where that breaks the budget or is invalid.

        A block that is alive in one parent only comes from that one; decisions outside all blocks come one by one.
        """
        parents = [list(parent.values_tuple) for parent in (first, second)]
        alive = [set(self._active(values)) for values in parents]
        pick: dict[str, int] = {}
        values = []
        for position, name in enumerate(self.names):
            block = self.block_of(name) or name
            if block not in pick:
                pick[block] = int(rng.integers(2))
            parent = pick[block]
            if position not in alive[parent] and position in alive[1 - parent]:
                parent = 1 - parent
            values.append(parents[parent][position])
        child = self._wrap(values, first.in_channels, first.classes)
        return self.repair(child, self.bounded(budget), rng)

    def encode(self, architecture: Architecture) -> np.ndarray:
        """float64 (number of decisions,): the place of each choice among its decision's, in [0, 1]; widths between two choices lie between."""
        return np.array(
            [_place(options, value) for options, value in zip(self._choices, architecture.values_tuple, strict=True)]
        )

    # --- inside ---------------------------------------------------------------------------------------------------

    def _wrap(self, values: Values, in_channels: int | None = None, classes: int | None = None) -> Architecture:
        return self._made(self._canonical(values), in_channels, classes)

    def _made(self, values: Values, in_channels: int | None = None, classes: int | None = None) -> Architecture:
        """The architecture with these canonical values."""
        return Architecture(
            self.name,
            self.version,
            self._index,
            tuple(values),
            self.in_channels if in_channels is None else in_channels,
            self.classes if classes is None else classes,
        )

    def _size(self, image_size: int | None) -> int:
        if image_size is None:
            return self.image_size
        self._check_size(image_size)
        return image_size

    def _check_size(self, image_size: int) -> None:
        if not self.minimum_image_size <= image_size <= 4096:
            raise InputError(
                f"image size {image_size} is out of range for space {self.name!r}; choose {self.minimum_image_size} to 4096"
            )

    def _migrate(self, choices: dict[str, Any], version: Any) -> dict[str, Any]:
        if type(version) is not int or version > self.version:
            raise ArchitectureError(
                f"version {_short(version)} of space {self.name!r} is unknown here (this is {self.version}); update the toolkit"
            )
        while version < self.version:
            if version not in self.migrations:
                raise ArchitectureError(
                    f"version {version} of space {self.name!r} cannot be read by version {self.version}; see the space's notes"
                )
            choices = self.migrations[version](choices)
            version += 1
        return choices

    def _restore(self, decision: str, value: Any) -> Any:
        """JSON turns tuples into lists: give back the choice that is written like ``value``."""
        if isinstance(value, list):
            return next((choice for choice in self.decisions.get(decision, ()) if _listed(choice) == value), value)
        return value


def _choices(decision: str, options: Sequence[Any]) -> tuple[Any, ...]:
    """The choices of a decision, numpy's numbers as Python's: distinct, and such as JSON and a journal of trials can hold."""
    choices = tuple(option.item() if isinstance(option, np.generic) else option for option in options)
    try:
        json.dumps(choices)
        distinct = len(set(choices))
    except TypeError as error:
        raise InputError(
            f"decision {decision!r} has choices {_short(choices)}; each must be None, a number, text or a tuple of these"
        ) from error
    if not choices or distinct < len(choices):
        raise InputError(
            f"decision {decision!r} has choices {_short(choices)}; give at least one, each once (1, True and 1.0 count as the same)"
        )
    return choices


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple | list) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _place(options: tuple[Any, ...], value: Any) -> float:
    if len(options) == 1:
        return 0.0
    if value in options:
        return options.index(value) / (len(options) - 1)
    if not isinstance(value, int | float):
        return 0.0  # a category that only published designs have: it lies between no choices
    return float(np.interp(value, options, np.linspace(0, 1, len(options))))
