"""Spaces without networks: exact by enumeration when small, feasible by construction when large."""

from __future__ import annotations

import functools
import itertools
import json
import math

import numpy as np
import optuna
import pytest

from search_spaces import Budget, BudgetInfeasibleError, DecisionSpace, InputError, OverBudgetError


@pytest.fixture
def cells():
    return DecisionSpace("cells", {"edge0": (0, 1, 2), "edge1": (0, 1, 2)}, flops=lambda choice: 1e6 * sum(choice.values()))


def large(**options) -> DecisionSpace:
    decisions = {f"e{i}": tuple(range(1, 8)) for i in range(30)}
    return DecisionSpace("large", decisions, **({"flops": lambda choice: sum(choice.values())} | options))


def test_samples_cover_the_feasible_points_evenly(cells):
    points = [tuple(a.values()) for a in cells.sample_many(3000, np.random.default_rng(0), Budget(flops=2e6))]
    counts = {point: points.count(point) for point in set(points)}
    assert set(counts) == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)}
    assert min(counts.values()) > 400


def test_an_infinite_cost_marks_an_invalid_combination():
    space = DecisionSpace("holes", {"a": (0, 1), "b": (0, 1)}, flops=lambda c: math.inf if c["a"] == c["b"] else 1.0)
    rng = np.random.default_rng(0)
    assert {tuple(a.values()) for a in space.sample_many(50, rng)} == {(0, 1), (1, 0)}
    assert space.repair(space.architecture({"a": 0, "b": 0}), Budget(flops=2), rng)["a"] in (0, 1)


def test_canonical_names_the_same_network():
    space = DecisionSpace(
        "same", {"a": (0, 1), "b": (0, 1)}, flops=lambda c: 1.0, canonical=lambda c: tuple(sorted(c.values()))
    )
    assert space.architecture({"a": 0, "b": 1}) == space.architecture({"a": 1, "b": 0})
    assert len(list(space.neighbours(space.architecture({"a": 0, "b": 0})))) == 1


@pytest.mark.parametrize("choices", [(0, False), (1, 1.0), (1, 1), (), ([1], [2]), (b"a", b"b")])
def test_choices_that_are_no_distinct_plain_data_are_refused(choices):
    with pytest.raises(InputError, match="decision 'a' has choices"):
        DecisionSpace("s", {"a": choices})


def test_numpys_choices_become_numbers():
    space = DecisionSpace(
        "s", {"a": np.arange(3), "b": (np.float32(0.5), None)}, flops={"a": dict.fromkeys(range(3), 1), "b": {0.5: 1, None: 1}}
    )
    assert json.loads(json.dumps(space.sample(np.random.default_rng(0)).to_json()))["choices"]["a"] in (0, 1, 2)
    assert space.decisions == {"a": (0, 1, 2), "b": (0.5, None)}


@pytest.mark.parametrize("smallest", [{"a": 9, "b": 1}, {"a": 1}, {"a": 1, "b": 1, "c": 1}])
def test_a_declared_smallest_is_a_point_of_the_space(smallest):
    with pytest.raises(InputError):
        DecisionSpace("s", {"a": (1, 2), "b": (1, 2)}, flops=lambda c: c["a"], smallest=smallest)


def test_smallest_and_infeasible_are_exact(cells):
    assert cells.smallest() == {"flops": 0.0}
    space = DecisionSpace("two", {"a": (1, 2)}, flops=lambda c: c["a"], parameters=lambda c: 3 - c["a"])
    with pytest.raises(BudgetInfeasibleError, match="can each be met but not together"):
        space.sample(np.random.default_rng(0), Budget(flops=1, parameters=1))


def test_a_lower_bound_that_no_point_meets_is_refused_by_every_proposal(cells):
    rng, budget = np.random.default_rng(0), Budget(flops=3.5e6, min_flops=3.2e6)
    point = cells.sample(rng)
    for propose in (
        lambda: cells.sample(rng, budget),
        lambda: cells.mutate(point, rng, budget),
        lambda: cells.repair(point, budget, rng),
        lambda: list(cells.neighbours(point, budget)),
    ):
        with pytest.raises(BudgetInfeasibleError, match="largest reachable 3,000,000 with flops ≤ 3,500,000"):
            propose()


def test_repair_finds_a_nearest_point():
    space = DecisionSpace("near", dict.fromkeys("abcd", (0, 1, 2)), flops=lambda c: sum(c.values()))
    rng = np.random.default_rng(0)
    for most, changes in ((6, 1), (4, 2), (2, 3), (1, 4)):
        near = space.repair(space.architecture(dict.fromkeys("abcd", 2)), Budget(flops=most), rng)
        assert sum(value != 2 for value in near.values()) == changes


