"""Metrics against scikit-learn, with n, groups and intervals that cover."""

import numpy as np
import pytest
from sklearn import metrics as reference

from nas.evaluation import confusion_matrix, metrics, objective, objective_value, quality, reliability_curve, roc_curve
from nas.evaluation.calibration import sensitivity_at
from nas.evaluation.metrics import metric_names
from nas.evaluation.quality import image_losses, probabilities
from nas.evaluation.trainer import scores
from nas.statistics import wilson
from search_spaces.errors import InputError

CLASSES = ("normal", "pneumonia", "covid")


def sample(rng, n=300, groups=None, skill=1.5, shares=(0.5, 0.3, 0.2)):
    code = np.arange(n) if groups is None else rng.integers(0, groups, n)
    of_group = rng.choice(3, size=code.max() + 1, p=shares)
    labels = of_group[code]
    logits = rng.normal(0, 1, (n, 3)) + 0.7 * rng.normal(0, 1, (code.max() + 1, 3))[code]
    logits[np.arange(n), labels] += skill
    return logits, labels, code


def by_name(found):
    return {metric.name: metric for metric in found}


def test_values_equal_scikit_learn():
    logits, labels, code = sample(np.random.default_rng(0))
    found = by_name(metrics(logits, labels, code, CLASSES, full=True, draws=50))
    predicted, chances = logits.argmax(1), probabilities(logits)
    weights = (1 / np.bincount(labels))[labels]
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "mcc": reference.matthews_corrcoef(labels, predicted),
        "auroc": reference.roc_auc_score(labels, chances, multi_class="ovr"),
        "log_loss": reference.log_loss(labels, chances, sample_weight=weights),
        "macro_ppv": reference.precision_score(labels, predicted, average="macro"),
        "macro_f1": reference.f1_score(labels, predicted, average="macro"),
        "brier": ((chances - np.eye(3)[labels]) ** 2).sum(1).mean(),
        "mean_one_vs_rest_accuracy": np.mean([((labels == c) == (predicted == c)).mean() for c in range(3)]),
    }
    for c, name in enumerate(CLASSES):
        expected[f"sensitivity[{name}]"] = reference.recall_score(labels == c, predicted == c)
        expected[f"specificity[{name}]"] = reference.recall_score(labels != c, predicted != c)
        expected[f"ppv[{name}]"] = reference.precision_score(labels == c, predicted == c)
        expected[f"npv[{name}]"] = reference.precision_score(labels != c, predicted != c)
        expected[f"f1[{name}]"] = reference.f1_score(labels == c, predicted == c)
        expected[f"auroc[{name}]"] = reference.roc_auc_score(labels == c, chances[:, c])
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-9), name
        assert found[name].interval.low <= value <= found[name].interval.high, name
    np.testing.assert_array_equal(confusion_matrix(logits, labels, 3), reference.confusion_matrix(labels, predicted))


def test_the_names_are_those_of_what_is_measured():
    logits, labels, code = sample(np.random.default_rng(0))
    assert metric_names(CLASSES) == tuple(by_name(metrics(logits, labels, code, CLASSES, with_intervals=False)))
    assert metric_names(("a", "b"))[-1] == "auroc[b]"


def test_every_metric_says_what_it_rests_on():
    logits, labels, code = sample(np.random.default_rng(1), groups=80)
    for metric in metrics(logits, labels, code, CLASSES, part="test", full=True, draws=50):
        assert metric.part == "test"
        assert metric.interval is not None, metric.name
        assert 0 < metric.groups < metric.n <= 300
    one = by_name(metrics(logits, labels, code, CLASSES))["sensitivity[covid]"]
    assert (one.n, one.groups) == ((labels == 2).sum(), len(np.unique(code[labels == 2])))


