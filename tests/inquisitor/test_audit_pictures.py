"""Pictures of an audit: all that is written under them can be read."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nas.inquisitor.pictures import Flip, draw_flips


@pytest.mark.parametrize(
    "classes",
    [
        ("normal", "pneumonia"),
        ("normal", "bacterial_pneumonia", "viral_pneumonia", "covid 19", "tuberculosis"),
        (r"cost $\frac", "tuberculosis_or_something_that_looks_like_it_on_a_picture", "x"),
    ],
)
def test_no_text_is_cut_however_many_classes_there_are_and_whatever_they_are_called(classes, tmp_path):
    picture, mask = np.full((24, 24), 0.5, np.float32), np.zeros((24, 24), bool)
    mask[6:18, 4:20] = True
    shares = np.full(len(classes), 1 / len(classes))
    flip = Flip(picture, picture, mask, f"frame and collimation swap, donor {classes[1]}", shares, shares)
    draw_flips([flip, flip], classes, tmp_path)
    drawn = np.asarray(Image.open(tmp_path / "flips.png").convert("L"))
    edge = np.concatenate([drawn[:2].ravel(), drawn[-2:].ravel(), drawn[:, :2].ravel(), drawn[:, -2:].ravel()])
    assert (edge == 255).all()
