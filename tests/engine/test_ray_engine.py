import json
import os
import signal
import threading
import time

import optuna
import pytest
from optuna.trial import TrialState

from nas.engine.journal import journal_storage
from nas.engine.progress import Silent
from nas.engine.ray_engine import resources
from nas.engine.settings import SearchSettings
from nas.jobs.search import search
from search_spaces.errors import InputError

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
    "device": "cpu",  # where one seed gives the same figures to the last digit
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


SPACE = """
from torch import nn
from search_spaces import DecisionSpace, register_space

@register_space("three")
class Three(DecisionSpace):
    def __init__(self, classes=3, in_channels=1, image_size=None):
        super().__init__("three", {"width": (4, 6, 8)}, flops=lambda c: 1000 * c["width"], parameters=lambda c: 10 * c["width"])
        self.classes = classes

    def build(self, architecture, image_size=None):
        width = architecture["width"]
        pooled = [nn.Conv2d(1, width, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*pooled, nn.Linear(width, self.classes))
"""


@pytest.mark.filterwarnings("ignore")
def test_several_tasks_end_where_the_space_is_used_up(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    (tmp_path / "three_networks.py").write_text(SPACE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    own = {"imports": ("three_networks",), "space": "three", "trials": 5, "workers": 2}
    record = search("phantom:n=60", out=tmp_path / "run", engine="ray", **{**TINY, **own})
    assert record.accounting.completed == 3


@pytest.mark.filterwarnings("ignore")
def test_a_trial_that_is_interrupted_on_ray_is_given_back(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

    def trials():
        return optuna.load_study(study_name="search", storage=journal_storage(tmp_path / "run" / "journal.log")).get_trials()

    def terminate():
        while not (tmp_path / "run" / "settings.json").exists() or not any("record" in t.user_attrs for t in trials()):
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command does; Ray brings a handler that aborts
    try:
        with pytest.raises(KeyboardInterrupt):
            search("phantom:n=60", out=tmp_path / "run", engine="ray", trials=1, **{**TINY, "epochs": 500})
    finally:
        signal.signal(signal.SIGTERM, before)
    first, again = trials()
    assert (first.state, first.user_attrs["reason"]) == (TrialState.FAIL, "interrupted")
    assert (again.state, again.user_attrs["attempt"]) == (TrialState.WAITING, 1)


@pytest.mark.parametrize("address", ["nonsense", "auto"])
def test_an_address_of_no_cluster_is_refused_and_leaves_the_handler_of_sigterm(tmp_path, monkeypatch, address):
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RAY_ADDRESS", address)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InputError, match=f"RAY_ADDRESS: {address}"):
        search("phantom:n=60", out=tmp_path / "run", engine="ray", trials=1, **TINY)
    assert signal.getsignal(signal.SIGTERM) is before


class LosesANode(Silent):
    """Kills the cluster's second node, trial and all, once the first trial has ended."""

    def __init__(self, cluster, node):
        self.cluster, self.node = cluster, node

    def trial_finished(self, record):
        if self.node is not None:
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.node = None


@pytest.mark.filterwarnings("ignore")
def test_a_search_on_two_nodes_survives_the_loss_of_one(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        losing = LosesANode(cluster, node)
        record = search("phantom:n=60", out=tmp_path / "run", engine="ray", trials=5, workers=3, progress=losing, **TINY)
        assert losing.node is None
        assert len({t.key for t in record.trials if t.outcome == "completed"}) == record.accounting.completed == 5
        limit = time.monotonic() + 60  # the cluster notices by missed heartbeats
        while sum(node["Alive"] for node in ray.nodes()) > 1 and time.monotonic() < limit:
            time.sleep(0.5)
        assert sum(node["Alive"] for node in ray.nodes()) == 1
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_trial_takes_its_thread_and_its_share_of_the_gpus():
    assert resources({"CPU": 8.0}, SearchSettings(workers=4)) == {"num_cpus": 1, "num_gpus": 0.0}
    assert resources({"CPU": 8.0, "GPU": 2.0}, SearchSettings(workers=4)) == {"num_cpus": 1, "num_gpus": 0.5}
    assert resources({"CPU": 8.0, "GPU": 4.0}, SearchSettings(workers=2)) == {"num_cpus": 1, "num_gpus": 1.0}
    assert resources({"CPU": 8.0, "GPU": 4.0}, SearchSettings(workers=2, device="cpu"))["num_gpus"] == 0.0
