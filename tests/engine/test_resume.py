"""A search that was interrupted ends as if it had not been: same networks, same scores to the last digit."""

import pytest

from nas.engine.progress import Silent
from nas.jobs.search import search

TINY = {
    "image_size": 32, "budget": "1M", "epochs": 2, "finalists": 1, "final_seeds": 1, "audit_images": 40, "screen": False, "trials": 3,
    "device": "cpu",  # where one seed gives the same figures to the last digit
}  # fmt: skip


class Interrupting(Silent):
    """Interrupts the search in the middle of its second trial."""

    def __init__(self):
        self.epochs = 0

    def epoch(self, number, record):
        self.epochs += 1
        if self.epochs == 3:
            raise KeyboardInterrupt


def outcome(record):
    return [(t.key, t.quality, t.outcome, [m.value for m in t.metrics]) for t in record.trials]


@pytest.mark.parametrize("sampler", ["random", "generator", "evolution"])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, monkeypatch, sampler):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole = search("phantom:n=120", out=tmp_path / "whole", engine="here", sampler=sampler, **TINY)
    with pytest.raises(KeyboardInterrupt):
        search("phantom:n=120", out=tmp_path / "cut", engine="here", sampler=sampler, progress=Interrupting(), **TINY)
    resumed = search(out=tmp_path / "cut", engine="here", resume=True)
    assert outcome(resumed) == outcome(whole)
    assert resumed.accounting.completed == whole.accounting.completed
