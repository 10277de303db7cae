"""Cross-fitting: every image answered by its fold's network, donors from the same fold, effects pooled over folds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from inquisitor_models import SETTINGS, Reader
from torch import nn

from nas.inquisitor import audit_model
from nas.inquisitor.crossfit import CrossFitted, FoldEngine
from nas.inquisitor.design import Roster, build_design
from nas.inquisitor.engine import Exhibits, margins
from search_spaces.errors import InputError


def _folds(data, count=3):
    """Whole groups, dealt in turn."""
    return np.unique(data.group, return_inverse=True)[1] % count


class Rescaled(nn.Module):
    """The same decisions in another scale and with another offset: what a second training might give."""

    def __init__(self, model, scale, offset):
        super().__init__()
        self.model, self.scale, self.offset = model, scale, offset

    def forward(self, images):
        return self.model(images) * self.scale + torch.tensor([self.offset, 0.0])


def _opened(networks, data, fold):
    engine = FoldEngine(CrossFitted(networks, fold))
    shown = Exhibits.gather(data, np.arange(len(data)))
    return engine, shown, engine.clean_logits(shown)


def test_each_image_is_answered_by_the_network_of_its_fold_and_log_odds_have_a_common_unit(plain):
    fold = _folds(plain)
    networks = [Rescaled(Reader(lambda images: images.mean((1, 2, 3))), *how) for how in ((1, 0), (50, 3), (0.1, -9))]
    engine, shown, logits = _opened(networks, plain, fold)
    odds = engine.comparable(margins(logits), shown.rows)
    brightness = plain.images.mean(axis=(1, 2, 3), dtype=np.float64) / 255
    for number, (scale, offset) in enumerate(((1, 0), (50, 3), (0.1, -9))):
        own = fold == number
        np.testing.assert_allclose(logits[own, 0], offset - scale * brightness[own], rtol=1e-5)  # as they are: they decide
        expected = (brightness[own] - brightness[own].mean()) / brightness[own].std(ddof=1)
        np.testing.assert_allclose(odds[own, 1], expected, atol=2e-3)
        np.testing.assert_allclose(odds[own, 0], -expected, atol=2e-3)


def test_a_network_decides_the_same_alone_and_cross_fitted_with_itself(framed, frame_reader):
    """A cautious network, that calls few images positive: where its log-odds are centred it would call half of them so."""
    cautious = Rescaled(frame_reader, 1, 5)
    alone = audit_model(cautious, framed, settings=SETTINGS, tests=("T5", "T13"), seed=1)
    fitted = audit_model(
        CrossFitted([cautious, cautious], _folds(framed, 2)), framed, settings=SETTINGS, tests=("T5", "T13"), seed=1
    )
    for one, other in zip(alone.tests, fitted.tests, strict=True):
        assert one.interval.low < other.effect < one.interval.high  # other donors answer: the same but for chance
        assert other.details["net_flips"] == pytest.approx(one.details["net_flips"], abs=0.03)
    *_, logits = _opened([cautious, cautious], framed, _folds(framed, 2))
    images = torch.from_numpy(framed.images).float() / 255
    np.testing.assert_array_equal(logits.argmax(1), cautious(images).argmax(1).numpy())


def test_donors_are_of_the_recipients_fold():
    rng = np.random.default_rng(0)
    roster = Roster(
        np.arange(240) % 2, np.array([f"g{k // 4}" for k in range(240)]), rng.random(240), (np.arange(240) // 4) % 3
    )
    design = build_design(roster, roster, classes=2, count=120, blocks_per_recipient=2, rng=rng)
    recipients, donors = design.pairs()
    assert (roster.strata[recipients] == roster.strata[donors]).all()
    assert set(roster.strata[recipients]) == {0, 1, 2}
    assert (roster.labels[design.donors] == [0, 1]).all()
    assert (roster.groups[recipients] != roster.groups[donors]).all()


def test_a_cross_fitted_cheat_fails_though_no_two_networks_agree_on_a_scale(framed, frame_reader):
    networks = [Rescaled(frame_reader, *how) for how in ((1, 0), (30, 2), (0.2, -1))]
    finding = audit_model(CrossFitted(networks, _folds(framed)), framed, settings=SETTINGS, tests=("T1", "T3", "T5"))
    assert finding.verdict == "fail"
    alone = audit_model(frame_reader, framed, settings=SETTINGS, tests=("T5",))
    effects = {item.test: item.effect for item in finding.tests}
    assert effects["T5"] == pytest.approx(alone.tests[0].effect, rel=0.05)


def test_honest_networks_stay_honest_when_cross_fitted_and_maps_are_refused(patched, patch_reader):
    networks = [Rescaled(patch_reader, *how) for how in ((1, 0), (20, 4))]
    model = CrossFitted(networks, _folds(patched, 2))
    finding = audit_model(model, patched, settings=SETTINGS, tests=("T3", "T5"), attribution=True)
    assert {item.verdict for item in finding.tests} == {"pass"}
    assert finding.attributions[0]["status"] == "unavailable"


def test_rows_without_a_fold_are_refused(plain, frame_reader):
    fold = _folds(plain)
    fold[:3] = -1
    with pytest.raises(InputError, match="3 images belong to no fold"):
        audit_model(CrossFitted([frame_reader] * 3, fold), plain, settings=SETTINGS, tests=("T5",))


def test_a_cross_fitted_model_does_not_answer_for_images_of_unknown_origin(plain, frame_reader):
    model = CrossFitted([frame_reader], np.zeros(len(plain), np.int64))
    with pytest.raises(NotImplementedError, match="rows of its data set"):
        model(torch.zeros(1, 1, 48, 48))
