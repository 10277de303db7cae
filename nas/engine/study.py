"""The Optuna study of a search: opening it, claiming proposals, counting them, sweeping what dead workers left."""

from __future__ import annotations

import datetime
import os
import socket
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from nas.engine.progress import Progress
from nas.engine.settings import SearchSettings
from nas.records import Accounting, TrialRecord
from search_spaces.architecture import Architecture
from search_spaces.errors import InputError

MAX_ATTEMPTS = 3
OBJECTIVE_NAMES = {"log_loss": "class-balanced log-loss", "auroc": "1 − AUROC", "balanced_accuracy": "1 − balanced accuracy"}
_TRAINED = (TrialState.COMPLETE, TrialState.PRUNED)
CLAIM_SECONDS = 30.0  # longest wait for a rival claim to be confirmed or withdrawn
HEARTBEAT_SECONDS = 20.0
STALE_SECONDS = (
    180.0  # a worker on another host that has been silent for so long is dead (clocks within a minute of each other)
)


def open_study(
    storage: optuna.storages.BaseStorage,
    name: str,
    *,
    settings: SearchSettings,
    facts: dict[str, Any],
    sampler: Any = None,
    pruner: Any = None,
) -> Study:
    """Create or open the study, and refuse to join one that was made for something else.

    Args:
        settings: stored in a new study; compared with a study that exists.
        facts: what must agree between workers: data fingerprint, space version, …
    """
    study = optuna.create_study(
        storage=storage, study_name=name, direction="minimize", load_if_exists=True, sampler=sampler, pruner=pruner
    )
    stored = study.user_attrs
    if "facts" not in stored:
        with warnings.catch_warnings():  # experimental in Optuna, and only a label for people's dashboards
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([OBJECTIVE_NAMES[settings.objective]])
        study.set_user_attr("settings", settings.model_dump(mode="json"))
        study.set_user_attr("facts", facts)
        return study
    for key, value in facts.items():
        if stored["facts"].get(key) != value:
            raise InputError(
                f"the study was made with {key} = {stored['facts'].get(key)!r}, but this worker has {value!r}; "
                "give it the same data and the same version of the toolkit"
            )
    return study


def identity(worker: str) -> dict[str, Any]:
    """Who runs a trial: host, boot, process and worker name."""
    return {
        "host": socket.gethostname(),
        "boot": _boot_id(),
        "pid": os.getpid(),
        "start": _start_time(os.getpid()),
        "worker": worker,
    }


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _start_time(pid: int) -> str:
    """When a process started (clock ticks after boot); tells a live worker from a stranger that got its process id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def is_dead(owner: dict[str, Any], beat: str | None, now: datetime.datetime) -> bool:
    """Whether the worker that owns a trial is gone: by its process on this host, by its silence elsewhere."""
    if owner.get("host") == socket.gethostname() and owner.get("boot") == _boot_id():
        try:
            os.kill(int(owner["pid"]), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return owner.get("start", "") != _start_time(int(owner["pid"]))
    if beat is None:
        return True
    return (now - datetime.datetime.fromisoformat(beat)).total_seconds() > STALE_SECONDS


def beat(study: Study, worker: str) -> None:
    """Say that a worker lives; read by sweeps on other hosts."""
    study.set_user_attr(f"beat:{worker}", datetime.datetime.now(datetime.UTC).isoformat())


def sweep(study: Study) -> int:
    """Fail the RUNNING trials of dead workers and queue each again (at most ``MAX_ATTEMPTS`` times); returns how many.

    Optuna's heartbeats exist only for relational storages under ``study.optimize``; on a journal its own sweep does nothing.
    """
    now = datetime.datetime.now(datetime.UTC)
    swept = 0
    attributes = study.user_attrs
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        owner = trial.user_attrs.get("owner")
        if owner is None:
            started = trial.datetime_start
            age = 0.0 if started is None else (now - _aware(started)).total_seconds()
            if age < STALE_SECONDS:
                continue  # between ask and its first attribute: give it time
        elif not is_dead(owner, attributes.get(f"beat:{owner['worker']}"), now):
            continue
        if fail_stale(study, trial):
            swept += 1
    return swept


def _aware(moment: datetime.datetime) -> datetime.datetime:
    """Optuna 5 stores UTC; older storages hand out local time without a zone."""
    return moment if moment.tzinfo else moment.astimezone(datetime.UTC)


def fail_stale(study: Study, trial: FrozenTrial) -> bool:
    """Fail one trial of a dead worker and queue it again; False when another sweeper was faster."""
    attempt = int(trial.user_attrs.get("attempt", 1))
    study._storage.set_trial_user_attr(trial._trial_id, "reason", f"its worker died (attempt {attempt})")
    study._storage.set_trial_user_attr(trial._trial_id, "outcome", "failed")
    try:
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=False)
    except (ValueError, RuntimeError, optuna.exceptions.UpdateFinishedTrialError):
        return False
    if attempt < MAX_ATTEMPTS and "architecture" in trial.user_attrs and "index" in trial.user_attrs:
        kept = {name: trial.user_attrs[name] for name in ("architecture", "key", "index")}
        study.enqueue_trial(trial.params, user_attrs={**kept, "attempt": attempt + 1, "retry_of": trial.number})
    return True


def claim(study: Study, trial: Trial, architecture: Architecture, worker: str) -> int | None:
    """Claim an architecture for a trial, without a lock, on any storage.

    Each claimant first writes the key, then looks around. It gives way to a claim that is confirmed (has an index); of two that
    are not, the higher trial number gives way at once and the lower one waits to see what the other does: the other may have
    looked around before the lower one wrote its key, and then confirms.

    Returns the index of this accepted proposal (0, 1, …), from which all of its random streams derive, or None when the same
    network has been proposed before.
    """
    retried = trial.user_attrs.get("index")
    trial.set_user_attr("owner", identity(worker))
    if retried is not None:
        return int(retried)
    trial.set_user_attr("architecture", architecture.to_json())
    trial.set_user_attr("key", architecture.key)
    limit = time.monotonic() + CLAIM_SECONDS
    while True:
        trials = study.get_trials(deepcopy=False)
        rivals = [
            t for t in trials if t.number != trial.number and t.user_attrs.get("key") == architecture.key and not _gave_way(t)
        ]
        if any("index" in t.user_attrs or t.number < trial.number for t in rivals):
            return None
        if not rivals or time.monotonic() > limit:
            break
        time.sleep(0.05)
    index = len(
        {t.user_attrs["key"] for t in trials if t.number < trial.number and "index" in t.user_attrs and not _gave_way(t)}
    )
    trial.set_user_attr("index", index)
    return index


def _gave_way(trial: FrozenTrial) -> bool:
    """Whether a trial's claim on its network is void: refused, or its worker died before it was confirmed."""
    unconfirmed = trial.state == TrialState.FAIL and "index" not in trial.user_attrs
    return unconfirmed or trial.user_attrs.get("outcome") in ("repeated", "over_budget", "surplus")


