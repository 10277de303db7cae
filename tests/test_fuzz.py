"""The short form of ``python -m tests.fuzz``: a few inputs for each target that is quick to reach."""

import pytest

from tests.fuzz import away_from_home, fuzz
from tests.fuzz_targets import make_targets


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("group", ["texts", "values", "models", "readers"])
def test_only_our_own_errors_come_back(tmp_path, monkeypatch, group):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with away_from_home(tmp_path):
        for target in make_targets(tmp_path, (group,)):
            assert fuzz(target, 5 if group == "readers" else 20, seed=0).inputs > 0, target.name
