"""What every space of networks promises; a new space inherits these by its name in ``spaces_under_test.NAMES``."""

from __future__ import annotations

import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces_under_test import NAMES, SIZE, every_point, figures, reduced

from search_spaces import Budget, BudgetInfeasibleError, InputError, get_space
from search_spaces.counting import count

seeds = st.integers(0, 2**31)
shares = st.floats(0, 1)
small = settings(max_examples=15, deadline=None, derandomize=True)


def budget_at(space, share: float) -> Budget:
    """FLOPs between the smallest (0) and 2,000 times that (1), on a log scale."""
    return Budget(flops=space.smallest()["flops"] * 2000**share)


@pytest.fixture(params=NAMES)
def space(request):
    return get_space(request.param, image_size=64)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=seeds, size=st.sampled_from((32, 50, 97)), channels=st.sampled_from((1, 3)))
def test_cost_equals_what_is_built_and_traced(name, seed, size, channels):
    space = get_space(name, in_channels=channels, image_size=size)
    architecture = space.sample(np.random.default_rng(seed), Budget(flops=30e6))
    cost = space.cost(architecture)
    counted = count(space.build(architecture), size)
    assert (cost.parameters, cost.flops) == (counted.parameters, counted.flops)
    assert cost.memory == pytest.approx(counted.memory, rel=0.1)
    assert figures_of(space, architecture, size) == (cost.flops, cost.parameters, cost.memory)
    assert sum(block.flops for block in cost.blocks) == cost.flops


def figures_of(space, architecture, size):
    return space._figures(architecture.values_tuple, size, architecture.in_channels, architecture.classes)


@pytest.mark.parametrize("name", NAMES)
@small
@given(seed=seeds, share=shares)
def test_no_proposal_breaks_the_budget(name, seed, share):
    space, rng = get_space(name, image_size=64), np.random.default_rng(seed)
    budget = budget_at(space, share)
    proposals = [*space.sample_many(40, rng, budget), *(space.sample(rng, budget) for _ in range(3))]
    proposals += [space.mutate(architecture, rng, budget) for architecture in proposals[:5]]
    proposals += [space.crossover(*proposals[:2], rng, budget), space.sample(rng, budget, fill=True)]
    proposals += [space.repair(space.sample(rng), budget, rng) for _ in range(2)]
    proposals += [architecture for architecture, _ in zip(space.neighbours(proposals[0], budget), range(20), strict=False)]
    assert all(budget.admits(space.cost(architecture)) for architecture in proposals)
    for architecture in proposals:
        assert all(architecture[decision] in space.decisions[decision] for decision in space.active(architecture))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [1.0, 1.3, 10.0])
def test_a_restricted_space_proposes_its_own_choices_only(name, factor):
    space, rng = reduced(name), np.random.default_rng(0)
    budget = Budget(flops=factor * space.smallest()["flops"], image_size=SIZE)
    proposals = [*space.sample_many(40, rng, budget), *(space.sample(rng, budget) for _ in range(5))]
    proposals += [space.mutate(architecture, rng, budget) for architecture in proposals[:5]]
    for architecture in proposals:
        assert budget.admits(space.cost(architecture))
        assert all(architecture[decision] in space.decisions[decision] for decision in space.active(architecture))


@pytest.mark.parametrize("name", NAMES)
def test_batches_count_as_single_networks_do(name):
    from search_spaces.batch import Batch

    space, rng = get_space(name, image_size=65), np.random.default_rng(0)
    many = [space._draw(rng) for _ in range(50)]
    known = space._open_widths
    marks = {position: -1 - column for column, position in enumerate(known.positions)}
    opened = [[marks.get(position, value) for position, value in enumerate(values)] for values in many]
    batch = Batch(space, opened, 65, 3, 3)
    widths = np.array([[values[position] for position in known.positions] for values in many])
    assert batch.figures(widths).T.tolist() == [list(space._figures(values, 65, 3, 3)) for values in many]


def test_a_filled_sample_uses_nearly_all_of_the_budget(space):
    rng = np.random.default_rng(0)
    used = [
        budget.use(space.cost(space.sample(rng, budget, fill=True))) for budget in (budget_at(space, s) for s in rng.random(9))
    ]
    assert np.median(used) >= 0.9


def test_mutation_changes_one_decision_that_was_active(space):
    rng, budget = np.random.default_rng(0), budget_at(space, 0.5)
    for architecture in space.sample_many(10, rng, budget):
        child = space.mutate(architecture, rng, budget)
        before, after = space.active(architecture), space.active(child)
        changed = [decision for decision in before & after if architecture[decision] != child[decision]]
        assert child.key != architecture.key
        assert len(changed) == 1


