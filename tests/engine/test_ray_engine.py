import json

import pytest

from nas.jobs.search import search

TINY = {
    "image_size": 32,
    "budget": "1M",
    "epochs": 1,
    "sampler": "random",
    "finalists": 1,
    "final_seeds": 1,
    "audit_images": 40,
    "prune": False,
    "screen": False,
}


@pytest.mark.filterwarnings("ignore")  # Ray's own imports and sockets
def test_ray_gives_the_same_trials_as_this_process(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    here = search("phantom:n=120", out=tmp_path / "here", engine="here", trials=2, **TINY)
    rays = search("phantom:n=120", out=tmp_path / "ray", engine="ray", trials=2, **TINY)
    assert [(t.key, t.quality) for t in rays.trials] == [(t.key, t.quality) for t in here.trials]
    assert rays.accounting.completed == 2
    json.loads(rays.to_json())
