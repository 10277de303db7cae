"""Out-of-fold means: intervals by hand, kept inside what the figure can be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nas.jobs.benchmark_rows import _mean_over_folds
from nas.records import Interval, Metric


def mean_of(name: str, *values: float) -> Interval:
    """The interval of the mean of one figure over two folds of ten images."""
    folds = [SimpleNamespace(held_out=np.arange(10)), SimpleNamespace(held_out=np.arange(10, 20))]
    arena: Any = SimpleNamespace(folds=folds, settings=SimpleNamespace(folds=2), dataset=SimpleNamespace(group=np.arange(20)))
    found = _mean_over_folds(arena, name, [Metric(name=name, value=value, n=10, groups=10) for value in values])
    assert found.value == pytest.approx(np.mean(values))
    assert (found.n, found.groups) == (20, 20)
    assert found.interval is not None
    return found.interval


def test_interval_inside_the_range_is_students() -> None:
    # s = 0.01/√2 = 0.0070711, error √((1/2 + 1) s²) = 0.0086603, t(0.975; 1) = 12.7062
    found = mean_of("balanced_accuracy", 0.495, 0.505)
    assert (found.low, found.high) == pytest.approx((0.5 - 0.11004, 0.5 + 0.11004), abs=1e-5)


@pytest.mark.parametrize("name", ["balanced_accuracy", "accuracy", "auroc"])
def test_a_share_stays_between_0_and_1(name: str) -> None:
    found = mean_of(name, 0.6, 0.9)
    assert (found.low, found.high) == (0.0, 1.0)


def test_a_log_loss_stays_above_0_and_has_no_upper_bound() -> None:
    found = mean_of("log_loss", 1.0, 2.0)  # s = 0.7071, error 0.8660, half width 11.0039
    assert (found.low, found.high) == (0.0, pytest.approx(1.5 + 11.0039, abs=1e-3))
