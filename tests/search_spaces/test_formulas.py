"""Formulas: a calculation that is run once with unknown numbers, and then with any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import InputError
from search_spaces.formulas import formula, larger

sizes = st.integers(1, 10_000)


def spent(width, side, stride):
    """One of everything that operations compute with."""
    out = (side - 1) // stride + 1
    return width * 9 * out**2, larger(8, width // 8) + larger(width, side), True * width, 7 - out, larger(3, 5)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(sizes, sizes, st.integers(1, 4))
def test_a_formula_computes_what_the_calculation_does(width, side, stride):
    found = formula(spent, 3)
    assert found.one(width, side, stride) == spent(width, side, stride)


def test_on_arrays_it_computes_each_entry():
    rng = np.random.default_rng(0)
    numbers = rng.integers(1, 300, (3, 20))
    columns = [np.broadcast_to(column, 20) for column in formula(spent, 3).many(*numbers)]
    assert np.stack(columns, axis=1).tolist() == [list(map(int, spent(*entry))) for entry in numbers.T.tolist()]


def test_a_step_that_is_computed_twice_stands_once():
    names = formula(lambda a, b: ((a + b) * (a + b), a + b), 2).one.__code__.co_varnames
    assert len(names) == 4  # two arguments, their sum, its square


@pytest.mark.parametrize(
    "calculation",
    [
        lambda a: (max(a, 2),),
        lambda a: (9 if a == 1 else 1,),
        lambda a: (a or 1,),
        lambda a: (int(a * 0.25),),
        lambda a: (a / 2,),
    ],
)
def test_a_calculation_that_must_know_its_number_is_refused_with_the_remedy(calculation):
    with pytest.raises(InputError, match=r"write larger\(a, b\)"):
        formula(calculation, 1)