def test_an_absent_class_is_none_with_a_reason_never_nan():
    logits, labels, code = sample(np.random.default_rng(2), shares=(0.6, 0.4, 0.0))
    logits[:, 2] = -50
    found = by_name(metrics(logits, labels, code, CLASSES, full=True, draws=50))
    for name in ("sensitivity[covid]", "ppv[covid]", "auroc[covid]", "f1[covid]"):
        assert found[name].value is None
        assert found[name].note
    assert found["balanced_accuracy"].value is not None
    only = by_name(metrics(logits, np.zeros(300, dtype=int), code, CLASSES, full=True, draws=50))
    assert only["auroc"].value is None
    assert metrics(logits[:0], labels[:0], code[:0], CLASSES) == ()


def test_intervals_can_be_left_out_and_shapes_are_checked():
    logits, labels, code = sample(np.random.default_rng(3))
    assert all(m.interval is None for m in metrics(logits, labels, code, CLASSES, with_intervals=False))
    with pytest.raises(InputError, match="logits must be"):
        metrics(logits[:, :2], labels, code, CLASSES)


def test_quality_is_class_balanced_and_its_error_is_that_of_repetition():
    rng = np.random.default_rng(4)
    values, errors = np.array([quality(*sample(rng, skill=1.0)[:2]) for _ in range(400)]).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.15)
    assert quality([[0.0, 0.0]], [0])[0] == pytest.approx(np.log(2))
    assert image_losses([[1e9, 0.0]], [1])[0] == pytest.approx(-np.log(1e-7))


def test_every_objective_is_the_same_after_an_epoch_as_at_the_end_and_brings_its_own_error():
    logits, labels, _ = sample(np.random.default_rng(8), n=400)
    found = metrics(logits, labels, None, CLASSES)
    epoch = scores(logits, labels)
    assert objective("log_loss", logits, labels, found) == quality(logits, labels)
    expected = {
        "auroc": by_name(found)["auroc"].value,
        "balanced_accuracy": reference.balanced_accuracy_score(labels, logits.argmax(1)),
    }
    for name, score in expected.items():
        value, error = objective(name, logits, labels, found)
        assert value == pytest.approx(1 - score)
        assert value == pytest.approx(objective_value(name, epoch))
        assert error == pytest.approx(reference_error(name, logits, labels), rel=0.1)


def reference_error(name, logits, labels, draws=400):
    """Standard deviation of a score over bootstrap draws within classes."""
    rng, found = np.random.default_rng(9), []
    for _ in range(draws):
        rows = np.concatenate([rng.choice(own, len(own)) for own in (np.flatnonzero(labels == c) for c in range(3))])
        found.append(scores(logits[rows], labels[rows])[name])
    return np.std(found)


def test_an_objective_that_cannot_be_computed_is_the_worst():
    logits, labels = np.eye(3)[[0, 1]], np.zeros(2, dtype=int)
    assert objective("auroc", logits, labels, metrics(logits, labels, None, CLASSES)) == (1.0, None)
    assert objective_value("auroc", scores(logits, labels)) == 1.0
    assert objective_value("log_loss", {}) == np.inf


@pytest.mark.parametrize("groups", [None, 90])
def test_intervals_cover_between_93_and_97_percent(groups):
    """Coverage of the bootstrapped, linearised and rank figures over 400 draws (± 2 points of simulation error)."""
    rng, names = np.random.default_rng(5), ("balanced_accuracy", "log_loss", "auroc", "mcc", "f1[covid]")
    large = by_name(metrics(*sample(rng, n=400_000, groups=groups and 100_000), CLASSES, with_intervals=False))
    hits = dict.fromkeys(names, 0)
    for _ in range(400):
        found = by_name(metrics(*sample(rng, n=200, groups=groups), CLASSES, draws=150))
        for name in names:
            hits[name] += found[name].interval.low <= large[name].value <= found[name].interval.high
    for name in names:
        assert 0.92 <= hits[name] / 400 <= 0.985, (name, hits[name] / 400)


