import datetime
import multiprocessing
import os
import subprocess
import sys
from types import SimpleNamespace

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from nas.engine import presence
from nas.engine import study as studies
from nas.engine.journal import journal_storage
from nas.engine.settings import SearchSettings
from search_spaces.errors import InputError

FACTS = {"data_fingerprint": "abc", "space_version": 1}


@pytest.fixture
def study(tmp_path):
    storage = journal_storage(tmp_path / "journal.log")
    return studies.open_study(
        storage, "s", settings=SearchSettings(), facts=FACTS, sampler=optuna.samplers.RandomSampler(seed=0)
    )


def network(name):
    return SimpleNamespace(key=name, to_json=lambda: {"space": "x", "choices": {"name": name}})


def propose(study, name, worker="w"):
    trial = study.ask()
    studies.own(trial, worker)
    return trial, studies.claim(study, trial, network(name))


def finish(study, trial, outcome="completed", value=1.0):
    trial.set_user_attr("outcome", outcome)
    state = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(outcome, TrialState.FAIL)
    study.tell(trial, value if state == TrialState.COMPLETE else None, state=state)


def dead_process():
    """The identity of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return {**presence.identity("dead"), "pid": process.pid}


def test_the_same_network_is_claimed_once(study):
    first, index = propose(study, "a")
    _, again = propose(study, "a")
    assert (index, again) == (0, None)
    finish(study, first)
    assert propose(study, "a")[1] is None


def test_indices_count_accepted_proposals_not_trials(study):
    propose(study, "a")
    repeated, _ = propose(study, "a")
    finish(study, repeated, "repeated")
    assert propose(study, "b")[1] == 1


def test_a_claim_that_is_confirmed_wins_whatever_its_number(study):
    first, second = study.ask(), study.ask()
    assert studies.claim(study, second, network("a")) == 0  # nothing else carries the key yet
    assert studies.claim(study, first, network("a")) is None


def test_of_two_unconfirmed_claims_the_higher_number_gives_way(study):
    first, second = study.ask(), study.ask()
    first.set_user_attr("key", "a")  # the first has written its key and not looked around yet
    assert studies.claim(study, second, network("a")) is None
    finish(study, second, "repeated")
    assert studies.claim(study, first, network("a")) == 0


def test_the_lower_number_waits_for_a_rival_that_may_have_looked_before(study, monkeypatch):
    first, second = study.ask(), study.ask()
    second.set_user_attr("key", "a")
    monkeypatch.setattr(studies.time, "sleep", lambda _: second.set_user_attr("index", 0))  # the rival confirms meanwhile
    assert studies.claim(study, first, network("a")) is None


def _claim_all(path, results):
    storage = journal_storage(path)
    study = studies.open_study(
        storage, "s", settings=SearchSettings(), facts=FACTS, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    won = []
    for name in range(20):
        trial = study.ask()
        if studies.claim(study, trial, network(str(name))) is not None:
            won.append(name)
            finish(study, trial)
        else:
            finish(study, trial, "repeated")
    results.put(won)


def test_of_many_processes_claiming_the_same_networks_each_network_goes_to_one(tmp_path):
    path = tmp_path / "journal.log"
    studies.open_study(journal_storage(path), "s", settings=SearchSettings(), facts=FACTS)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_claim_all, args=(path, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    won = [name for _ in workers for name in results.get(timeout=120)]
    for worker in workers:
        worker.join()
    assert sorted(won) == list(range(20))


def test_a_dead_workers_trial_is_failed_and_queued_again_with_its_network_and_index(study):
    trial, index = propose(study, "a")
    trial.suggest_categorical("x", [1, 2])
    trial.set_user_attr("owner", dead_process())
    assert studies.sweep(study) == 1
    assert study.get_trials()[0].state == TrialState.FAIL
    retried = study.ask()
    assert retried.user_attrs["key"] == "a"
    assert studies.claim(study, retried, network("a")) == index
    assert retried.suggest_categorical("x", [1, 2]) == trial.params["x"]


def test_a_living_workers_trial_is_left_alone(study):
    propose(study, "a")
    assert studies.sweep(study) == 0


def test_retries_are_bounded(study):
    trial, _ = propose(study, "a")
    for _ in range(studies.MAX_ATTEMPTS):
        trial.set_user_attr("owner", dead_process())
        assert studies.sweep(study) == 1
        if study.get_trials(states=(TrialState.WAITING,)):
            trial = study.ask()
    assert study.get_trials(states=(TrialState.WAITING, TrialState.RUNNING)) == []
    assert "attempt 3" in study.get_trials()[-1].user_attrs["reason"]


def test_a_worker_on_another_host_is_dead_when_it_has_been_silent():
    now = datetime.datetime.now(datetime.UTC)
    away = {**presence.identity("w"), "host": "elsewhere"}
    assert not presence.is_dead(away, (now - datetime.timedelta(seconds=10)).isoformat(), now)
    assert presence.is_dead(away, (now - datetime.timedelta(seconds=presence.STALE_SECONDS + 1)).isoformat(), now)


def test_a_stranger_with_the_same_process_id_is_not_the_worker():
    now = datetime.datetime.now(datetime.UTC)
    assert not presence.is_dead(presence.identity("w"), None, now)
    assert presence.is_dead({**presence.identity("w"), "start": "1"}, None, now)
    assert presence.identity("w")["pid"] == os.getpid()


def test_accounting_counts_every_outcome_once_and_retries_as_what_they_became(study):
    for name, outcome in (("a", "completed"), ("b", "pruned"), ("c", "failed")):
        trial, _ = propose(study, name)
        finish(study, trial, outcome)
    repeated, _ = propose(study, "a")
    finish(study, repeated, "repeated")
    stale, _ = propose(study, "d")
    stale.set_user_attr("owner", dead_process())
    studies.sweep(study)
    retried = study.ask()
    studies.claim(study, retried, network("d"))
    finish(study, retried)
    counts = studies.account(study.get_trials())
    assert (counts.proposed, counts.completed, counts.pruned, counts.failed, counts.repeated) == (5, 2, 1, 1, 1)
    assert studies.trained(study.get_trials()) == 3


def test_a_trial_counts_only_once_it_is_told(study):
    trial, _ = propose(study, "a")
    trial.set_user_attr("outcome", "completed")  # its worker has written everything and not told yet
    assert studies.trained(study.get_trials()) == 0
    assert studies.account(study.get_trials()).completed == 0
    study.tell(trial, 1.0)
    assert studies.trained(study.get_trials()) == 1


def test_a_worker_with_other_data_is_refused(study):
    with pytest.raises(InputError, match="data_fingerprint = 'abc', but this worker has 'xyz'"):
        studies.open_study(study._storage, "s", settings=SearchSettings(), facts={**FACTS, "data_fingerprint": "xyz"})


def test_a_trial_whose_worker_died_before_its_claim_leaves_no_trace(study):
    trial = study.ask()
    trial.set_user_attr("owner", dead_process())
    assert studies.sweep(study) == 1
    assert studies.account(study.get_trials()).proposed == 0
    assert study.get_trials(states=(TrialState.WAITING,)) == []
    assert propose(study, "a")[1] == 0  # indices go on as if it had not been


def test_a_trial_that_never_got_an_owner_is_given_up_after_a_moment(study):
    study.ask()
    assert studies.sweep(study) == 0
    assert studies.sweep(study, patience=0.0) == 1


def test_a_sweeper_that_is_killed_before_it_queues_the_retry_loses_nothing(study, monkeypatch):
    trial, index = propose(study, "a")
    trial.set_user_attr("owner", dead_process())
    monkeypatch.setattr(studies, "_requeue", lambda study: None)
    studies.sweep(study)
    monkeypatch.undo()
    assert study.get_trials(states=(TrialState.WAITING,)) == []
    studies.sweep(study)
    assert studies.claim(study, study.ask(), network("a")) == index


def test_of_two_retries_of_one_trial_the_first_runs(study):
    trial, index = propose(study, "a")
    trial.set_user_attr("owner", dead_process())
    studies.sweep(study)
    first = study.get_trials(states=(TrialState.WAITING,))[0]
    study.enqueue_trial(first.params, user_attrs=first.user_attrs)  # by a sweeper that had not seen the first one yet
    one, two = study.ask(), study.ask()
    assert studies.claim(study, two, network("a")) is None
    assert studies.claim(study, one, network("a")) == index


@pytest.mark.parametrize("first_ends", [True, False])
def test_a_second_retry_that_is_lost_and_queued_again_still_gives_way(study, first_ends):
    trial, index = propose(study, "a")
    trial.set_user_attr("owner", dead_process())
    studies.sweep(study)
    queued = study.get_trials(states=(TrialState.WAITING,))[0]
    study.enqueue_trial(queued.params, user_attrs=queued.user_attrs)
    one, two = study.ask(), study.ask()
    studies.own(one, "w")
    two.set_user_attr("owner", dead_process())  # killed between asking and giving way
    assert studies.claim(study, one, network("a")) == index
    if first_ends:
        finish(study, one)
    studies.sweep(study)
    assert studies.claim(study, study.ask(), network("a")) is None


def test_a_living_worker_that_was_taken_for_dead_gives_its_trial_up(study):
    trial, _ = propose(study, "a")
    studies._fail_stale(study, study.get_trials(deepcopy=False)[0])
    with pytest.raises(UpdateFinishedTrialError):
        studies.check_ours(study, trial)
    with pytest.raises(UpdateFinishedTrialError):
        studies.tell(study, trial, TrialState.COMPLETE, 1.0)


def test_a_sweeper_that_comes_too_late_takes_nothing_from_a_finished_trial(study):
    trial, _ = propose(study, "a")
    seen = study.get_trials(deepcopy=False)[0]
    study._storage.set_trial_user_attr(trial._trial_id, studies.LOST, True)  # it has begun …
    study.tell(trial, 1.0)  # … and the worker, alive, is faster
    assert not studies._fail_stale(study, seen)
    studies.sweep(study)
    assert studies.account(study.get_trials()).completed == 1
    assert study.get_trials(states=(TrialState.WAITING,)) == []


def test_another_process_id_space_is_another_host():
    now = datetime.datetime.now(datetime.UTC)
    container = {**presence.identity("w"), "boot": "this kernel, pid:[1]", "pid": 1 << 22}
    assert not presence.is_dead(container, now.isoformat(), now)


def test_a_search_with_other_settings_does_not_join(study):
    with pytest.raises(InputError, match="seed = 0, but got 1"):
        studies.open_study(study._storage, "s", settings=SearchSettings(seed=1), facts=FACTS)
    studies.open_study(study._storage, "s", settings=SearchSettings(trials=99, workers=4), facts=FACTS)


def test_threads_are_taken_over_from_the_study(study):
    joined = studies.open_study(study._storage, "s", settings=SearchSettings(), facts={**FACTS, "threads": 7})
    assert "threads" not in joined.user_attrs["facts"]
