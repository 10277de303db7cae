"""The generator as a sampler: learning, directions, objectives, constraints, parallel asks, the same in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import optuna
import pytest
from generator_small_space import BUDGET, small_space, smooth_score

from nas.generator import GeneratorSampler
from search_spaces import Budget, DecisionSpace, InputError, get_space


def best_of(study: optuna.Study) -> float:
    return max(smooth_score(trial.params) for trial in study.trials)


def optimum(budget: Budget) -> float:
    space = small_space()
    rng = np.random.default_rng(0)
    return max(smooth_score(network) for network in space.sample_many(20_000, rng, budget))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_it_finds_the_best_of_thousands_in_forty_evaluations(search, direction: str) -> None:
    study = search(GeneratorSampler(small_space(), BUDGET, seed=1), 40, direction)
    assert best_of(study) == pytest.approx(optimum(BUDGET))


def test_it_finds_it_without_listing_the_space(search) -> None:
    study = search(GeneratorSampler(small_space(), BUDGET, seed=1, enumerate_up_to=0), 40)
    assert best_of(study) >= optimum(BUDGET) - 0.2
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 40


def test_it_starts_near_the_budgets_edge(search) -> None:
    study = search(GeneratorSampler(small_space(), BUDGET, seed=0), 5)
    assert all(1 + sum(trial.params.values()) >= 0.85 * BUDGET.flops for trial in study.trials)


def distance(networks: list) -> float:
    """Mean number of decisions in which two of the networks differ."""
    return float(np.mean([sum(a[n] != b[n] for n in a) for a in networks for b in networks if a is not b]))


def test_workers_that_start_without_a_score_are_sent_to_unlike_networks() -> None:
    spread = {}
    for start in ("diverse", "edge"):
        study = optuna.create_study(sampler=GeneratorSampler(small_space(), BUDGET, seed=0, start=start))
        spread[start] = distance([small_space().suggest(study.ask()) for _ in range(16)])
    assert spread["diverse"] > spread["edge"]


def test_two_scores_end_the_start_when_enough_networks_are_on_their_way() -> None:
    space, following = small_space(), {}
    rng = np.random.default_rng(0)
    networks = [space.sample(rng, BUDGET) for _ in range(5)]
    for scores in (1, 2):
        for start in ("diverse", "uniform"):
            study = optuna.create_study(sampler=GeneratorSampler(space, BUDGET, seed=0, start=start))
            for index, network in enumerate(networks):
                study.enqueue_trial(dict(network))
                trial = study.ask()
                space.suggest(trial)
                if index < scores:
                    study.tell(trial, smooth_score(network))
            following[scores, start] = space.suggest(study.ask()).key
    assert following[1, "diverse"] != following[1, "uniform"]
    assert following[2, "diverse"] == following[2, "uniform"]


def test_several_objectives_spread_over_the_front() -> None:
    space = small_space(4)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=GeneratorSampler(space, None, seed=0))

    def objectives(trial: optuna.Trial) -> tuple[float, float]:
        network = space.suggest(trial)
        return float(sum(value**0.5 for value in network.values())), float(sum(network.values()))

    study.optimize(objectives, n_trials=40)
    costs = {trial.values[1] for trial in study.best_trials}
    assert len(costs) >= 6


def test_constraints_turn_the_search_away_from_what_breaks_them() -> None:
    space = small_space(4)
    study = optuna.create_study(direction="maximize", sampler=GeneratorSampler(space, None, seed=0))

    def objective(trial: optuna.Trial) -> float:
        network = space.suggest(trial)
        trial.set_constraint("few threes", float(sum(v == 3 for v in network.values())) - 1)
        return float(sum(network.values()))

    study.optimize(objective, n_trials=40)
    assert study.best_value == 3 + 2 * 3
    late = study.trials[20:]
    assert np.mean([trial.constraints["few threes"] <= 0 for trial in late]) > 0.5


def test_where_nothing_meets_the_constraints_quality_still_counts() -> None:
    space = small_space()
    study = optuna.create_study(direction="maximize", sampler=GeneratorSampler(space, None, seed=0))

    def objective(trial: optuna.Trial) -> float:
        network = space.suggest(trial)
        trial.set_constraint("never", 1.0)
        return smooth_score(network)

    study.optimize(objective, n_trials=30)
    values = [trial.value or 0.0 for trial in study.trials]
    assert np.mean(values[15:]) > np.mean(values[:5]) + np.std(values[:5])


@pytest.mark.parametrize(("use_audit", "pruned", "expected"), [(False, False, 0.0), (True, False, 1.0), (True, True, 0.0)])
def test_the_audits_screen_counts_where_it_was_asked_for_and_the_network_was_looked_at(
    use_audit: bool, pruned: bool, expected: float
) -> None:
    space = small_space(3)
    sampler = GeneratorSampler(space, None, use_audit=use_audit)
    study = optuna.create_study(sampler=sampler)
    trial = study.ask()
    space.suggest(trial)
    trial.set_constraint("screen", 1.0)
    if pruned:
        trial.report(1.0, 1)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, 1.0)
    sampler.learn(study)
    assert sampler.state()["observations"][0]["violation"] == expected


def test_parallel_asks_are_distinct_and_diverse() -> None:
    space = small_space()
    study = optuna.create_study(direction="maximize", sampler=GeneratorSampler(space, BUDGET, seed=0))
    study.optimize(lambda trial: smooth_score(space.suggest(trial)), n_trials=10)
    networks = [space.suggest(study.ask()) for _ in range(16)]
    assert len({network.key for network in networks}) == 16
    assert distance(networks) > 1.5


def test_what_was_trained_counts_not_what_was_proposed() -> None:
    space = small_space(3)
    sampler = GeneratorSampler(space, None)
    study = optuna.create_study(sampler=sampler)
    trial = study.ask()
    space.suggest(trial)
    repaired = space.architecture({"d0": 1, "d1": 1, "d2": 1})
    trial.set_user_attr("architecture", repaired.to_json())
    study.tell(trial, 0.5)
    sampler.learn(study)
    assert sampler.state()["observations"][0]["architecture"] == repaired.to_json()


def test_pruned_and_failed_networks_are_not_proposed_again() -> None:
    tiny = DecisionSpace("tiny", {"a": (0, 1), "b": (0, 1)}, flops=lambda c: 1.0 + c["a"] + c["b"])
    study = optuna.create_study(sampler=GeneratorSampler(tiny, None, seed=0))
    seen = []
    for outcome in (optuna.trial.TrialState.FAIL, optuna.trial.TrialState.PRUNED, None, None):
        trial = study.ask()
        seen.append(tiny.suggest(trial).key)
        trial.report(0.3, 1)
        study.tell(trial, None if outcome else 0.1, state=outcome)
    assert len(set(seen)) == 4


def test_prototype_comes_first_if_it_fits() -> None:
    space = small_space()
    prototype = space.architecture({f"d{i}": 1 for i in range(6)})
    assert space.suggest(optuna.create_study(sampler=GeneratorSampler(space, BUDGET, prototype=prototype)).ask()) == prototype
    too_large = space.architecture({f"d{i}": 3 for i in range(6)})
    network = space.suggest(optuna.create_study(sampler=GeneratorSampler(space, BUDGET, prototype=too_large)).ask())
    assert BUDGET.admits(space.cost(network))


@pytest.mark.parametrize("name", ["covidnet_small", "covidnet"])  # the second lies between the choices
@pytest.mark.parametrize("tight", [False, True])
def test_a_published_prototype_is_trained_first_and_once(name: str, tight: bool) -> None:
    space = get_space("pepx", classes=3, image_size=64)
    published = space.adopt(space.prototypes()[name])
    budget = Budget(flops=space.cost(published, 64).flops if tight else 1e12, image_size=64)
    sampler = GeneratorSampler(space, budget, prototype=space.prototypes()[name])
    study = optuna.create_study(sampler=sampler)
    networks = [space.suggest(study.ask()) for _ in range(2)]
    for trial in study.trials:
        study.tell(trial.number, 1.0)
    networks += [space.suggest(study.ask()) for _ in range(2)]
    sampler.learn(study)
    first = space.from_json(sampler.state()["observations"][0]["architecture"])
    assert first == networks[0]
    assert np.abs(space.encode(first) - space.encode(published)).max() <= 0.5
    assert (first == published) == all(published[d] in choices for d, choices in space.decisions.items())
    assert len({network.key for network in networks}) == 4
    assert all(budget.admits(space.cost(network, 64)) for network in networks)


def test_unknown_option_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="use_audit"):
        GeneratorSampler(small_space(), BUDGET, temperature=1.0)


@pytest.mark.parametrize("parts", [(), ("paths",), ("counts",), ("proxies",)])
def test_parts_that_see_nothing_of_a_space_are_refused_by_name(parts: tuple[str, ...]) -> None:
    study = optuna.create_study(sampler=GeneratorSampler(small_space(2), BUDGET, parts=parts))
    with pytest.raises(InputError, match="sees nothing of space 'small'; add 'joint'"):
        small_space(2).suggest(study.ask())


def test_parameters_that_are_no_decisions_are_drawn_beside_them() -> None:
    space = small_space()
    study = optuna.create_study(sampler=GeneratorSampler(space, BUDGET, seed=0))
    rates = [
        trial.suggest_float("rate", 1e-4, 1e-1, log=True) + 0 * len(space.suggest(trial))
        for trial in (study.ask(), study.ask())
    ]
    assert rates[0] != rates[1]


def test_whole_numbers_of_any_size_are_drawn() -> None:
    study = optuna.create_study(sampler=GeneratorSampler(small_space(2), None, seed=0))
    drawn = [study.ask().suggest_int("seed", 2**62, 2**64 - 1) for _ in range(20)]
    assert len(set(drawn)) == 20
    assert max(drawn) > 2**63


SCRIPT = """
import sys; sys.path.insert(0, {tests!r})
import json, optuna
from generator_small_space import BUDGET, small_space, smooth_score
from nas.generator import GeneratorSampler
optuna.logging.set_verbosity(optuna.logging.ERROR)
space = small_space()
study = optuna.create_study(direction="maximize", sampler=GeneratorSampler(space, BUDGET, seed=7, enumerate_up_to={limit}))
study.optimize(lambda trial: smooth_score(space.suggest(trial)), n_trials=14)
print(json.dumps([trial.params for trial in study.trials]))
"""


@pytest.mark.parametrize("limit", [40_000, 0])
def test_another_process_with_another_hash_seed_proposes_the_same(limit: int) -> None:
    script = SCRIPT.format(tests=os.path.dirname(__file__), limit=limit)
    outputs = []
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
        outputs.append(json.loads(done.stdout))
    assert outputs[0] == outputs[1]


def test_a_resumed_study_goes_on_as_the_first_would_have(tmp_path) -> None:
    space = small_space()

    def study_on(name: str, trials: list[int]) -> list[dict]:
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / name)))
        for n in trials:  # a new sampler, and so a new process's worth of state, for each stretch
            study = optuna.create_study(
                storage=storage, study_name="s", direction="maximize", load_if_exists=True,
                sampler=GeneratorSampler(space, BUDGET, seed=3),
            )  # fmt: skip
            study.optimize(lambda trial: smooth_score(space.suggest(trial)), n_trials=n)
        return [trial.params for trial in study.trials]

    assert study_on("whole", [17]) == study_on("parts", [8, 9])
