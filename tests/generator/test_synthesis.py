"""θ_G: where it starts, how it moves, what it says about why, and how it is kept."""

from __future__ import annotations

import json

import numpy as np
import optuna
import pytest
from generator_small_space import BUDGET, small_space, smooth_score

from nas.generator import GeneratorSampler
from nas.generator.history import Observation
from nas.generator.synthesis import GeneratorDistribution, block_weights, elites_of
from search_spaces import Budget, DecisionSpace, InputError, get_space


def test_it_starts_uniform_or_at_the_prototype() -> None:
    space = small_space(3)
    assert GeneratorDistribution(space).probabilities["d0"].tolist() == [0.25] * 4
    at = GeneratorDistribution(space, space.architecture({"d0": 2, "d1": 0, "d2": 0})).probabilities["d0"]
    assert at.tolist() == pytest.approx([0.1, 0.1, 0.7, 0.1])


def test_an_update_moves_towards_the_elites_and_stays_a_distribution() -> None:
    space = small_space(2)
    theta = GeneratorDistribution(space)
    elites = [space.architecture({"d0": 3, "d1": 0}), space.architecture({"d0": 3, "d1": 1})]
    step = theta.update(elites, np.array([0.75, 0.25]), {"d1": 0.5})
    assert step["d0"].tolist() == pytest.approx([-0.075, -0.075, -0.075, 0.225])
    assert step["d1"].tolist() == pytest.approx([0.075, 0.0, -0.0375, -0.0375])
    assert all(p.sum() == pytest.approx(1.0) and (p >= 0).all() for p in theta.probabilities.values())


def test_draws_keep_the_budget_and_follow_the_distribution() -> None:
    space, rng = small_space(4), np.random.default_rng(0)
    theta = GeneratorDistribution(space)
    theta.load({name: [0.0, 0.0, 0.0, 1.0] if name == "d0" else [1.0, 0.0, 0.0, 0.0] for name in space.decisions})
    assert all(theta.draw(rng, None).choices == {"d0": 3, "d1": 0, "d2": 0, "d3": 0} for _ in range(5))
    tight = Budget(flops=3)
    assert all(tight.admits(space.cost(theta.draw(rng, tight))) for _ in range(20))


def test_elites_meet_the_constraints() -> None:
    space = small_space(1)
    networks = [space.architecture({"d0": value}) for value in range(4)]
    observations = [Observation(n, (float(i),), violation=float(i == 3)) for i, n in enumerate(networks)]
    best, weights = elites_of(observations, np.arange(4.0))
    assert best == [2, 1, 0]
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] > weights[1] > weights[2]


def test_blocks_whose_value_per_flop_stands_out_are_changed_most() -> None:
    space = get_space("pepx", classes=3, image_size=64)
    network = space.sample(np.random.default_rng(0), Budget(flops=20e6, image_size=64))
    blocks = {block.name: block.flops for block in space.cost(network, 64).blocks if block.flops}
    total = sum(blocks.values())
    worth = {name: flops / total for name, flops in blocks.items()}  # as valuable as they are dear …
    chosen = next(name for name in blocks if name.startswith("stage"))
    worth[chosen] *= 50  # … but for one
    weights, values = block_weights(space, [Observation(network, (0.0,), block_importances=worth)], None)
    assert max(values, key=values.__getitem__) == chosen
    own = [weight for name, weight in weights.items() if space.block_of(name) == chosen]
    assert own
    assert max(own) == pytest.approx(1.0)
    assert min(weights.values()) >= 0.2
    assert block_weights(space, [Observation(network, (0.0,))], None) == ({}, {})


def test_the_log_explains_each_round_in_plain_data(search) -> None:
    sampler = GeneratorSampler(small_space(), BUDGET, seed=0)
    search(sampler, 16)
    assert [entry["round"] for entry in sampler.log] == [1, 2, 3]
    last = json.loads(json.dumps(sampler.log))[-1]
    assert last["observations"] == 15
    assert last["moved"][0]["decision"] in small_space().decisions
    assert last["surrogate"]["joint"] > 0
    assert last["elites"]


