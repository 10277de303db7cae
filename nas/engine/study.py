"""The Optuna study of a search: opening it, claiming proposals, counting them, sweeping what dead workers left."""

from __future__ import annotations

import datetime
import time
import warnings
from collections.abc import Iterable
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from nas.engine.presence import identity, is_dead
from nas.engine.progress import Progress
from nas.engine.settings import OBJECTIVE_NAMES, SearchSettings, parse_settings, refuse_other_settings
from nas.engine.storage import refuse_proxied_file
from nas.records import Accounting, TrialRecord
from search_spaces.architecture import Architecture
from search_spaces.errors import InputError

MAX_ATTEMPTS = 3
_REMEDIES = {
    "run": "it belongs to another run directory: name that one with --out, or take another --study",
    "data_fingerprint": "give it the same data files",
    "classes": "give it the same data files",
    "space": "give it the same plug-ins and the same version of the toolkit",
    "space_version": "give it the same version of the toolkit",
}
_TRAINED = (TrialState.COMPLETE, TrialState.PRUNED)
CLAIM_SECONDS = 30.0  # longest wait for a rival claim to be confirmed or withdrawn
OWNERLESS_SECONDS = 10.0  # a trial gets its owner in the moment after it is asked for
LOST = "lost"  # attribute of a trial whose worker died; without an index, it is as if it had never been asked for
DEADLINE = "deadline"  # attribute of a study: ``time.time()`` after which no worker starts a further trial; None: none
_REFUSED = ("repeated", "over_budget", "surplus")
_LOCAL_FACTS = ("threads",)  # taken over by whoever joins, so that sums round alike; not compared


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
    refuse_proxied_file(storage)
    stored = study.user_attrs
    if "facts" not in stored:
        with warnings.catch_warnings():  # experimental in Optuna, and only a label for people's dashboards
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([OBJECTIVE_NAMES[settings.objective][1]])
        study.set_user_attr("settings", settings.model_dump(mode="json"))
        study.set_user_attr("facts", facts)
        return study
    for key, value in facts.items():
        if key not in _LOCAL_FACTS and stored["facts"].get(key) != value:
            raise InputError(
                f"the study was made with {key} = {stored['facts'].get(key)!r}, but this worker has {value!r}; {_REMEDIES[key]}"
            )
    refuse_other_settings(parse_settings(stored["settings"]), settings.model_dump(mode="json"))
    return study


def sweep(study: Study, patience: float = OWNERLESS_SECONDS) -> int:
    """Fail the RUNNING trials of dead workers and queue each again (at most ``MAX_ATTEMPTS`` times); returns how many.

    Optuna's heartbeats exist only for relational storages under ``study.optimize``; on a journal its own sweep does nothing.

    Args:
        patience: seconds after which a trial without an owner is given up; its worker, if it lives after all, asks again.
    """
    now = datetime.datetime.now(datetime.UTC)
    attributes = study.user_attrs
    stale = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        owner = trial.user_attrs.get("owner")
        if owner is None:
            started = trial.datetime_start
            dead = started is not None and (now - _aware(started)).total_seconds() >= patience
        else:
            dead = is_dead(owner, attributes.get(f"beat:{owner['worker']}"), now)
        if dead:
            stale.append(trial)
    swept = sum(_fail_stale(study, trial) for trial in stale)
    _requeue(study)
    return swept


def _aware(moment: datetime.datetime) -> datetime.datetime:
    """Optuna 5 stores UTC; older storages hand out local time without a zone."""
    return moment if moment.tzinfo else moment.astimezone(datetime.UTC)


def _fail_stale(study: Study, trial: FrozenTrial) -> bool:
    """Fail one trial of a dead worker; False when another sweeper was faster or its worker lives and has told it."""
    reason = f"{trial.user_attrs.get('stalled', 'its worker died')} (attempt {_attempt(trial)})"
    try:
        study._storage.set_trial_user_attr(trial._trial_id, "reason", reason)
        study._storage.set_trial_user_attr(trial._trial_id, LOST, True)
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=False)
    except (ValueError, RuntimeError):  # finished meanwhile (UpdateFinishedTrialError is a RuntimeError)
        return False
    return True


def _attempt(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get("attempt", 1))


def release(study: Study, trial: Trial) -> None:
    """Give a trial back that was interrupted: it is queued again, without counting as an attempt."""
    trial.set_user_attr("reason", "interrupted")
    trial.set_user_attr("released", True)
    trial.set_user_attr(LOST, True)
    tell(study, trial, TrialState.FAIL)
    _requeue(study)


def _requeue(study: Study) -> None:
    """Queue what dead workers had begun and nobody has queued yet.

    Apart from failing them, so that a sweeper may itself be killed in between. Two sweepers may queue the same trial: ``claim``
    lets the first of them run.
    """
    trials = study.get_trials(deepcopy=False)
    queued = _retried(trials)
    for trial in trials:
        attributes = trial.user_attrs
        lost = trial.state == TrialState.FAIL and LOST in attributes and "index" in attributes
        attempt = _attempt(trial) + ("released" not in attributes)
        if lost and trial.number not in queued and attempt <= MAX_ATTEMPTS:
            kept = {name: attributes[name] for name in ("architecture", "key", "index")}
            study.enqueue_trial(trial.params, user_attrs={**kept, "attempt": attempt, "retry_of": trial.number})


