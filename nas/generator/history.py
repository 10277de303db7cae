"""What a study knows about a space: finished trials as observations, running ones as pending, and every network seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import TrialState

from nas.generator.columns import Array
from search_spaces.errors import ArchitectureError

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from search_spaces import Architecture
    from search_spaces.space import SearchSpace

PROPOSAL = "generator:proposal"  # system attribute of a trial: the architecture proposed for it, before any parameter is set
ASKING = RLock()  # held while a sampler proposes: threads take turns, so that each sees what was proposed to the others
SCREEN = "screen"  # name of the constraint that the audit's cheap look sets


@dataclass(frozen=True)
class Observation:
    """One network with its scores; larger is better for each, whatever the study's directions."""

    architecture: Architecture
    values: tuple[float, ...]
    standard_error: float = 0.0
    violation: float = 0.0  # sum of positive constraints
    block_importances: dict[str, float] = field(default_factory=dict)
    complete: bool = True  # False: pruned; its values are those of its last report


@dataclass(frozen=True)
class History:
    """Observations in the order in which they were finished, pending networks, keys of all networks ever proposed.

    ``unnamed`` counts running trials of whose proposal nothing is known yet; ``fixed`` are the choices that the asking trial
    brings itself.
    """

    observations: tuple[Observation, ...]
    pending: tuple[Architecture, ...]
    seen: frozenset[str]
    unnamed: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def values(self) -> Array:
        """float64 (n, objectives)."""
        return np.array([o.values for o in self.observations], dtype=float).reshape(len(self.observations), -1)

    def standard_errors(self) -> Array:
        """float64 (n,)."""
        return np.array([o.standard_error for o in self.observations])


class HistoryReader:
    """Reads a study again and again, parsing each finished trial once."""

    def __init__(self, space: SearchSpace, *, use_audit: bool) -> None:
        self._space = space
        self._use_audit = use_audit
        self._parsed: dict[tuple[Any, ...], tuple[Architecture | None, frozenset[str], Observation | None]] = {}

    def read(self, study: Study, current: FrozenTrial | None = None, hidden: Mapping[str, Any] | None = None) -> History:
        """The history as the trial ``current`` may know it; ``hidden``: choices fixed beside those that it was enqueued with."""
        observations, pending, unnamed = [], [], 0
        seen: set[str] = set()
        for trial in sorted(study.get_trials(deepcopy=False), key=_order):
            if (current is not None and trial.number == current.number) or _abandoned(trial):
                continue
            architecture, keys, observation = self._parse(study, trial)
            seen |= keys
            if observation is not None:
                observations.append(observation)
            elif architecture is not None and not trial.state.is_finished():
                pending.append(architecture)
            elif trial.state == TrialState.RUNNING and (current is None or trial.number < current.number):
                unnamed += 1
        fixed = {} if current is None else {**(hidden or {}), **_choices(current, self._space)}
        return History(tuple(observations), tuple(pending), frozenset(seen), unnamed, fixed)

    def _parse(self, study: Study, trial: FrozenTrial) -> tuple[Architecture | None, frozenset[str], Observation | None]:
        """Its network, the keys of all networks that it leaves as seen, and its scores."""
        # the times tell it from the trial of that number in a study of that name in another storage
        name = (study.study_name, trial.number, trial.datetime_start, trial.datetime_complete)
        if name not in self._parsed:
            architecture = architecture_of(trial, self._space)
            known = (architecture, _followed(trial, self._space))
            keys = frozenset(network.key for network in known if network is not None)
            parsed = architecture, keys, self._observe(study, trial, architecture)
            if not trial.state.is_finished():
                return parsed
            self._parsed[name] = parsed
        return self._parsed[name]

    def _observe(self, study: Study, trial: FrozenTrial, architecture: Architecture | None) -> Observation | None:
        values = _values(study, trial)
        if architecture is None or values is None:
            return None
        attributes = trial.user_attrs
        complete = trial.state == TrialState.COMPLETE
        screened = self._use_audit and complete  # a pruned network was not looked at: its constraint is there for Optuna's sake
        constraints = {n: v for n, v in trial.constraints.items() if screened or n != SCREEN}
        return Observation(
            architecture=architecture,
            values=values,
            standard_error=_number(attributes.get("standard_error")),
            violation=sum(max(value, 0.0) for value in constraints.values()),
            block_importances={str(k): _number(v) for k, v in (attributes.get("block_importances") or {}).items()},
            complete=complete,
        )


