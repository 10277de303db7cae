"""Rungs, promotion and extrapolation, by hand and by simulation."""

import numpy as np
import pytest

from baselines.recipe import Recipe
from nas.evaluation import train
from nas.evaluation.fidelity import Rung, Rungs, chance_of_beating, successive_halving
from search_spaces.errors import InputError


def test_halving_ladder_and_its_cost():
    rungs = Rungs.halving(9, 64, reduction=3)
    assert [rung.epochs for rung in rungs.rungs] == [1, 3, 9]
    assert rungs.image_epochs(27) == 27 * 1 + 9 * 2 + 3 * 6
    small = Rungs.halving(9, 64, reduction=3, small_size=32)
    assert small.image_epochs(27) == pytest.approx(27 / 4 + 18 / 4 + 18)
    assert Rungs.halving(1, 64).rungs == (Rung(1, 64, 1.0),)


def test_the_best_go_on_and_failed_ones_do_not():
    quality = dict(zip("abcdefghi", range(9), strict=True))
    results = successive_halving(
        list("ihgfedcba"), lambda k, rung: float("inf") if k == "a" else quality[k] - rung.epochs, Rungs.halving(9, 64)
    )
    assert [sorted(losses) for losses in results] == [list("abcdefghi"), list("bcd"), ["b"]]


def test_a_rung_continues_from_its_weights(tiny, striped, tmp_path):
    recipe, rungs = Recipe(epochs=4, batch_size=16), Rungs.halving(4, 24, reduction=2)
    whole = train(tiny(), striped, np.arange(160), np.arange(160, 240), recipe, seed=0)
    told = []

    def run(key, rung):
        result = train(
            tiny(), striped, np.arange(160), np.arange(160, 240), recipe, seed=0, checkpoint=tmp_path / key,
            max_epochs=rung.epochs, image_size=rung.image_size, on_epoch=told.append,
        )  # fmt: skip
        return result.history[-1].validation["log_loss"]

    results = successive_halving(["only"], run, rungs)
    assert [record.epoch for record in told] == [1, 1, 2, 1, 2, 3, 4]  # each rung is told its whole curve
    assert told[0] == told[1] == told[3]  # its own figures, speed included: nothing was trained again
    assert results[-1]["only"] == whole.history[-1].validation["log_loss"]


def test_an_image_size_may_grow_between_rungs(tiny, striped, tmp_path):
    recipe = Recipe(epochs=2, batch_size=16)
    for size, last in ((16, 1), (24, 2)):
        result = train(
            tiny(), striped, np.arange(160), np.arange(160, 240), recipe, seed=0, checkpoint=tmp_path / "c", max_epochs=last, image_size=size
        )  # fmt: skip
    assert len(result.history) == 2


def test_extrapolation_is_calibrated():
    """Of trainings given a chance of about p of ending below the target, about p do."""
    rng, stated, happened = np.random.default_rng(1), [], []
    for _ in range(400):
        finals = rng.normal(0.5, 0.1, 21)
        nows = finals + 0.4 + rng.normal(0, 0.05, 21)
        curves = [{2: now, 8: final} for now, final in zip(nows[:20], finals[:20], strict=True)]
        stated.append(chance_of_beating(0.45, nows[20], 2, curves))
        happened.append(finals[20] < 0.45)
    stated, happened = np.array(stated), np.array(happened)
    assert happened[stated < 0.1].mean() < 0.1
    assert happened[stated > 0.9].mean() > 0.85
    assert stated.mean() == pytest.approx(happened.mean(), abs=0.04)


def test_too_few_curves_and_bad_ladders():
    assert chance_of_beating(0.5, 0.5, 2, [{2: 0.5, 8: 0.4}] * 7) is None
    assert chance_of_beating(0.5, 0.9, 2, [{2: 0.9, 8: 0.4}] * 8) == 1.0
    with pytest.raises(InputError, match="strictly more"):
        Rungs((Rung(2, 64, 0.5), Rung(2, 64, 1.0)))
    with pytest.raises(InputError, match="keeps a share"):
        Rungs((Rung(2, 64, 0.0),))
    with pytest.raises(InputError, match="at least 2"):
        Rungs.halving(8, 64, reduction=1)