def _retried(trials: Iterable[FrozenTrial]) -> set[int]:
    return {t.user_attrs["retry_of"] for t in trials if "retry_of" in t.user_attrs}


def own(trial: Trial, worker: str) -> None:
    """Write down whose trial it is, the first thing after asking for it."""
    trial.set_user_attr("owner", identity(worker))


def check_ours(study: Study, trial: Trial) -> None:
    """Raise ``UpdateFinishedTrialError`` where others have given the trial up, because its worker was out of reach for long."""
    if study._storage.get_trial(trial._trial_id).state.is_finished():
        raise UpdateFinishedTrialError(f"trial {trial.number} was finished by another worker")


def tell(study: Study, trial: Trial, state: TrialState, value: float | None = None) -> None:
    """Finish a trial; one that others have given up raises ``UpdateFinishedTrialError``."""
    try:
        study.tell(trial, value, state=state)
    except ValueError:
        check_ours(study, trial)
        raise


def claim(study: Study, trial: Trial, architecture: Architecture) -> int | None:
    """Claim an architecture for a trial, without a lock, on any storage.

    Each claimant first writes the key, then looks around. It gives way to a claim that is confirmed (has an index); of two that
    are not, the higher trial number gives way at once and the lower one waits to see what the other does: the other may have
    looked around before the lower one wrote its key, and then confirms.

    Returns the index of this accepted proposal (0, 1, …), from which all of its random streams derive, or None when the same
    network has been proposed before.
    """
    if "index" in trial.user_attrs:
        return None if _stands_elsewhere(study, trial) else int(trial.user_attrs["index"])
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


def _stands_elsewhere(study: Study, retry: Trial) -> bool:
    """Whether another trial stands for a retry's network: two sweepers may have queued it, and either retry may be lost and queued again.

    One that has ended does, and of those that have not, the one with the lowest number.
    """
    for trial in study.get_trials(deepcopy=False):
        attributes = trial.user_attrs
        if trial.number == retry.number or attributes.get("key") != retry.user_attrs["key"] or "index" not in attributes:
            continue
        if (LOST in attributes and trial.state == TrialState.FAIL) or attributes.get("outcome") in _REFUSED:
            continue
        if trial.state.is_finished() or trial.number < retry.number:
            return True
    return False


def _gave_way(trial: FrozenTrial) -> bool:
    """Whether a trial's claim on its network is void: refused, or its worker died before it was confirmed."""
    unconfirmed = trial.state == TrialState.FAIL and "index" not in trial.user_attrs
    return unconfirmed or trial.user_attrs.get("outcome") in _REFUSED


def outcome_of(trial: FrozenTrial) -> str:
    """What became of a finished trial, ``""`` for one that was never accepted.

    Its state decides: attributes are written before it is told, also by a sweeper that takes a living worker for dead.
    """
    if trial.state in _TRAINED:
        return "completed" if trial.state == TrialState.COMPLETE else "pruned"
    outcome = trial.user_attrs.get("outcome")
    if outcome in _REFUSED:
        return str(outcome)
    return "failed" if "index" in trial.user_attrs else ""


def ended(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Finished trials that stand for something: without those that were queued again or never got as far as a network."""
    trials = list(trials)
    retried = _retried(trials)
    return [t for t in trials if t.state.is_finished() and t.number not in retried and outcome_of(t)]


def account(trials: Iterable[FrozenTrial]) -> Accounting:
    """Count proposals by what became of them. A trial that was retried after its worker died counts once, as what it became."""
    counts = dict.fromkeys(("repeated", "over_budget", "pruned", "failed", "completed"), 0)
    seconds: dict[str, float] = {}
    trials = list(trials)
    finished = ended(trials)
    for trial in finished:
        outcome = outcome_of(trial)
        if outcome in counts:
            counts[outcome] += 1
        for phase, value in trial.user_attrs.get("record", {}).get("seconds", {}).items():
            seconds[phase] = seconds.get(phase, 0.0) + value
    running = sum(t.state == TrialState.RUNNING for t in trials)
    return Accounting(proposed=len(finished) + running, **counts, seconds={k: round(v, 3) for k, v in seconds.items()})


def is_time_up(study: Study) -> bool:
    """Whether no further trial is to be started, by any worker that has joined."""
    deadline = study.user_attrs.get(DEADLINE)
    return deadline is not None and time.time() >= deadline


def trained(trials: Iterable[FrozenTrial]) -> int:
    """Distinct candidates trained so far, pruned ones included: what ``--trials`` counts.

    By the trial's state, not by its attributes: these are written first, and a worker may die before it tells.
    """
    return len({t.user_attrs["key"] for t in trials if t.state in _TRAINED and "key" in t.user_attrs})


def trial_records(study: Study) -> tuple[TrialRecord, ...]:
    """The records of all trials that were trained or failed, by number; of a retried one, the last attempt's."""
    records = []
    for trial in ended(study.get_trials(deepcopy=False)):
        record, outcome = trial.user_attrs.get("record"), outcome_of(trial)
        if record is None:
            continue
        if record["outcome"] != outcome:  # its worker died in the last attempt that it had
            record = {**record, "outcome": outcome, "reason": trial.user_attrs.get("reason", "")}
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
