"""T0: what the data offer outside the lungs, and nothing that lies inside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from inquisitor_models import SETTINGS

from nas.inquisitor.margins import Margins
from nas.inquisitor.opening import open_case
from nas.inquisitor.tests.t00_availability import Availability


def _found(model, data):
    case = open_case(
        model,
        data,
        np.arange(len(data)),
        auditable=(1,),
        margins=Margins(),
        settings=SETTINGS,
        level="full",
        seed=0,
        device="cpu",
    )
    (item,) = Availability().run(case)
    return item


def test_what_lies_inside_the_lungs_only_is_not_seen(patched, patch_reader):
    assert _found(patch_reader, patched).details["lungs hidden"] == pytest.approx(0.5, abs=0.06)


def test_what_lies_outside_is_seen(patched, patch_reader):
    images = patched.images.copy()
    images[patched.labels == 1, :, :3, :3] = 250
    item = _found(patch_reader, replace(patched, images=images))
    assert item.details["lungs hidden"] > 0.9
    assert item.verdict == "undecided"