def _abandoned(trial: FrozenTrial) -> bool:
    """Whether its worker died before the network was accepted: the engine then goes on as if it had never been asked for."""
    return "lost" in trial.user_attrs and "index" not in trial.user_attrs


def architecture_of(trial: FrozenTrial, space: SearchSpace) -> Architecture | None:
    """The network of a trial: as its user attribute says (what was trained), else its parameters, else what was proposed."""
    sources = (trial.user_attrs.get("architecture"), _choices(trial, space), trial.system_attrs.get(PROPOSAL))
    return next((network for source in sources if (network := read_network(source, space)) is not None), None)


def write_proposal(study: Study, trial: FrozenTrial, network: Architecture, space: SearchSpace) -> None:
    """Leave in a trial the network that it will train: what is proposed, but for the choices that an enqueued trial brings."""
    network = imposed(network, _choices(trial, space), space) or network
    study._storage.set_trial_system_attr(trial._trial_id, PROPOSAL, network.to_json())


def imposed(network: Architecture, fixed: Mapping[str, Any], space: SearchSpace) -> Architecture | None:
    """The network with the choices ``fixed`` in place of its own; ``None``: the space has none such."""
    return read_network({**network.choices, **fixed}, space) if fixed else network


def _followed(trial: FrozenTrial, space: SearchSpace) -> Architecture | None:
    """What was proposed for a trial that was not enqueued with choices of its own.

    Its key counts as seen even where another network was trained instead (one repaired to a budget, the nearest choices of a
    published point): proposed again, it would come to the same.
    """
    return None if "fixed_params" in trial.system_attrs else read_network(trial.system_attrs.get(PROPOSAL), space)


def read_network(source: Any, space: SearchSpace) -> Architecture | None:
    """A network from its JSON or its bare choices; ``None``: it is of another space, or not all choices are made yet."""
    if not isinstance(source, Mapping) or not source:
        return None
    bare = not {"space", "choices"} <= set(source)
    try:  # not ``space.architecture``: storages turn tuples into lists, which this gives back
        return space.from_json({"space": space.name, "version": space.version, "choices": source} if bare else source)
    except ArchitectureError:
        return None


def _choices(trial: FrozenTrial, space: SearchSpace) -> dict[str, Any]:
    fixed = trial.system_attrs.get("fixed_params", {})  # of an enqueued trial
    return {name: value for name, value in {**fixed, **trial.params}.items() if name in space.decisions}


def _values(study: Study, trial: FrozenTrial) -> tuple[float, ...] | None:
    """The trial's values with larger better; a pruned trial gives its last report."""
    values: Sequence[float] | None = None
    if trial.state == TrialState.COMPLETE:
        values = trial.values
    elif trial.state == TrialState.PRUNED and trial.intermediate_values and len(study.directions) == 1:
        values = [trial.intermediate_values[max(trial.intermediate_values)]]
    if values is None or not np.isfinite(values).all():
        return None
    return tuple(-v if d == StudyDirection.MINIMIZE else v for v, d in zip(values, study.directions, strict=True))


def _order(trial: FrozenTrial) -> tuple[float, int]:
    """Finished trials as they finished, then the others: what is known only ever grows at its end."""
    done = trial.datetime_complete if trial.state.is_finished() else None
    return (np.inf if done is None else done.timestamp(), trial.number)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else 0.0
