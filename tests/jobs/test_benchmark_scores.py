"""Means over trainings and their intervals, against the single-training metrics and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from nas.evaluation import metrics
from nas.jobs.benchmark_scores import Panel, Sheet, make_sheet, weighted_areas

CLASSES = ("normal", "pneumonia", "covid")
N = 150


def sheet(trainings: int, draws: int = 400) -> Sheet:
    labels = np.arange(N) % 3
    groups = np.array([f"patient {i // 2}" for i in range(N)])
    made = make_sheet(labels, groups, CLASSES, "test", trainings, draws=draws)
    assert made is not None
    return made


def guesses(seed: int, skill: float = 1.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(N, 3)) + skill * np.eye(3)[np.arange(N) % 3]).astype(np.float32)


def test_values_are_means_over_trainings() -> None:
    own = sheet(3)
    logits = [guesses(seed) for seed in range(3)]
    found = {metric.name: metric for metric in Panel(own, logits).all_metrics()}
    singles = [
        {m.name: m.value for m in metrics(one, own.labels, own.groups, CLASSES, with_intervals=False, full=True)}
        for one in logits
    ]
    panel = Panel(own, logits)
    for name in singles[0]:
        expected = np.mean([float(single[name] or 0) for single in singles])
        assert found[name].value == pytest.approx(expected)
        assert panel.value(name) == pytest.approx(expected), name
        interval = found[name].interval
        assert interval is not None, name
        assert interval.low <= expected <= interval.high, name


def test_one_training_has_the_interval_of_its_own_metric() -> None:
    own, logits = sheet(1, draws=4000), guesses(0)
    found = Panel(own, [logits])
    for metric in metrics(logits, own.labels, own.groups, CLASSES, full=True, draws=4000):
        if metric.name in (
            "balanced_accuracy",
            "accuracy",
            "auroc",
            "mcc",
            "log_loss",
            "brier",
            "sensitivity[covid]",
            "ppv[normal]",
        ):
            assert metric.interval is not None
            interval = found.interval(metric.name)
            assert interval is not None
            assert (interval.low, interval.high) == pytest.approx((metric.interval.low, metric.interval.high), abs=0.035)


def test_trainings_that_differ_widen_the_interval() -> None:
    same = Panel(sheet(3), [guesses(0)] * 3).interval("balanced_accuracy")
    other = Panel(sheet(3), [guesses(0, 0.1), guesses(1, 1.0), guesses(2, 4.0)]).interval("balanced_accuracy")
    assert same is not None
    assert other is not None
    assert "trainings" in other.method
    assert other.high - other.low > 1.5 * (same.high - same.low)


def test_areas_under_weights_equal_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 8, 60) / 8, rng.random(60) < 0.4  # with ties
    weights = rng.integers(0, 3, (5, 60)).astype(float)
    found = weighted_areas(scores, positive, weights, np.arange(60))
    expected = [roc_auc_score(positive, scores, sample_weight=row) for row in weights]
    assert found == pytest.approx(expected)


def test_unanimous_draws_are_no_certainty() -> None:
    perfect = 9 * np.eye(3, dtype=np.float32)[np.arange(N) % 3]
    interval = Panel(sheet(1), [perfect]).interval("sensitivity[covid]")
    assert interval is not None
    assert interval.high == 1
    assert 0.85 < interval.low < 0.95  # 50 images of 50 groups, all right: 0.929
    never = Panel(sheet(1), [np.tile(np.float32([1, 0, 0]), (N, 1))])
    interval = never.interval("sensitivity[covid]")
    assert interval is not None
    assert interval.low == 0
    assert interval.high > 0.05


def test_where_all_are_right_a_figure_is_as_sure_as_its_own_images_are_many() -> None:
    labels = np.array([0] * 6 + [1] * 144)
    made = make_sheet(labels, np.arange(N).astype(np.str_), ("covid", "normal"), "test", 2)
    assert made is not None
    logits = 5 * np.eye(2, dtype=np.float32)[labels]
    found = {metric.name: metric for metric in Panel(made, [logits, logits]).all_metrics()}
    alone = {metric.name: metric for metric in metrics(logits, labels, None, made.classes, full=True)}
    for name in ("ppv[covid]", "npv[normal]", "specificity[normal]", "auroc", "auroc[covid]", "mcc", "macro_ppv", "f1[covid]"):
        own, single = found[name].interval, alone[name].interval
        assert own is not None
        assert single is not None
        assert (own.low, own.high) == pytest.approx((single.low, single.high)), name
        assert own.low < 0.8, name  # six images


def test_one_group_can_tell_nothing() -> None:
    assert make_sheet(np.array([0, 1]), np.array(["a", "a"]), CLASSES, "test", 2) is None
