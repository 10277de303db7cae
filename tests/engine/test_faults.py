"""A few of the faults of ``python -m tests.faults``, which lets every write of a run directory fail in every way."""

from nas.engine.directory import damaged_files
from nas.jobs.search import search
from tests.faults import TINY, outcome, survive


def test_a_search_survives_faults_of_its_writes_and_ends_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole = search(**TINY, out=tmp_path / "whole")
    record, faults = survive(tmp_path / "run", every=60)
    assert faults.met >= 200  # points
    assert outcome(record) == outcome(whole)
    assert damaged_files(tmp_path / "run") == []
