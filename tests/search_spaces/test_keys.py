"""Keys: two architectures share one exactly if they build the same network."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spaces_under_test import NAMES

from search_spaces import ArchitectureError, Budget, DecisionSpace, InputError, get_space, load_architecture
from search_spaces.pepx import PepxSpace


def drawn(space, architecture) -> str:
    """The built graph as text: every module's name, kind and configuration, in order."""
    return repr(space.build(architecture))


def synonym(space, architecture, rng):
    """The same network, with random choices where they do not matter."""
    active = space.active(architecture)
    pick = {name: options[rng.integers(len(options))] for name, options in space.decisions.items()}
    return space.architecture({name: architecture[name] if name in active else pick[name] for name in space.decisions})


@pytest.mark.parametrize("name", NAMES)
def test_keys_agree_exactly_where_graphs_do(name):
    space, rng = get_space(name, image_size=32), np.random.default_rng(0)
    for architecture in space.sample_many(6, rng, Budget(flops=3e6)):
        others = [synonym(space, architecture, rng), space.mutate(architecture, rng), space.sample(rng, Budget(flops=3e6))]
        for other in others:
            assert (other.key == architecture.key) == (drawn(space, other) == drawn(space, architecture))
        assert others[0] == architecture
        assert hash(others[0]) == hash(architecture)


def test_channels_and_classes_are_part_of_the_key():
    space = get_space("pepx")
    choices = space.sample(np.random.default_rng(0)).choices
    keys = {space.architecture(choices, in_channels=c, classes=k).key for c in (1, 3) for k in (2, 3)}
    assert len(keys) == 4


def test_an_identity_that_is_a_set_has_one_key_in_every_process():
    code = """
from search_spaces import DecisionSpace
space = DecisionSpace("s", dict.fromkeys("abc", ("conv", "pool", "skip")), canonical=lambda c: (1, frozenset(c.values())))
print(*(space.architecture(dict(zip("abc", words))).key for words in (("conv", "pool", "skip"), ("skip", "conv", "pool"))))
"""
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True)
        for seed in "123"
    ]
    assert len({key for run in runs for key in run.stdout.split()}) == 1


def test_an_identity_is_told_by_its_value_and_refused_where_it_has_none():
    def key(identity):
        space = DecisionSpace("s", {"a": (0, 1)}, canonical=lambda _: identity)
        return space.architecture({"a": 0}).key

    assert key((1, "x", None, 2.5, True)) == "s-7274197d289b6f6e"  # stands in studies: must not change
    assert key(np.int64(3)) == key(3)
    assert key(frozenset({1, 2})) != key(frozenset({1, 3}))
    with pytest.raises(InputError, match="differ from process to process"):
        key(object())


@pytest.mark.parametrize("name", NAMES)
def test_json_and_pickle_round_trips_are_identity(name):
    architecture = get_space(name).sample(np.random.default_rng(1))
    for again in (load_architecture(json.loads(json.dumps(architecture.to_json()))), pickle.loads(pickle.dumps(architecture))):
        assert again == architecture
        assert again.choices == architecture.choices
        assert again.to_json() == architecture.to_json()


def test_an_architecture_reads_like_the_mapping_and_cannot_be_changed():
    space = get_space("fire")
    architecture = space.sample(np.random.default_rng(2))
    assert dict(architecture) == architecture.choices == architecture
    assert list(architecture) == list(space.decisions)
    with pytest.raises(AttributeError, match="immutable"):
        architecture.space = "other"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_fuzzed_json_never_crashes_with_a_foreign_error(data):
    space = get_space("pepx")
    document = space.sample(np.random.default_rng(data.draw(st.integers(0, 99)))).to_json()
    target = data.draw(st.sampled_from(["whole", "top", "choices"]))
    if target == "whole":
        document = data.draw(JSON)
    elif target == "top":
        document[data.draw(st.sampled_from([*document, "extra"]))] = data.draw(JSON)
    else:
        document["choices"][data.draw(st.sampled_from([*document["choices"], "extra"]))] = data.draw(JSON)
    with suppress(ArchitectureError):
        load_architecture(document)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "update the toolkit"),
        ({"version": 0}, "cannot be read by version 1"),
        ({"space": "none"}, "unknown search space"),
        ({"classes": 0}, "whole number from 1"),
        ({"choices": {}}, "lacks 'stem.width'"),
    ],
)
def test_what_cannot_be_loaded_says_why(change, message):
    document = get_space("pepx").sample(np.random.default_rng(3)).to_json() | change
    with pytest.raises(ArchitectureError, match=message):
        load_architecture(document)


def test_an_older_version_loads_through_its_migration():
    class Newer(PepxSpace):
        version = 2
        migrations = {1: lambda choices: {**choices, "stem.kernel": 3}}  # noqa: RUF012

    old = get_space("pepx").sample(np.random.default_rng(4)).to_json()
    del old["choices"]["stem.kernel"]
    assert Newer().from_json(old)["stem.kernel"] == 3


def test_bytes_are_an_identity_too():
    """What a row of a table is called by may be its bytes; the key is that of their text."""
    space = DecisionSpace("rows", {"a": (0, 1, 2)}, canonical=lambda choice: np.int64(choice["a"] % 2).tobytes())
    keys = [space.architecture({"a": a}).key for a in (0, 1, 2)]
    assert keys[0] == keys[2] != keys[1]