def test_a_child_has_only_what_was_alive_in_a_parent(space):
    rng = np.random.default_rng(0)
    for _ in range(20):
        parents = space.sample_many(2, rng)
        child = space.crossover(*parents, rng)
        alive = [space.active(parent) for parent in parents]
        for decision in space.active(child):
            assert any(decision in a and child[decision] == p[decision] for a, p in zip(alive, parents, strict=True))


def test_weights_steer_mutation(space):
    rng, architecture = np.random.default_rng(0), space.sample(np.random.default_rng(1))
    weights = dict.fromkeys(space.decisions, 0.0) | {"stage1.width": 1.0}
    for _ in range(5):
        assert space.mutate(architecture, rng, weights=weights)["stage1.width"] != architecture["stage1.width"]


def test_neighbours_are_distinct_and_exclude_the_architecture(space):
    architecture = space.sample(np.random.default_rng(2), budget_at(space, 0.4))
    keys = [near.key for near in space.neighbours(architecture)]
    assert len(set(keys)) == len(keys) > 20
    assert architecture.key not in keys


def test_repair_leaves_a_feasible_architecture_alone(space):
    budget = budget_at(space, 0.5)
    architecture = space.sample(np.random.default_rng(3), budget)
    assert space.repair(architecture, budget, np.random.default_rng(0)) is architecture


def test_repair_puts_back_what_can_be_put_back(space):
    rng, budget = np.random.default_rng(4), budget_at(space, 0.3)
    for wanted in space.sample_many(5, rng):
        near = space.repair(wanted, budget, rng)
        for decision in space.active(near) & space.active(wanted):
            if near[decision] != wanted[decision]:
                closer = space.architecture({**near, decision: wanted[decision]})
                settled = closer[decision] == wanted[decision] and space.active(closer) == space.active(near)
                assert not settled or not budget.admits(space.cost(closer))


@pytest.mark.parametrize("name", NAMES)
def test_smallest_and_largest_are_exact(name):
    space = reduced(name)
    points = np.array([figures(space, values) for values in every_point(space)])
    assert list(space.smallest().values()) == points.min(axis=0).tolist()
    assert list(space.largest().values()) == points.max(axis=0).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_is_met_or_proven_impossible(name):
    space, rng = reduced(name), np.random.default_rng(0)
    points = np.array([figures(space, values) for values in every_point(space)])
    least = points.min(axis=0)
    for _ in range(60):
        bounds = {
            k: float(v) for k, v in zip(("flops", "parameters", "memory"), least * rng.uniform(0.95, 1.6, 3), strict=True)
        }
        budget = Budget(**{k: v for k, v in bounds.items() if rng.random() < 0.7}, image_size=SIZE)
        possible = any(budget.admits_figures(*point) for point in points.tolist())
        if possible:
            assert budget.admits(space.cost(space.sample(rng, budget)))
        else:
            with pytest.raises(BudgetInfeasibleError) as caught:
                space.sample(rng, budget)
            assert list(caught.value.smallest.values()) == least.tolist()


def test_lower_bounds_hold(space):
    smallest = space.smallest()["flops"]
    budget = Budget(flops=20 * smallest, min_flops=15 * smallest)
    assert all(budget.admits(space.cost(a)) for a in space.sample_many(5, np.random.default_rng(0), budget))
    with pytest.raises(BudgetInfeasibleError, match="above the largest reachable"):
        space.sample(np.random.default_rng(0), Budget(min_flops=1e15))


@pytest.mark.parametrize("share", [0.6, 0.9, 1.0])
def test_a_lower_bound_alone_is_reached(space, share):
    for bound, most in space.largest().items():
        budget = Budget(**{f"min_{bound}": share * most})
        assert budget.admits(space.cost(space.sample(np.random.default_rng(0), budget)))


def test_image_size_too_small_is_refused(space):
    with pytest.raises(InputError, match="out of range"):
        get_space(space.name, image_size=8)


def test_the_same_seed_gives_the_same_samples(space):
    first, second = (space.sample_many(40, np.random.default_rng(7), budget_at(space, 0.5)) for _ in range(2))
    assert first == second


def test_a_built_network_learns_and_reuses_no_module(space):
    architecture = space.sample(np.random.default_rng(5), budget_at(space, 0.5))
    network = space.build(architecture)
    calls: dict[str, int] = {}
    for name, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1}))
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    network(torch.rand(4, 1, 64, 64)).sum().backward()
    assert set(calls.values()) == {1}
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_space_that_was_used_can_be_pickled_and_copied(space):
    budget = budget_at(space, 0.5)
    networks = space.sample_many(40, np.random.default_rng(0), budget)
    for again in (pickle.loads(pickle.dumps(space)), deepcopy(space)):
        assert again.sample_many(40, np.random.default_rng(0), budget) == networks
        assert [again.cost(network) for network in networks] == [space.cost(network) for network in networks]
