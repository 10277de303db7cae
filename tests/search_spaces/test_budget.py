"""Budgets: reading, checking, and the conflict between joint bounds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Budget, BudgetInfeasibleError, Cost, InputError
from search_spaces.conflict import infeasible, pareto


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("40M", {"flops": 40_000_000}),
        ("2.26G", {"flops": 2_260_000_000}),
        ("flops=50M,params=2M,memory=64MiB", {"flops": 50_000_000, "parameters": 2_000_000, "memory": 64 * 2**20}),
        ("min_flops=1k, flops=1e4", {"min_flops": 1000, "flops": 10_000}),
    ],
)
def test_parse_reads_what_the_command_line_takes(text, bounds):
    assert Budget.parse(text, image_size=96) == Budget(**bounds, image_size=96)


@pytest.mark.parametrize(
    "text", ["", "40X", "speed=3", "40M,30M", "flops=-1", "flops=64MiB", "0", "min_flops=2M,flops=1M", "=", "flops=", "1e999"]
)
def test_parse_refuses_the_rest_with_its_own_error(text):
    with pytest.raises(InputError) as caught:
        Budget.parse(text)
    assert "\n" not in str(caught.value)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(max_size=20))
def test_parse_never_raises_a_foreign_error(text):
    try:
        Budget.parse(text)
    except InputError:
        pass
    else:
        assert Budget.parse(text).to_json()


def test_json_round_trip_and_violations():
    budget = Budget(flops=100, min_parameters=10, image_size=64)
    assert Budget.from_json(budget.to_json()) == budget
    assert budget.violations(Cost(125, 5, 0, 64, 1)) == {"flops": 0.25, "min_parameters": 0.5}
    assert budget.admits(Cost(100, 10, 0, 64, 1))
    with pytest.raises(InputError, match="keys among"):
        Budget.from_json({"speed": 1})


def test_numpys_numbers_are_numbers():
    budget = Budget(flops=np.int64(100), parameters=np.float32(2.5), image_size=np.int64(64))
    assert budget == Budget(flops=100, parameters=2.5, image_size=64)
    assert json.loads(json.dumps(budget.to_json())) == {"flops": 100, "parameters": 2.5, "image_size": 64}


def test_an_image_size_is_a_whole_number_of_pixels():
    assert type(Budget(image_size=96.0).image_size) is int
    with pytest.raises(InputError, match="whole number"):
        Budget(image_size=96.5)


def test_small_fractions_are_printed_and_large_ones_are_not():
    assert (
        str(Budget(flops=0.5, parameters=1234567.8, min_memory=1e7))
        == "flops ≤ 0.5, parameters ≤ 1,234,568, memory ≥ 10,000,000"
    )


def test_pareto_keeps_what_nothing_beats():
    points = [((1, 5, 1),), ((2, 4, 1),), ((2, 5, 1),), ((1, 5, 1),)]
    assert pareto(points) == [((1, 5, 1),), ((2, 4, 1),)]


def test_joint_bounds_name_the_tightest_conflict():
    figures = [(10, 100, 1), (100, 10, 1)]
    error = infeasible("toy", Budget(flops=20, parameters=50, memory=5), figures)
    assert isinstance(error, BudgetInfeasibleError)
    assert error.smallest == {"flops": 10, "parameters": 10, "memory": 1}
    assert "parameters ≤ 50 and flops ≤ 20 can each be met but not together" in str(error)
    assert "with parameters ≤ 50 kept" in str(error) or "with parameters kept, the smallest reachable flops is 100" in str(
        error
    )


def test_a_bound_out_of_reach_alone_is_named_first():
    error = infeasible("toy", Budget(flops=5, parameters=9), [(10, 100, 1), (100, 10, 1)])
    assert "flops=5 lies below the smallest reachable 10; raise the bound or choose smaller images" in str(error)
    assert "images" not in str(infeasible("toy", Budget(flops=5), [(10, 100, 1)], images=False))


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Budget(min_flops=200), "min_flops=200 lies above the largest reachable 100; lower the lower bounds"),
        (Budget(flops=50, min_flops=11.5), "min_flops=11.5 lies above the largest reachable 11 with flops ≤ 50"),
        (
            Budget(min_flops=50, min_parameters=50),
            "no architecture lies between the bounds .*; the nearest reaches flops 11 and parameters 80",
        ),
    ],
)
def test_a_lower_bound_that_nothing_meets_is_named_with_what_is_reached(budget, message):
    error = infeasible("toy", budget, [(10, 100, 1), (11, 80, 1), (100, 10, 1)])
    assert error.smallest == {"flops": 10, "parameters": 10, "memory": 1}
    with pytest.raises(BudgetInfeasibleError, match=message):
        raise error
