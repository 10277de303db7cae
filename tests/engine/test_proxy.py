import threading
import time
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest

from nas.engine.proxy import make_proxy, shared_reads
from search_spaces.errors import InputError


class Slow(optuna.storages.InMemoryStorage):
    """Reading the list of trials takes long, and is counted."""

    def __init__(self):
        super().__init__()
        self.readings = 0
        self.gate = threading.Event()

    def get_all_trials(self, *arguments, **options):
        self.readings += 1
        found = super().get_all_trials(*arguments, **options)
        self.gate.wait(30)
        return found


def test_many_who_wait_share_one_reading_and_see_what_was_written_before_they_came():
    slow = Slow()
    shared = shared_reads(slow)
    study = shared.create_new_study([optuna.study.StudyDirection.MINIMIZE], "s")
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(shared.get_all_trials, study)  # has begun before the trial exists
        while slow.readings == 0:
            time.sleep(0.001)
        shared.create_new_trial(study)
        later = [pool.submit(shared.get_all_trials, study) for _ in range(15)]
        while not all(future.running() for future in later):
            time.sleep(0.001)
        time.sleep(0.05)  # they stand at the lock
        slow.gate.set()
        assert first.result() == []
        assert [len(future.result()) for future in later] == [1] * 15
    assert slow.readings == 2
    waiting = shared.get_all_trials(study, states=(optuna.trial.TrialState.WAITING,))
    assert waiting == []


def test_a_proxy_serves_databases_only():
    with pytest.raises(InputError, match="a proxy serves a database, but got 'journal:x'"):
        make_proxy("journal:x", "127.0.0.1", 1)