def test_crossover_mixes_the_parents_decisions_one_by_one():
    space, rng = large(), np.random.default_rng(0)
    first, second = space.architecture(dict.fromkeys(space.decisions, 1)), space.architecture(dict.fromkeys(space.decisions, 7))
    child = list(space.crossover(first, second, rng).values())
    assert set(child) == {1, 7}
    assert 5 < child.count(1) < 25


def test_a_bound_without_a_cost_is_refused(cells):
    with pytest.raises(InputError, match="declares no cost for memory"):
        cells.sample(np.random.default_rng(0), Budget(memory=1))
    with pytest.raises(InputError, match="declares no cost for memory"):
        cells.suggest(optuna.trial.FixedTrial({"edge0": 0, "edge1": 0}), Budget(memory=1))


def test_a_large_space_keeps_the_budget_and_says_found():
    space, rng, budget = large(), np.random.default_rng(0), Budget(flops=60)
    proposals = space.sample_many(20, rng, budget)
    proposals += [space.mutate(a, rng, budget) for a in proposals]
    proposals += [space.repair(space.sample(rng), budget, rng) for _ in range(5)]
    assert all(budget.admits(space.cost(a)) for a in proposals)
    with pytest.raises(BudgetInfeasibleError, match="smallest found 30"):
        space.sample(rng, Budget(flops=29))


@pytest.mark.parametrize(
    "options",
    [
        {"flops": {f"e{i}": {c: c for c in range(1, 8)} for i in range(30)}},
        {"smallest": {f"e{i}": 1 for i in range(30)}},
    ],
)
def test_additive_or_declared_costs_are_exact(options):
    with pytest.raises(BudgetInfeasibleError, match="smallest reachable 30"):
        large(**options).sample(np.random.default_rng(0), Budget(flops=29))


@pytest.fixture
def holes():
    """More than a million points; those whose first two choices agree are invalid, a bound on parameters or not."""
    return DecisionSpace(
        "holes",
        {f"e{i}": tuple(range(5)) for i in range(12)},
        flops=lambda c: math.inf if c["e0"] == c["e1"] else 1.0 + sum(c.values()),
        parameters=lambda c: 1.0 + sum(c.values()),
    )


@pytest.mark.parametrize("budget", [None, Budget(parameters=30), Budget(min_flops=40), Budget(flops=20, min_parameters=15)])
def test_no_proposal_of_a_large_space_is_an_invalid_combination(holes, budget):
    rng = np.random.default_rng(0)
    proposals = holes.sample_many(60, rng, budget)
    proposals += [holes.mutate(a, rng, budget) for a in proposals[:20]]
    proposals += [holes.crossover(*pair, rng, budget) for pair in itertools.pairwise(proposals[:20])]
    proposals += [near for near, _ in zip(holes.neighbours(proposals[0], budget), range(20), strict=False)]
    invalid = holes.architecture(dict.fromkeys(holes.decisions, 2))
    proposals.append(holes.repair(invalid, budget or Budget(), rng))
    proposals.append(holes.suggest(optuna.trial.FixedTrial(dict(invalid)), budget or Budget()))
    assert all((budget or Budget()).admits(holes.cost(a)) and holes.cost(a).flops < math.inf for a in proposals)


def test_invalid_combinations_are_no_extremes(holes):
    assert holes.largest() == {"flops": 48, "parameters": 48}
    assert holes.smallest() == {"flops": 2, "parameters": 2}
    rng = np.random.default_rng(0)
    with pytest.raises(BudgetInfeasibleError, match="above the largest found 48"):
        holes.sample(rng, Budget(min_flops=400))
    with pytest.raises(OverBudgetError, match="breaks flops") as caught:
        holes.suggest(optuna.trial.FixedTrial(dict.fromkeys(holes.decisions, 2)), Budget(parameters=30), on_over_budget="raise")
    assert caught.value.violations == {"flops": math.inf}
    declared = large(smallest=dict.fromkeys(large().decisions, 1), flops=lambda choice: math.inf)
    with pytest.raises(InputError, match="infinite cost"):
        declared.smallest()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("additive", "fitting"), [(True, 5), (False, 4000)])