def test_a_saved_generator_goes_on_generating(search) -> None:
    space = small_space()
    sampler = GeneratorSampler(space, BUDGET, seed=0)
    study = search(sampler, 20)
    sampler.learn(study)
    state = json.loads(json.dumps(sampler.state()))
    restored = GeneratorSampler.from_state(state, space)
    made = sampler.generate(10)
    assert [n.key for n in restored.generate(10)] == [n.key for n in made]
    assert len({n.key for n in made} | {space.architecture(t.params).key for t in study.trials}) == 30
    assert all(BUDGET.admits(space.cost(n)) for n in made)
    smaller = Budget(flops=8)
    assert all(smaller.admits(space.cost(n)) for n in restored.generate(3, smaller))
    assert restored.log == sampler.log


@pytest.mark.parametrize("limit", [40_000, 0])
def test_a_saved_generator_goes_on_in_another_study_and_in_its_own(search, limit: int) -> None:
    space = small_space()
    sampler = GeneratorSampler(space, BUDGET, seed=0, enumerate_up_to=limit)
    study = search(sampler, 15)
    sampler.learn(study)
    state = json.loads(json.dumps(sampler.state()))
    fresh = search(GeneratorSampler.from_state(state, space), 10)
    assert len({space.architecture(trial.params).key for trial in [*study.trials, *fresh.trials]}) == 25
    assert np.mean([trial.value for trial in fresh.trials]) > np.mean([trial.value for trial in study.trials[:10]])
    whole = search(GeneratorSampler(space, BUDGET, seed=0, enumerate_up_to=limit), 16)
    resumed = optuna.create_study(direction="maximize", sampler=GeneratorSampler.from_state(state, space))
    resumed.add_trials(study.trials)
    assert dict(space.suggest(resumed.ask())) == whole.trials[15].params
    restored = GeneratorSampler.from_state(state, space)
    restored.learn(whole)
    assert restored.log == sampler.log
    with pytest.raises(InputError, match="the study has 2 objectives"):
        space.suggest(optuna.create_study(directions=["minimize"] * 2, sampler=restored).ask())


@pytest.mark.parametrize("limit", [40_000, 0])
def test_a_sampler_that_goes_on_to_another_study_starts_anew(limit: int) -> None:
    space = small_space()

    def proposals(sampler: GeneratorSampler) -> list[str]:
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.optimize(lambda trial: float(space.suggest(trial)["d5"]), n_trials=20)
        return [space.architecture(trial.params).key for trial in study.trials]

    used = GeneratorSampler(space, BUDGET, seed=0, enumerate_up_to=limit)
    other = optuna.create_study(direction="maximize", sampler=used)
    other.optimize(lambda trial: smooth_score(space.suggest(trial)), n_trials=8)
    assert proposals(used) == proposals(GeneratorSampler(space, BUDGET, seed=0, enumerate_up_to=limit))


def test_generating_stops_where_nothing_is_left() -> None:
    tiny = DecisionSpace("tiny", {"a": (0, 1), "b": (0, 1)}, flops=lambda c: 1.0 + c["a"] + c["b"])
    sampler = GeneratorSampler(tiny, Budget(flops=2))
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: float(tiny.suggest(trial)["a"]), n_trials=2)
    sampler.learn(study)
    assert len(sampler.generate(5)) == 1


def test_a_state_of_another_space_is_refused() -> None:
    state = GeneratorSampler(small_space(), BUDGET).state()
    with pytest.raises(InputError, match="space"):
        GeneratorSampler.from_state(state, DecisionSpace("other", {"a": (0, 1)}))
    for strange in ({"a": (0, 1)}, {**small_space().decisions, "d5": (0, 1, 2)}):
        with pytest.raises(InputError, match=r"other choices of '(a|d5)'"):
            GeneratorSampler.from_state(state, DecisionSpace("small", strange))
    with pytest.raises(InputError, match="format"):
        GeneratorSampler.from_state({**state, "format": 99}, small_space())
