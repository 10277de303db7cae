"""The self-test's grid, its resumption, and its figures; the models themselves are trained elsewhere."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from nas.inquisitor import self_test as module
from nas.inquisitor.planted import ARCHITECTURES, KINDS
from nas.inquisitor.report_card import report_card, worst_score
from nas.inquisitor.self_test import plants, self_test


def _row(strength, score, verdict, *, lost=0.0, kind="marker", p=0.5, grad_cam=0.2):
    tests = {"T4": {"effect": 0.0, "p": p, "verdict": verdict, "score": score, "detectable": 0.05}}
    return {
        "kind": kind, "strength": strength, "auc": 0.95, "auc_free": 0.95 - lost, "verdict": verdict, "tests": tests,
        "maps": {"grad_cam": grad_cam}, "seconds": {"raise": 1.0, "audit": 2.0},
    }  # fmt: skip


def test_the_grid_is_the_one_that_was_promised():
    grid = plants()
    assert len({plant.key for plant in grid}) == len(grid) == 390
    assert sum(plant.honest for plant in grid) == 210
    assert {plant.strength for plant in grid} == {0.0, 0.5, 0.9}


@pytest.mark.parametrize("turns", [1, 2, 3, 5])
def test_any_beginning_of_the_grid_is_a_fair_sample(turns):
    start = plants()[: 18 * turns]
    assert set(Counter(plant.kind for plant in start).values()) == {3 * turns}
    assert set(Counter(plant.strength for plant in start).values()) == {6 * turns}
    networks = Counter(plant.architecture for plant in start)
    assert set(networks) == set(ARCHITECTURES)
    assert max(networks.values()) - min(networks.values()) <= 3
    assert {plant.kind for plant in start if plant.honest} == set(KINDS)


def test_a_stopped_self_test_goes_on_where_it_stood(tmp_path, monkeypatch):
    asked = []

    def question(plant):
        asked.append(plant.key)
        return {**_row(plant.strength, -0.9, "pass"), "key": plant.key}

    monkeypatch.setattr(module, "question", question)
    out = tmp_path / "results.jsonl"
    self_test(True, out=out, limit=5)
    out.write_text(out.read_text() + '{"key": "cut sho')  # a kill in the middle of a line
    card = self_test(True, out=out)
    assert len(asked) == len(set(asked)) == 24
    assert card.record["models"]["all"] == card.record["models"]["planned"] == 24
    assert len({row["key"] for row in module.read_rows([out])}) == 24
    assert self_test(True, out=tmp_path, limit=0).record["models"]["all"] == 0  # a directory: a file of its own in it


def test_figures_of_the_card_are_those_counted_by_hand():
    honest = [_row(0, -0.9 + k / 100, "pass" if k < 8 else "undecided", p=0.04 if k == 0 else 0.5) for k in range(10)]
    cheats = [_row(0.9, score, "fail", lost=0.1, kind="frame") for score in (1.0, 2.0, 3.0)]
    cheats.append(_row(0.9, -0.855, "undecided", lost=0.1, kind="frame"))  # above 5 of 10 honest ones, and missed
    between = [_row(0.5, 0.0, "undecided", lost=0.02)]
    stopped = [{**_row(0, None, "undecided"), "tests": {}}]
    card = report_card([*honest, *cheats, *between, *stopped], 390)
    assert card.record["models"] == {
        "planned": 390, "all": 16, "incompetent": 1, "honest": 10, "cheats": 4, "between": 1,
    }  # fmt: skip
    assert card.record["statistics"]["rule"]["auc"] == pytest.approx((3 * 10 + 5) / 40)
    assert card.record["statistics"]["T4"]["size"] == pytest.approx(0.1)
    assert card.record["verdicts"]["cheats"] == {"pass": 0, "undecided": 1, "fail": 3}
    assert card.record["intervals"]["honest passed"]["share"] == pytest.approx(0.8)
    assert card.record["by_cue"]["frame"]["auc"] == pytest.approx(35 / 40)
    assert "16 of 390 models: 10 honest, 4 cheats" in card.table()
    json.dumps(card.record)


def test_the_score_is_the_worst_of_the_family_that_can_fail():
    row = _row(0.9, 0.3, "fail")
    row["tests"]["T2"] = {"score": 9.0}  # cannot fail a model
    row["tests"]["T3"] = {"score": None}
    assert worst_score(row) == 0.3
