"""Every sampler, by name: feasible, without repeats, better than nothing."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import weakref

import numpy as np
import optuna
import pytest
from generator_small_space import small_space, smooth_score

from nas.generator import make_sampler, register_sampler, sampler_descriptions, sampler_names
from search_spaces import Budget, BudgetInfeasibleError, DecisionSpace, InputError, get_space

BUDGET = Budget(flops=9)
NAMES = ("generator", "random", "tpe", "gp", "nsga2", "evolution")


def test_own_samplers_are_listed_with_the_default_first() -> None:
    assert tuple(sampler_names()[: len(NAMES)]) == NAMES


def test_every_sampler_describes_itself() -> None:
    assert all(sampler_descriptions()[name] for name in NAMES)


def test_importing_the_package_imports_neither_optuna_nor_torch() -> None:
    code = "import sys, nas.generator; assert not {'optuna', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_sampler_names_the_known_ones(space: DecisionSpace) -> None:
    with pytest.raises(InputError, match="generator"):
        make_sampler("annealing", space, None, 0)


def test_taken_name_is_refused() -> None:
    with pytest.raises(InputError, match="already"):
        register_sampler("tpe")(lambda *_: optuna.samplers.RandomSampler())


@pytest.mark.parametrize("name", NAMES)
def test_no_network_is_repeated_and_none_is_over_budget(name: str, space: DecisionSpace, search) -> None:
    study = search(make_sampler(name, space, BUDGET, 3), 16 if name == "gp" else 40)
    networks = [space.architecture(trial.params) for trial in study.trials]
    assert len({network.key for network in networks}) == len(networks)
    assert all(BUDGET.admits(space.cost(network)) for network in networks)


@pytest.mark.parametrize("name", NAMES)
def test_impossible_budget_is_reported_with_the_smallest_cost(name: str, space: DecisionSpace) -> None:
    study = optuna.create_study(sampler=make_sampler(name, space, Budget(flops=0.5), 0))
    with pytest.raises(BudgetInfeasibleError) as caught:
        space.suggest(study.ask())
    assert caught.value.smallest["flops"] == 1
    with pytest.raises(BudgetInfeasibleError) as own:
        space.sample(np.random.default_rng(0), Budget(flops=0.5))
    assert str(caught.value) == str(own.value)
    study = optuna.create_study(sampler=make_sampler(name, space, Budget(min_flops=1e12), 0))
    with pytest.raises(BudgetInfeasibleError, match="above the largest reachable"):
        space.suggest(study.ask())


@pytest.mark.parametrize("name", NAMES)
def test_a_bound_on_a_cost_that_the_space_does_not_declare_is_refused(name: str, space: DecisionSpace) -> None:
    with pytest.raises(InputError, match="declares no cost for parameters"):
        make_sampler(name, space, Budget(parameters=5), 0)


@pytest.mark.parametrize("name", NAMES)
def test_threads_that_ask_at_once_repeat_no_network(name: str, space: DecisionSpace) -> None:
    study = optuna.create_study(sampler=make_sampler(name, space, BUDGET, 0))
    study.optimize(lambda trial: float(sum(space.suggest(trial).values())), n_trials=12 if name == "gp" else 40, n_jobs=4)
    assert len({space.architecture(trial.params).key for trial in study.trials}) == len(study.trials)


@pytest.mark.parametrize("name", NAMES)
def test_a_space_that_is_used_up_is_searched_again_rather_than_hung(name: str) -> None:
    tiny = DecisionSpace("tiny", {"a": (0, 1), "b": (0, 1)}, flops=lambda c: 1.0 + c["a"] + c["b"])
    study = optuna.create_study(sampler=make_sampler(name, tiny, Budget(flops=2), 0))
    study.optimize(lambda trial: float(tiny.suggest(trial)["a"]), n_trials=5)
    assert {tuple(trial.params.values()) for trial in study.trials} == {(0, 0), (0, 1), (1, 0)}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "gp"])  # which takes seconds for each of so many
def test_a_space_is_proposed_to_its_last_network(name: str) -> None:
    space = DecisionSpace("few", {f"d{i}": (0, 1, 2) for i in range(4)}, flops=lambda choice: 1.0 + sum(choice.values()))
    study = optuna.create_study(sampler=make_sampler(name, space, None, 0))
    study.optimize(lambda trial: float(sum(space.suggest(trial).values())), n_trials=81)
    assert len({space.architecture(trial.params).key for trial in study.trials}) == 81


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["enqueued", "fixed"])
@pytest.mark.filterwarnings("ignore:PartialFixedSampler is experimental")
def test_the_choices_that_a_trial_brings_are_kept_within_the_budget_and_none_is_repeated(name: str, how: str) -> None:
    space = small_space(4)
    sampler, budget = make_sampler(name, space, Budget(flops=6), 0), Budget(flops=6)
    own = {"d0": 3, "d2": 1}  # which leave 1 to d1 and d3 together
    if how == "fixed":
        sampler = optuna.samplers.PartialFixedSampler(own, sampler)
    study = optuna.create_study(sampler=sampler)
    for _ in range(4 if how == "enqueued" else 0):
        study.enqueue_trial(own)
    study.optimize(lambda trial: float(sum(space.suggest(trial).values())), n_trials=4)
    networks = [space.architecture(trial.params) for trial in study.trials]
    assert all(network["d0"] == 3 and network["d2"] == 1 for network in networks)
    assert all(budget.admits(space.cost(network)) for network in networks)
    assert len(set(networks)) == 3  # all that there are; only then is one trained again


@pytest.mark.parametrize("name", NAMES)
def test_a_sampler_of_networks_that_was_used_can_be_pickled(name: str) -> None:
    space, budget = get_space("fire", image_size=32), Budget(flops=2e6, image_size=32)
    study = optuna.create_study(sampler=make_sampler(name, space, budget, 0))
    study.optimize(lambda trial: float(len(space.suggest(trial))), n_trials=6)
    study.sampler = pickle.loads(pickle.dumps(study.sampler))
    study.optimize(lambda trial: float(len(space.suggest(trial))), n_trials=1)
    assert len({space.architecture(trial.params).key for trial in study.trials}) == 7


def test_a_space_that_nobody_uses_any_more_takes_no_memory() -> None:
    space = small_space()
    known = weakref.ref(space)
    study = optuna.create_study(sampler=make_sampler("generator", space, BUDGET, 0))
    space.suggest(study.ask())
    del space, study
    gc.collect()
    assert known() is None


def test_evolution_goes_by_each_of_several_objectives(space: DecisionSpace) -> None:
    study = optuna.create_study(directions=["maximize", "maximize"], sampler=make_sampler("evolution", space, BUDGET, 0))
    study.optimize(lambda trial: (0.0, smooth_score(space.suggest(trial))), n_trials=100)
    second = [trial.values[1] for trial in study.trials]
    assert np.mean(second[50:]) > np.mean(second[:25]) + 1.0  # of the first alone: 0.4 by chance