def test_opposing_bounds_of_a_large_space_are_met(seed, additive, fitting):
    rng = np.random.default_rng(seed)
    flops = rng.integers(1, 100, (11, 4)).astype(float)
    tables = {"flops": flops, "parameters": np.maximum(101 - flops + rng.integers(-20, 21, flops.shape), 1)}
    sums = {bound: functools.reduce(np.add.outer, table).ravel() for bound, table in tables.items()}
    share = np.partition(np.maximum(*(figures / np.median(figures) for figures in sums.values())), fitting)[fitting]
    bounds = {bound: float(np.median(figures) * share) for bound, figures in sums.items()}  # so many of four million points fit

    def cost(table):
        shares = {f"d{i}": dict(enumerate(row.tolist())) for i, row in enumerate(table)}
        return shares if additive else lambda choice: sum(shares[name][place] for name, place in choice.items())

    decisions = {f"d{i}": tuple(range(4)) for i in range(11)}
    space = DecisionSpace("opposed", decisions, **{bound: cost(table) for bound, table in tables.items()})
    budget = Budget(**bounds)
    assert all(budget.admits(space.cost(a)) for a in space.sample_many(5, rng, budget))
    with pytest.raises(BudgetInfeasibleError, match=r"as far as was searched: .* the smallest found"):
        space.sample(rng, Budget(**{bound: high * 0.9 for bound, high in bounds.items()}))


@pytest.mark.parametrize("budget", [Budget(min_flops=150), Budget(min_flops=210), Budget(flops=100, min_flops=100)])
@pytest.mark.parametrize("flops", [lambda c: sum(c.values()), {f"e{i}": {c: c for c in range(1, 8)} for i in range(30)}])
def test_a_large_space_reaches_its_lower_bounds(budget, flops):
    space = large(flops=flops)
    assert budget.admits(space.cost(space.sample(np.random.default_rng(0), budget)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("additive", [True, False])
def test_lower_bounds_of_a_large_space_that_oppose_upper_ones_are_met(seed, additive):
    rng = np.random.default_rng(seed)
    tables = {bound: rng.lognormal(size=(25, 4)) for bound in ("flops", "parameters")}

    def cost(table):
        shares = {f"d{i}": dict(enumerate(row.tolist())) for i, row in enumerate(table)}
        return shares if additive else lambda choice: sum(shares[name][place] for name, place in choice.items())

    decisions = {f"d{i}": tuple(range(4)) for i in range(25)}
    space = DecisionSpace("opposed", decisions, **{bound: cost(table) for bound, table in tables.items()})
    dear = np.argmax(tables["parameters"] - tables["flops"], axis=1)  # many parameters for its FLOPs
    figures = space.cost(space.architecture(dict(zip(decisions, dear.tolist(), strict=True))))
    budget = Budget(flops=figures.flops * 1.1, min_parameters=figures.parameters * 0.9)
    found = space.sample_many(20, rng, budget)
    found += [space.repair(space.sample(rng), budget, rng), space.mutate(found[0], rng, budget)]
    assert all(budget.admits(space.cost(architecture)) for architecture in found)
    assert len({architecture.key for architecture in found}) > 15
    beyond = Budget(flops=figures.flops * 0.95, min_parameters=figures.parameters)  # no point has more parameters less FLOPs
    with pytest.raises(BudgetInfeasibleError, match="no architecture found between the bounds"):
        space.sample(rng, beyond)


def test_a_large_space_needs_no_cost():
    assert DecisionSpace("free", {f"e{i}": (0, 1, 2) for i in range(20)}).sample(np.random.default_rng(0))["e0"] in (0, 1, 2)


def test_suggest_repairs_or_raises(cells):
    budget = Budget(flops=1e6)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: cells.cost(cells.suggest(trial, budget)).flops, n_trials=10)
    assert all(trial.value <= 1e6 for trial in study.trials)
    assert set(study.trials[0].params) == {"edge0", "edge1"}
    for trial in study.trials:  # what was scored, where it is not what the parameters say
        scored = trial.user_attrs["architecture"]["choices"] if "architecture" in trial.user_attrs else trial.params
        assert trial.value == 1e6 * sum(scored.values())
    trial = optuna.trial.FixedTrial({"edge0": 2, "edge1": 2})
    with pytest.raises(OverBudgetError, match="breaks flops") as caught:
        cells.suggest(trial, budget, on_over_budget="raise")
    assert caught.value.violations == {"flops": 3.0}


def test_it_builds_nothing_and_says_so(cells):
    with pytest.raises(InputError, match="builds no network"):
        cells.build(cells.sample(np.random.default_rng(0)))
