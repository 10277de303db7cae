"""First contact on the command line: what is said of data that a search would refuse, and which command comes next."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data import load
from nas.jobs.inspect import inspect
from search_spaces.errors import InputError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PEPX_NAS_CACHE", str(tmp_path / "cache"))


def folder(path: str, *classes: str, n: int = 12) -> str:
    """``n`` pictures in each class folder."""
    for c, name in enumerate(classes):
        Path(path, name).mkdir(parents=True)
        for i in range(n):
            pixels = np.random.default_rng([c, i]).integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).resize((40, 40)).save(Path(path, name, f"{i}.png"))
    return path


def test_the_next_command_asks_for_what_was_inspected(tmp_path: Path):
    specs = [folder("my + data", "covid", "normal"), f"folder:{folder('other', 'covid', 'pneumonia')}"]
    found = inspect(
        specs, classes=("covid", "rest=pneumonia+normal"), image_size=32, root=str(tmp_path), crop="pad", imports=("json",)
    )
    assert found.spec == tuple(specs)
    assert shlex.split(found.next_command) == [
        "nas", "search", "--data", "my + data", "--data", "folder:other", "--classes", "covid,rest=pneumonia+normal",
        "--data-root", str(tmp_path), "--crop", "pad", "--import", "json", "--budget", "40M", "--image-size", "32",
    ]  # fmt: skip
    assert load(specs, image_size=32).asked == tuple(specs)


@pytest.mark.parametrize(
    ("classes", "n", "said"), [(("covid",), 12, "images of 1 class"), (("covid", "normal"), 3, "cannot be split for a search")]
)
def test_data_that_no_search_accepts_get_a_reason_and_no_next_command(classes: tuple[str, ...], n: int, said: str):
    found = inspect(folder("set", *classes, n=n), image_size=32)
    assert any(said in warning for warning in found.warnings)
    assert (found.images, found.next_command) == (n * len(classes), "")


def test_splits_that_cannot_be_kept_are_dealt_afresh_next():
    folder("set/test", "covid", "normal")
    found = inspect("set", image_size=32)
    assert any("no image is left for train, validation, audit" in warning for warning in found.warnings)
    assert " --splits fresh " in found.next_command
    fresh = inspect("set", image_size=32, splits="fresh")
    assert not any("cannot be split" in warning for warning in fresh.warnings)
    assert fresh.next_command == found.next_command
    with pytest.raises(InputError, match="--splits must be keep or fresh, but got 'mine'"):
        inspect("set", splits="mine")
