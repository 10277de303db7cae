"""What the representation of a space of many decisions believes before anything was observed; infinite costs in it."""

from math import inf

import numpy as np
import optuna
import pytest
from generator_small_space import smooth_score

from nas.generator import GeneratorSampler
from nas.generator.costs import Costs
from nas.generator.representation import TIED_ABOVE, Representation
from nas.generator.surrogate import Posterior, Surrogate
from search_spaces import Budget, DecisionSpace, get_space


def test_each_role_weighs_alike_however_many_decisions_share_it_and_blocks_are_no_cell() -> None:
    space, budget = get_space("pepx", classes=2, image_size=32), Budget(flops=400_000, image_size=32)
    networks = space.sample_many(20, np.random.default_rng(0), budget)
    representation = Representation(Costs(space, budget), networks)
    assert len(space.decisions) > TIED_ABOVE
    assert [part.name for part in representation.parts] == ["joint", "cost"]  # no paths; roles stand for counts
    joint = next(part for part in representation.parts if part.name == "joint")
    weights = np.exp(joint.tie @ joint.mean)
    totals: dict[str, float] = {}
    start = 0
    for name, choices in space.decisions.items():
        role = name.rpartition(".")[2]
        totals[role] = totals.get(role, 0.0) + float(weights[start])
        start += len(choices)
    assert list(totals.values()) == pytest.approx([2.0 / len(totals)] * len(totals))


def test_where_decisions_are_tied_a_lucky_score_is_taken_for_noise_sooner() -> None:
    space, budget = get_space("pepx", classes=2, image_size=32), Budget(flops=400_000, image_size=32)
    networks = space.sample_many(20, np.random.default_rng(0), budget)
    representation = Representation(Costs(space, budget), networks)
    inputs, scores = representation.encode(networks), np.append(2.0, np.zeros(19))
    trusted = {}
    for name, surrogate in (
        ("tied", Surrogate(representation.parts, representation.noise)),
        ("free", Surrogate(representation.parts)),
    ):
        surrogate.fit(inputs, scores, np.zeros(20))
        posterior = Posterior(surrogate, [x[:1] for x in inputs]).observe(inputs, np.zeros(20))
        trusted[name] = float(posterior.predict(scores)[0][0])
    assert trusted["tied"] < 1.2 < 1.6 < trusted["free"]


@pytest.mark.parametrize("budget", [None, Budget(flops=9.0)])
@pytest.mark.parametrize("listed", [40_000, 0])
def test_an_invalid_network_that_was_scored_does_not_silence_the_surrogate(budget: Budget | None, listed: int) -> None:
    invalid = {"d0": 3, "d1": 3, "d2": 0, "d3": 0, "d4": 0}
    decisions = dict.fromkeys(invalid, (0, 1, 2, 3))
    space = DecisionSpace("holes", decisions, flops=lambda c: inf if c["d0"] == c["d1"] == 3 else 1.0 + sum(c.values()))
    study = optuna.create_study(direction="maximize", sampler=GeneratorSampler(space, budget, seed=0, enumerate_up_to=listed))
    study.enqueue_trial(invalid)
    study.optimize(lambda trial: smooth_score(space.suggest(trial)), n_trials=30)
    networks = space.sample_many(20_000, np.random.default_rng(0), budget)
    assert study.best_value == max(map(smooth_score, networks))
