"""What a worker makes of trials that fail, hang, or are taken away, with the training itself replaced."""

import os
import signal
import threading
import time

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from nas.engine import presence
from nas.engine import study as studies
from nas.engine import worker as worker_module
from nas.engine.objective import Pruned, failure_record, run_trial
from nas.engine.process import open_worker
from nas.engine.progress import Silent
from nas.engine.settings import SearchSettings
from nas.evaluation import pretraining
from nas.files import WriteError
from nas.records import EpochRecord
from search_spaces.errors import ToolkitError


class Messages(Silent):
    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A worker in this process whose trials run the function that it is given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def build(run_trial, **options):
        monkeypatch.setattr(worker_module, "run_trial", lambda context, architecture, **k: run_trial(architecture, k["number"]))
        settings = SearchSettings(
            **{
                "data": ("phantom:n=60",),
                "image_size": 32,
                "budget": "300K",
                "sampler": "random",
                "trials": 3,
                "prune": False,
                **options.pop("settings", {}),
            }
        )
        return open_worker(tmp_path, settings, Messages(), storage=None, study="s", name="w", **options)

    return build


def test_failures_that_differ_in_figures_only_stop_the_search_with_a_diagnosis(make):
    def fail(architecture, number):
        raise RuntimeError(f"CUDA out of memory: tried to allocate {20 + number} MiB")

    worker = make(fail)
    with pytest.raises(
        ToolkitError, match=r"the last 5 trials failed in the same way \(RuntimeError: CUDA out of memory.*--resume"
    ):
        worker.run()
    records = studies.trial_records(worker.study)
    assert [r.outcome for r in records] == ["failed"] * 5
    assert records[0].reason == "RuntimeError: CUDA out of memory: tried to allocate 20 MiB"


def test_failures_of_different_kinds_do_not_stop_it(make):
    def fail(architecture, number):
        raise (RuntimeError, ValueError, KeyError)[number % 3]("no")

    worker = make(fail)
    assert worker.run(at_most=8) == 8
    assert studies.account(worker.study.get_trials()).failed == 8


@pytest.mark.parametrize("error", [Pruned("late"), RuntimeError("no")], ids=repr)
def test_the_time_of_trials_that_ended_early_is_counted(make, error):
    def end(architecture, number):
        time.sleep(0.05)
        raise error

    worker = make(end)
    assert worker.run(at_most=3) == 3
    spent = studies.account(worker.study.get_trials()).seconds["ended early"]
    assert spent >= 3 * 0.05
    assert spent == pytest.approx(sum(r.seconds["ended early"] for r in studies.trial_records(worker.study)), abs=1e-3)


@pytest.mark.parametrize(("outcome", "kept"), [("pruned", False), ("failed", True)])
def test_a_pruned_training_leaves_no_checkpoints_behind(make, tmp_path, outcome, kept):
    def stop(architecture, number):
        directory = worker.context.directory.trial(architecture.key)
        directory.mkdir(parents=True)
        for name in ("checkpoint.safetensors", "checkpoint.previous.safetensors"):
            (directory / name).touch()
        raise Pruned("late") if outcome == "pruned" else RuntimeError("no")

    worker = make(stop)
    worker.run(at_most=2)
    records = studies.trial_records(worker.study)
    assert [r.outcome for r in records] == [outcome] * 2
    assert {worker.context.directory.trial(r.key).exists() for r in records} == {kept}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), WriteError("cannot write x: No space left on device")], ids=str)
def test_what_no_candidate_has_done_gives_the_trial_back(make, error):
    def fail(architecture, number):
        raise error

    worker = make(fail)
    for _ in range(studies.MAX_ATTEMPTS + 1):  # giving back is no attempt
        with pytest.raises(type(error)):
            worker.run()
    first, *_, waiting = worker.study.get_trials()
    assert (waiting.state, waiting.user_attrs["key"]) == (TrialState.WAITING, first.user_attrs["key"])
    assert studies.account(worker.study.get_trials()).failed == 0


