"""More architectures from a saved generator: of a space of one's own, and where fewer are left than are asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nas.engine.directory import RunDirectory
from nas.engine.settings import SearchSettings
from nas.files import write_json
from nas.generator import GeneratorSampler
from nas.jobs.generate import generate
from search_spaces import Budget, DecisionSpace, space_names
from search_spaces.catalogue import _SPACES
from search_spaces.errors import InputError

OWN = """
from search_spaces import DecisionSpace, register_space

@register_space("nine")
def nine(classes=3, in_channels=1, image_size=None):
    return DecisionSpace("nine", {"a": (0, 1, 2), "b": (0, 1, 2)}, flops=lambda c: 1.0 + c["a"] + c["b"])
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a search leaves in its directory that has seen nothing yet, in a space of nine networks from the user's own module."""
    (tmp_path / "nine_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    assert "nine" not in space_names()
    monkeypatch.setattr(_SPACES, "_entries", dict(_SPACES._entries))
    space = DecisionSpace("nine", {"a": (0, 1, 2), "b": (0, 1, 2)}, flops=lambda c: 1.0 + c["a"] + c["b"])
    directory = RunDirectory(tmp_path / "run")
    settings = SearchSettings(space="nine", budget="flops=5", imports=("nine_networks",))
    write_json(directory.settings, settings.model_dump(mode="json"))
    write_json(directory.data, {"classes": {"covid": 1, "normal": 1}})
    write_json(directory.generator, GeneratorSampler(space, Budget(flops=5)).state())
    return directory.path


def test_of_a_space_of_ones_own_all_that_are_left_and_never_silently_fewer(run: Path) -> None:
    assert len({row["key"] for row in generate(run, n=9)}) == 9
    assert len(generate(run, n=3, budget="flops=2")) == 3
    with pytest.raises(InputError, match=r"--n asks for 10 .* only 9 .* are left .*; ask for fewer, or widen --budget"):
        generate(run, n=10, out=run / "made")
    assert not (run / "made").exists()
    del sys.modules["nine_networks"]


def test_where_there_is_no_generator_the_way_to_one_is_named(run: Path) -> None:
    directory = RunDirectory(run)
    directory.generator.unlink()
    with pytest.raises(InputError, match=r"has not ended; go on with it: nas search --resume --out "):
        generate(run)
    settings = directory.stored_settings().model_copy(update={"sampler": "tpe"})
    write_json(directory.settings, settings.model_dump(mode="json"))
    write_json(directory.record, {})
    with pytest.raises(InputError, match=r"by the sampler 'tpe', which learns none: search anew into another --out"):
        generate(run)
    with pytest.raises(InputError, match=r"name the directory of a search by the generator"):
        generate(run / "elsewhere")
