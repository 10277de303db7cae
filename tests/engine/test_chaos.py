"""The short form of ``python -m tests.chaos``."""

from tests.chaos import run


def test_a_search_that_is_killed_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    outcome = run(tmp_path / "run", kills=1, workers=1, trials=2, storage=None, seed=1, pause=(0.2, 2.0))
    assert outcome.problems == []
    assert outcome.kills == 1
    assert outcome.completed >= 2