def test_a_terminated_worker_of_its_own_process_gives_its_trial_back(make):
    def terminated(architecture, number):
        os.kill(os.getpid(), signal.SIGTERM)

    worker = make(terminated, dedicated=True)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whatever the process that runs the tests has set
    try:
        with pytest.raises(SystemExit) as ended:
            worker.run()
        assert ended.value.code == 128 + signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [t.state for t in worker.study.get_trials()] == [TrialState.FAIL, TrialState.WAITING]


def test_a_command_that_is_terminated_ends_in_its_own_way_once_the_trial_is_given_back(make):
    def terminated(architecture, number):
        os.kill(os.getpid(), signal.SIGTERM)

    worker = make(terminated, dedicated=True)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as ``nas`` does
    try:
        with pytest.raises(KeyboardInterrupt):
            worker.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [t.state for t in worker.study.get_trials()] == [TrialState.FAIL, TrialState.WAITING]


def test_a_worker_starts_no_trial_after_the_time_that_the_study_names(make):
    worker = make(replace_outcome)
    worker.study.set_user_attr(studies.DEADLINE, time.time() - 1.0)
    assert worker.run() == 0
    assert worker.progress.messages == ["time is up: no further trial is started"]
    worker.study.set_user_attr(studies.DEADLINE, None)
    assert not studies.is_time_up(worker.study)


def test_a_trial_that_hangs_ends_its_process_and_says_why(make, monkeypatch):
    monkeypatch.setattr(presence, "HEARTBEAT_SECONDS", 0.02)
    ended = threading.Event()
    codes = []

    def exit_process(code):
        codes.append(code)
        ended.set()

    def hang(architecture, number):
        assert ended.wait(60)
        raise KeyboardInterrupt  # in place of the process's end

    monkeypatch.setattr(worker_module.os, "_exit", exit_process)
    worker = make(hang, dedicated=True, settings={"stall_minutes": 0.001})
    with pytest.raises(KeyboardInterrupt):
        worker.run()
    assert set(codes) == {worker_module.STALLED}
    assert worker.study.get_trials()[0].user_attrs["stalled"] == "no progress for 0.001 minutes"


def test_each_epoch_of_a_pretraining_is_told_as_progress(make, monkeypatch):
    monkeypatch.setattr(pretraining, "PHANTOM_IMAGES", 48)
    monkeypatch.setattr(pretraining, "PHANTOM_EPOCHS", 3)
    told = []
    worker = make(None, settings={"pretrained": "shared", "trials": 1, "epochs": 2, "screen": False})
    monkeypatch.setattr(worker_module, "run_trial", run_trial)
    monkeypatch.setattr(worker.progress, "epoch", lambda *_: told.append("epoch"), raising=False)
    monkeypatch.setattr(worker.progress, "accounting", lambda _: told.append(time.monotonic() - worker._moved), raising=False)
    assert worker.run() == 1
    alive = told[: told.index("epoch")]
    assert len(alive) == 3
    assert max(alive) < 1.0, "each is a sign of life, before which the worker has noted it"
    assert told[3:5] == ["epoch", "epoch"]


def test_a_trial_that_others_gave_up_is_dropped_and_the_worker_goes_on(make):
    def taken(architecture, number):
        if number == 0:
            studies._fail_stale(worker.study, worker.study.get_trials()[0])
        raise ValueError("what becomes of it")

    worker = make(taken)
    assert worker.run(at_most=2) == 2
    assert "was given up by others" in worker.progress.messages[0]
    lost, retry = worker.study.get_trials()
    assert lost.user_attrs["reason"] == "its worker died (attempt 1)"
    assert retry.user_attrs["retry_of"] == lost.number
    assert studies.account(worker.study.get_trials()).failed == 1