def account(trials: Iterable[FrozenTrial]) -> Accounting:
    """Count proposals by what became of them. A trial that was retried after its worker died counts once, as what it became."""
    counts = dict.fromkeys(("repeated", "over_budget", "pruned", "failed", "completed"), 0)
    seconds: dict[str, float] = {}
    proposed = 0
    trials = list(trials)
    retried = {t.user_attrs["retry_of"] for t in trials if "retry_of" in t.user_attrs}
    for trial in trials:
        if trial.number in retried or trial.state == TrialState.WAITING:
            continue
        proposed += 1
        outcome = trial.user_attrs.get("outcome")
        if outcome in counts and trial.state.is_finished():
            counts[outcome] += 1
        for phase, value in trial.user_attrs.get("record", {}).get("seconds", {}).items():
            seconds[phase] = seconds.get(phase, 0.0) + value
    return Accounting(proposed=proposed, **counts, seconds={k: round(v, 3) for k, v in seconds.items()})


def trained(trials: Iterable[FrozenTrial]) -> int:
    """Distinct candidates trained so far, pruned ones included: what ``--trials`` counts.

    By the trial's state, not by its attributes: these are written first, and a worker may die before it tells.
    """
    return len({t.user_attrs["key"] for t in trials if t.state in _TRAINED and "key" in t.user_attrs})


def trial_records(study: Study) -> tuple[TrialRecord, ...]:
    """The records of all trials that were trained or failed, by number.

    A trial whose worker died between writing its record and telling it is left to its retry.
    """
    records = []
    for trial in study.get_trials(deepcopy=False):
        record = trial.user_attrs.get("record")
        if record is not None and trial.state.is_finished() and record["outcome"] == trial.user_attrs.get("outcome"):
            records.append(TrialRecord.model_validate(record))
    return tuple(records)


class Reporter:
    """Tells a progress display of trials that ended since the last call: for engines whose workers cannot send events."""

    def __init__(self, study: Study, progress: Progress) -> None:
        self._study = study
        self._progress = progress
        self._told = {record.number for record in trial_records(study)}

    def __call__(self) -> None:
        """Report what is new."""
        for record in trial_records(self._study):
            if record.number not in self._told:
                self._told.add(record.number)
                self._progress.trial_finished(record)
        self._progress.accounting(account(self._study.get_trials(deepcopy=False)))
