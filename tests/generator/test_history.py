"""What a study is read as: each score is that of the network that was trained, whatever a storage made of its choices."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from generator_small_space import BUDGET, small_space, smooth_score
from optuna.distributions import CategoricalDistribution
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from nas.generator import GeneratorSampler
from nas.generator.history import HistoryReader
from search_spaces import Budget, DecisionSpace


def tuples() -> DecisionSpace:
    return DecisionSpace("tuples", {"kernels": ((1, 3), (3, 5), (5, 7)), "depth": (1, 2, 3)}, flops=lambda choice: 1.0)


@pytest.fixture(params=["memory", "journal"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> BaseStorage:
    return InMemoryStorage() if request.param == "memory" else JournalStorage(JournalFileBackend(str(tmp_path / "journal")))


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")  # Optuna warns of tuples in a storage
def test_an_enqueued_trial_with_tuples_is_credited_to_what_it_trained(storage: BaseStorage) -> None:
    space, trained = tuples(), []
    study = optuna.create_study(storage=storage, sampler=GeneratorSampler(space, None, seed=0))
    for depth in (3, 2, 1, 3, 2, 1):  # the sampler chooses the kernels
        study.enqueue_trial({"depth": depth})
        trial = study.ask()
        trained.append(space.suggest(trial))
        study.tell(trial, float(depth))
    history = HistoryReader(space, use_audit=False).read(study)
    assert [observation.architecture["depth"] for observation in history.observations] == [3, 2, 1, 3, 2, 1]
    kernels = [tuple(trial.params["kernels"]) for trial in study.trials]
    assert [observation.architecture["kernels"] for observation in history.observations] == kernels


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_imported_trials_with_tuples_are_observed(storage: BaseStorage) -> None:
    space = tuples()
    study = optuna.create_study(storage=storage)
    distributions = {name: CategoricalDistribution(choices) for name, choices in space.decisions.items()}
    for kernels in space.decisions["kernels"]:
        params = {"kernels": kernels, "depth": 2}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=1.0))
    observed = HistoryReader(space, use_audit=False).read(study).observations
    assert [observation.architecture["kernels"] for observation in observed] == [(1, 3), (3, 5), (5, 7)]


def test_a_sampler_without_a_budget_moves_on_from_proposals_that_were_repaired() -> None:
    space = small_space(3)
    study = optuna.create_study(sampler=GeneratorSampler(space, None, seed=0))
    trained = []

    def objective(trial: optuna.Trial) -> float:
        trained.append(space.suggest(trial, Budget(flops=2)))  # four networks fit
        return float(sum(trained[-1].values()))

    study.optimize(objective, n_trials=12)
    assert len({space.architecture(trial.params) for trial in study.trials}) == 12
    history = HistoryReader(space, use_audit=False).read(study)
    assert [observation.architecture for observation in history.observations] == trained


def test_the_proposal_of_a_trial_enqueued_in_part_is_what_it_will_train() -> None:
    space = small_space()
    study = optuna.create_study(sampler=GeneratorSampler(space, None, seed=0))
    for value in range(4):
        study.enqueue_trial({"d5": value})
        trial = study.ask()
        trial.suggest_categorical("d0", space.decisions["d0"])
        believed = HistoryReader(space, use_audit=False).read(study).pending[-1]
        assert believed == space.suggest(trial)


def test_what_an_enqueued_trial_did_not_follow_may_still_be_proposed() -> None:
    space = small_space(3)
    study = optuna.create_study(sampler=GeneratorSampler(space, None, seed=0))
    study.enqueue_trial({"d0": 0, "d1": 0, "d2": 0})
    network = space.suggest(study.ask())
    assert HistoryReader(space, use_audit=False).read(study).seen == {network.key}


def test_a_sampler_used_for_another_study_of_the_same_name_learns_from_that_one() -> None:
    def values(sampler: GeneratorSampler, direction: str) -> list[float]:
        study = optuna.create_study(study_name="same", direction=direction, sampler=sampler)
        study.optimize(lambda trial: smooth_score(small_space().suggest(trial)), n_trials=15)
        return [trial.value for trial in study.trials]

    reused = GeneratorSampler(small_space(), BUDGET, seed=0)
    values(reused, "maximize")
    assert values(reused, "minimize") == values(GeneratorSampler(small_space(), BUDGET, seed=0), "minimize")
