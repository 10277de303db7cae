"""Pictures: embedded from inside the record's directory only, checked by content, bounded."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from nas.records import Picture
from nas.report.pictures import LARGEST_SIDE, embed


def picture(path: str) -> Picture:
    return Picture(path=path, title="t", caption="c")


def test_a_path_out_of_the_directory_gets_nothing(tmp_path):
    inside = tmp_path / "run"
    inside.mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "secret.png")
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    for path in ("../secret.png", str(tmp_path / "secret.png"), "link.png"):
        found = embed([picture(path)], [inside])[0]
        assert found.uri == ""
        assert found.problem


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "fake.png").write_text("<svg onload=alert(1)>")
    found = embed([picture("fake.png")], [tmp_path])[0]
    assert (found.uri, found.problem) == ("", "unreadable: UnidentifiedImageError")


def test_a_large_picture_is_scaled_down(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (1000, 2000), dtype=np.uint8)).save(tmp_path / "big.png")
    found = embed([picture("big.png")], [tmp_path])[0]
    assert found.uri.startswith("data:image/jpeg;base64,")
    assert found.width == LARGEST_SIDE
    with Image.open(io.BytesIO(base64.b64decode(found.uri.partition(",")[2]))) as image:
        assert image.size == (found.width, found.height)


def test_the_first_base_that_holds_it_wins(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("L", (4, 2)).save(tmp_path / "a" / "p.png")
    found = embed([picture("p.png")], [tmp_path, tmp_path / "a"])[0]
    assert (found.width, found.height) == (4, 2)