def test_the_last_attempt_of_a_trial_whose_worker_dies_is_recorded_as_failed(make, monkeypatch):
    monkeypatch.setattr(studies, "release", lambda *_: None)  # nobody gives anything back: killed
    monkeypatch.setattr(presence, "_start_time", lambda _: next(starts))
    starts = map(str, range(10_000))

    def killed(architecture, number):
        raise KeyboardInterrupt

    worker = make(killed)
    for _ in range(studies.MAX_ATTEMPTS):
        with pytest.raises(KeyboardInterrupt):
            worker.run()
    studies.sweep(worker.study)
    record = studies.trial_records(worker.study)
    assert [(r.outcome, r.reason) for r in record] == [("failed", "its worker died (attempt 3)")]
    assert optuna.trial.TrialState.RUNNING not in {t.state for t in worker.study.get_trials()}


def test_trials_are_pruned_by_the_objective(make, monkeypatch):
    def train(context, architecture, *, number, index, on_epoch, **_):
        area = 0.9 if number < 3 else 0.5  # with a log-loss that would say the contrary
        for epoch in (1, 2, 3):
            figures = {"log_loss": area, "auroc": area, "balanced_accuracy": 0.5}
            on_epoch(EpochRecord(epoch=epoch, train_loss=1.0, learning_rate=0.1, validation=figures))
        return replace_outcome(context, architecture, number, 1 - area)

    worker = make(None, settings={"prune": True, "epochs": 3, "trials": 4, "objective": "auroc"})
    monkeypatch.setattr(worker_module, "run_trial", train)
    worker.run()
    trials = [t for t in worker.study.get_trials() if t.intermediate_values]
    assert [t.intermediate_values[1] for t in trials] == pytest.approx([0.1, 0.1, 0.1, 0.5])
    assert trials[3].user_attrs["reason"] == "pruned after epoch 1: 1 − AUROC 0.5000"
    assert worker.study.metric_names == ["1 − AUROC"]


EPOCHS = 3


def run_interrupted(make, at, monkeypatch):
    """The trials of a search whose process is killed at its ``at``-th epoch (0: never), with the checkpoints that remain."""
    checkpoints, told = {}, []
    monkeypatch.setattr(studies, "release", lambda *_: None)
    monkeypatch.setattr(presence, "_start_time", lambda _: str(len(told) > at > 0))  # another process once it was killed

    def train(context, architecture, *, number, index, on_epoch, **_):
        losses = np.random.default_rng(index).uniform(0.5, 1.0, EPOCHS)
        for epoch in range(1, EPOCHS + 1):
            done = checkpoints.setdefault(architecture.key, 0)
            checkpoints[architecture.key] = max(done, epoch)
            if epoch > done:
                told.append(epoch)
                if len(told) == at:
                    told.append(0)
                    raise KeyboardInterrupt  # after the checkpoint was written, before anything was told
            on_epoch(EpochRecord(epoch=epoch, train_loss=1.0, learning_rate=0.1, validation={"log_loss": losses[epoch - 1]}))
        return replace_outcome(context, architecture, number, losses[-1])

    worker = make(None, settings={"prune": True, "epochs": EPOCHS, "trials": 8, "sampler": "random"})
    monkeypatch.setattr(worker_module, "run_trial", train)
    if at:
        with pytest.raises(KeyboardInterrupt):
            worker.run()
    worker.run()
    return [(t.user_attrs["key"], t.state, t.value, t.intermediate_values) for t in studies.ended(worker.study.get_trials())]


def replace_outcome(context, architecture, number, quality):
    record = failure_record(context, architecture, number=number, outcome="completed", reason="", history=(), fidelity=EPOCHS)
    return record.model_copy(update={"quality": float(quality)})


@pytest.mark.parametrize("at", [5, 12])
def test_killed_at_any_epoch_the_pruner_decides_as_if_nothing_had_happened(make, monkeypatch, tmp_path, at):
    whole = run_interrupted(make, 0, monkeypatch)
    assert {state for _, state, *_ in whole} == {TrialState.COMPLETE, TrialState.PRUNED}
    for file in tmp_path.glob("journal.log*"):
        file.unlink()
    assert run_interrupted(make, at, monkeypatch) == whole
