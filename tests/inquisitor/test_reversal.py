"""T9: every known nuisance is judged, and the weights exchange its distributions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from inquisitor_models import SETTINGS, Reader

from nas.inquisitor.answers import answers_to
from nas.inquisitor.effects import Effect
from nas.inquisitor.judge import result
from nas.inquisitor.margins import Margins
from nas.inquisitor.opening import open_case
from nas.inquisitor.tests.t09_reversal import Reversal, _coarse, reversal_weights


def test_a_sparse_column_clears_no_model_that_fails_by_another(plain):
    """The view is on every image, the sex on few: what follows both loses more by the sex, which few images leave open."""
    rng = np.random.default_rng(1)
    positive, known = plain.labels == 1, np.arange(len(plain)) % 10 == 0
    view = np.where(rng.random(len(plain)) < np.where(positive, 0.75, 0.25), "AP", "PA")
    sex = np.where(known, np.where(rng.random(len(plain)) < np.where(positive, 0.75, 0.25), "F", "M"), "")
    evidence = positive + 2.0 * (view == "AP") + 2.5 * (sex == "F") + rng.normal(0, 1, len(plain))
    images = np.broadcast_to((20 * evidence + 80).clip(0, 255)[:, None, None, None], plain.images.shape).astype(np.uint8)
    reader = Reader(lambda shown: 10 * (shown.mean((1, 2, 3)) - 0.5))

    def found(**columns):
        data = replace(plain, images=images.copy(), view=view, metadata=columns)
        case = open_case(
            reader, data, np.arange(len(data)), auditable=(1,), margins=Margins(), settings=SETTINGS, level="full", seed=0,
            device="cpu",
        )  # fmt: skip
        (item,) = Reversal().run(case)
        return item

    alone, both = found(), found(sex=sex)
    assert both.details["lost"]["sex"] > both.details["lost"]["view"] == alone.effect
    assert (alone.verdict, alone.details["nuisance"]) == ("fail", "view")
    assert (both.verdict, both.details["nuisance"]) == ("fail", "view")
    assert both.details["p_fail"] == pytest.approx(
        len(both.details["lost"]) / len(alone.details["lost"]) * alone.details["p_fail"]
    )


def test_reversal_weights_exchange_the_distributions():
    rng = np.random.default_rng(1)
    truth = rng.random(2000) < 0.5
    values = np.where(rng.random(2000) < np.where(truth, 0.9, 0.2), "a", "b")
    weights = reversal_weights(values, truth)
    inside = weights[truth & (values == "a")].sum() / weights[truth].sum()
    outside = weights[~truth & (values == "a")].sum() / weights[~truth].sum()
    assert inside == pytest.approx((values[~truth] == "a").mean())
    assert outside == pytest.approx((values[truth] == "a").mean())
    assert not reversal_weights(np.where(truth, "a", "b"), truth).any()  # never seen the other way round


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (["0", "1", "1", "1"], ["low", "high", "high", "high"]),  # most are 1: so is the median
        (["2", "2", "1", "1"], ["high", "high", "low", "low"]),
        (["34", "", "56", "71"], ["low", "", "low", "high"]),
        (["F", "M", "M", ""], ["F", "M", "M", ""]),
    ],
)
def test_a_nuisance_in_numbers_keeps_both_its_sides(written, found):
    assert _coarse(np.array(written, dtype=object)).tolist() == found


@pytest.mark.parametrize(
    ("nuisance", "answers"), [("source", ("source_balanced",)), ("marker", ("marker", "crop_body")), ("view", ())]
)
def test_only_what_reaches_a_nuisance_answers_it(nuisance, answers):
    item = result(
        test="T9", title="", class_name="a", statistic="", effect=Effect(0.4, 0.01, 90), margin=Margins().reversal, n=100,
        groups=100, details={"nuisance": nuisance},
    )  # fmt: skip
    assert answers_to([item]) == answers
    assert answers_to([item], cropped=True) == tuple(name for name in answers if name != "crop_body")