def test_everything_right_on_a_few_images_is_no_certainty():
    """18 images: a share of 1 has Wilson's lower bound 0.824; F1 and Matthews' correlation follow from such shares."""
    labels = np.repeat([0, 1, 2], 6)
    found = by_name(metrics(9 * np.eye(3)[labels], labels, None, CLASSES, full=True, draws=50))
    share = wilson(18, 18).low
    for name, low in (
        ("accuracy", share), ("balanced_accuracy", share), ("mcc", (3 * share - 1) / 2), ("macro_sensitivity", share),
        ("macro_f1", share), ("f1[covid]", 2 * wilson(6, 6).low / (1 + wilson(6, 6).low)),
    ):  # fmt: skip
        interval = found[name].interval
        assert interval is not None
        assert found[name].value == 1
        assert (interval.low, interval.high) == pytest.approx((low, 1.0), abs=1e-9), name


@pytest.mark.parametrize("seed", [7, 8, 14, 18, 34])  # few images of some class: wide intervals; the last shows one class only
def test_intervals_hold_their_figure_and_stay_within_what_it_can_be(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 6))
    labels = rng.choice(k, size=int(rng.integers(6, 60)), p=rng.dirichlet(np.ones(k) * 1.5))
    logits = rng.normal(size=(len(labels), k)) * rng.choice([0.5, 2]) + rng.choice([0, 3, 6]) * np.eye(k)[labels]
    for metric in metrics(logits, labels, None, [str(c) for c in range(k)], full=True, draws=50):
        if metric.interval is not None:
            least, most = {"log_loss": (0, np.inf), "mcc": (-1, 1), "brier": (0, 2)}.get(metric.name, (0, 1))
            assert least <= metric.interval.low <= metric.value <= metric.interval.high <= most, metric


def test_f1_follows_from_the_share_of_right_ones_among_those_that_are_or_are_called_so():
    labels, called = np.array([0] * 10 + [1] * 30), np.array([0] * 8 + [1] * 2 + [0] * 4 + [1] * 26)
    found = by_name(metrics(9 * np.eye(2)[called], labels, None, ("covid", "normal"), draws=50))["f1[covid]"]
    share = wilson(8, 14)
    assert found.value == pytest.approx(2 * 8 / (2 * 8 + 2 + 4))
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (2 * share.low / (1 + share.low), 2 * share.high / (1 + share.high))
    )


def test_sensitivity_at_a_specificity_by_hand():
    scores, positive = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), np.array([1, 0, 1, 1, 0, 0], dtype=bool)
    assert sensitivity_at(scores, positive, 1.0, np.ones((1, 6)))[0] == pytest.approx(1 / 3)
    assert sensitivity_at(scores, positive, 0.6, np.ones((1, 6)))[0] == pytest.approx(1.0)
    tied = sensitivity_at(np.zeros(6), positive, 0.6, np.ones((1, 6)))
    assert tied[0] == 0.0


def test_curves():
    points = roc_curve([0.9, 0.8, 0.7, 0.7], [True, False, True, False])
    assert points == {"false_positive_rate": [0.0, 0.0, 0.5, 1.0], "true_positive_rate": [0.0, 0.5, 0.5, 1.0]}
    curve = reliability_curve([[0.95, 0.05], [0.95, 0.05], [0.3, 0.7]], [0, 1, 1])
    assert curve["n"] == [1.0, 2.0]
    assert curve["accuracy"] == [1.0, 0.5]


def test_the_interval_of_a_calibration_error_holds_the_truth_and_the_value():
    """Sampling pushes the error upward, and draws push it once more: plain percentiles miss both."""

    def overconfident(n):
        logits, labels, code = sample(rng, n, groups=n)
        return 2 * logits, labels, code

    rng, hits = np.random.default_rng(2), 0
    truth = by_name(metrics(*overconfident(100_000), CLASSES, with_intervals=False, full=True))["ece"].value
    for number in range(100):
        found = by_name(metrics(*overconfident(60), CLASSES, full=True, seed=number, draws=200))["ece"]
        assert found.interval.low <= found.value <= found.interval.high
        hits += found.interval.low <= truth <= found.interval.high
    assert hits >= 87, hits
