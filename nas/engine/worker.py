"""A worker: asks the study for architectures and runs them until the search has what it wants. Started and stopped at will."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import Trial, TrialState

from nas.engine import presence
from nas.engine import study as studies
from nas.engine.context import Context
from nas.engine.objective import Pruned, clear, failure_record, run_trial
from nas.engine.patience import StorageLostError
from nas.engine.progress import Progress
from nas.engine.settings import OBJECTIVE_NAMES
from nas.files import WriteError, read_json
from nas.generator.history import PROPOSAL
from nas.records import EpochRecord, TrialRecord
from search_spaces import Architecture, load_architecture
from search_spaces.errors import OverBudgetError, ToolkitError

MAX_BARREN = 200  # proposals in a row that were all known or over the budget: the sampler has run dry
SAME_FAILURES = 5
ENDED_EARLY = "ended early"  # where the time of trials went that were pruned or failed
STALLED = 75  # exit code of a process that ends itself because its trial hangs


class Worker:
    """Runs trials of one study in this process.

    Args:
        name: unique among the study's workers.
        dedicated: the process is this worker's own, and is ended when a trial makes no progress for ``stall_minutes``: a hanging
            call cannot be interrupted otherwise.
    """

    def __init__(
        self,
        context: Context,
        study: Study,
        progress: Progress,
        *,
        name: str,
        dedicated: bool = False,
    ) -> None:
        self.context = context
        self.study = study
        self.progress = progress
        self.name = name
        self.dedicated = dedicated
        self._current: Trial | None = None
        self._moved = time.monotonic()

    def run(self, at_most: int | None = None) -> int:
        """Work until the target is reached, time is up, or the space is used up; returns the trials run.

        Args:
            at_most: trials to run in this call; None: as many as are wanted.

        Raises:
            ToolkitError: the same failure again and again: a diagnosis instead of a night of failed trials.
        """
        barren = done = 0
        with self._beating(), _terminated_in_order(self.dedicated):
            while (at_most is None or done < at_most) and self._wanted():
                self._moved = time.monotonic()
                studies.sweep(self.study)
                if not self._room():
                    time.sleep(0.2)
                    continue
                if self._one():
                    barren, done = 0, done + 1
                    self._diagnose()
                    continue
                barren += 1
                if barren >= MAX_BARREN:
                    self.progress.message(
                        f"{barren} proposals in a row were known already: the space or the sampler is used up"
                    )
                    break
        return done

    def _wanted(self) -> bool:
        if studies.is_time_up(self.study):
            self.progress.message("time is up: no further trial is started")
            return False
        return studies.trained(self.study.get_trials(deepcopy=False)) < self.context.settings.trials

    def _room(self) -> bool:
        """Whether another trial could still be wanted once the running ones have ended."""
        trials = self.study.get_trials(deepcopy=False)
        running = sum(t.state == TrialState.RUNNING for t in trials)
        return studies.trained(trials) + running < self.context.settings.trials

    def _one(self) -> bool:
        """One proposal; returns whether it was accepted."""
        self._current = trial = self.study.ask()
        try:
            studies.own(trial, self.name)
            return self._propose(trial)
        except UpdateFinishedTrialError:
            self.progress.message(
                f"trial {trial.number} was given up by others while this worker was out of reach; its result is left to its retry"
            )
            return True
        except BaseException:  # interrupted, or the storage or the disk is at fault: the trial is queued again
            with contextlib.suppress(Exception):  # where the storage is what failed, the sweep does it later
                studies.release(self.study, trial)
            raise
        finally:
            self._current = None

    def _propose(self, trial: Trial) -> bool:
        try:
            architecture = self._suggest(trial)
        except OverBudgetError as error:
            self._refuse(trial, "over_budget", str(error))
            return False
        index = studies.claim(self.study, trial, architecture)
        if index is None:
            self._refuse(trial, "repeated", f"the network {architecture.key} was proposed before")
            return False
        if self._surplus(trial.number):
            self._refuse(trial, "surplus", "another worker had started the last trial that was wanted")
            return False
        self._evaluate(trial, architecture, index)
        self.progress.accounting(studies.account(self.study.get_trials(deepcopy=False)))
        return True

    def _suggest(self, trial: Trial) -> Architecture:
        self.context.space.suggest(trial)  # the sampler proposes; what it notes beside the parameters comes first
        stored = trial.user_attrs.get("architecture")  # a retried trial runs the network of the trial that died
        if stored is None:
            stored = self.study._storage.get_trial(trial._trial_id).system_attrs.get(
                PROPOSAL
            )  # a published design may lie between the choices that Optuna knows
        return self.context.space.suggest(trial, self.context.budget) if stored is None else load_architecture(stored)

    def _surplus(self, number: int) -> bool:
        active = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        count = sum(t.number < number and t.state in active for t in self.study.get_trials(deepcopy=False))
        return count >= self.context.settings.trials

    def _refuse(self, trial: Trial, outcome: str, reason: str) -> None:
        """Told as FAIL, which leaves no trace in any sampler's model: the budget's edge must not look bad."""
        trial.set_user_attr("outcome", outcome)
        trial.set_user_attr("reason", reason)
        studies.tell(self.study, trial, TrialState.FAIL)

    def _evaluate(self, trial: Trial, architecture: Architecture, index: int) -> None:
        settings = self.context.settings
        history: list[EpochRecord] = []

        def on_epoch(record: EpochRecord) -> None:
            history.append(record)
            self._moved = time.monotonic()
            self.progress.epoch(trial.number, record)
            studies.check_ours(self.study, trial)
            if not settings.pruning or record.epoch >= settings.epochs:
                return
            from nas.evaluation import objective_value

            value = objective_value(settings.objective, record.validation)
            trial.report(value, record.epoch)
            if trial.should_prune():
                raise Pruned(f"pruned after epoch {record.epoch}: {OBJECTIVE_NAMES[settings.objective][0]} {value:.4f}")

        def on_pretraining(_: EpochRecord) -> None:
            self._moved = time.monotonic()  # it may take longer than a trial may stand still: whoever watches is told something
            self.progress.accounting(studies.account(self.study.get_trials(deepcopy=False)))

        started = time.perf_counter()
        begun = self._ended(trial, architecture, "running", "", [], started)
        trial.set_user_attr("record", begun.model_dump(mode="json"))  # what is left of it if this process dies
        self.progress.trial_started(trial.number, architecture.key, begun.cost.flops)
        try:
            record = run_trial(
                self.context, architecture, number=trial.number, index=index, on_epoch=on_epoch, on_pretraining=on_pretraining
            )
        except Pruned as reason:
            record = self._ended(trial, architecture, "pruned", str(reason), history, started)
        except (UpdateFinishedTrialError, StorageLostError, WriteError):  # nothing that the candidate has done
            raise
        except Exception as error:  # one bad candidate never ends a search: whatever it raised is recorded with its reason
            record = self._ended(trial, architecture, "failed", f"{type(error).__name__}: {error}", history, started)
        self._tell(trial, record)

    def _ended(
        self, trial: Trial, architecture: Architecture, outcome: str, reason: str, history: list[EpochRecord], started: float
    ) -> TrialRecord:
        record = failure_record(
            self.context, architecture, number=trial.number, outcome=outcome, reason=reason.splitlines()[0][:500] if reason else outcome,
            history=tuple(history), fidelity=float(len(history)),
        )  # fmt: skip
        return record.model_copy(update={"seconds": {ENDED_EARLY: round(time.perf_counter() - started, 4)}})

    def _tell(self, trial: Trial, record: TrialRecord) -> None:
        for name, value in attributes(self.context, record).items():
            trial.set_user_attr(name, value)
        for name, value in record.constraints.items():
            trial.set_constraint(name, value)
        state = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[record.outcome]
        studies.tell(self.study, trial, state, record.quality if state == TrialState.COMPLETE else None)
        if state == TrialState.PRUNED:
            clear(self.context, record.key)
        self.progress.trial_finished(record)

    def _diagnose(self) -> None:
        trained = [t for t in studies.ended(self.study.get_trials(deepcopy=False)) if "index" in t.user_attrs]
        last = [t for t in trained[-SAME_FAILURES:] if studies.outcome_of(t) == "failed"]
        reasons = [t.user_attrs.get("reason", "") for t in last]
        if len(last) == SAME_FAILURES and len({re.sub(r"\d+", "#", reason) for reason in reasons}) == 1:
            raise ToolkitError(
                f"the last {SAME_FAILURES} trials failed in the same way ({reasons[-1]}); mend that, then resume with --resume"
            )

    @contextlib.contextmanager
    def _beating(self) -> Iterator[None]:
        """Say in the study that this worker lives, from a thread, while trials run; end the process if one of them hangs."""
        stop = threading.Event()

        def pulse() -> None:
            while not stop.wait(presence.HEARTBEAT_SECONDS):
                try:
                    if self.dedicated and time.monotonic() - self._moved > 60 * self.context.settings.stall_minutes:
                        self._give_up()
                    presence.beat(self.study, self.name)
                except Exception as error:  # a storage that is away for a moment must not silence the pulse for good
                    self.progress.message(f"heartbeat not written ({type(error).__name__}: {error}); trying again")

        presence.beat(self.study, self.name)
        thread = threading.Thread(target=pulse, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=5)

    def _give_up(self) -> None:
        """End this process, whose trial hangs: the trial is swept and retried by whoever asks next."""
        reason = f"no progress for {self.context.settings.stall_minutes:g} minutes"
        self.progress.message(f"worker {self.name}: {reason}; it ends, and its trial is retried")
        try:
            if self._current is not None:
                self._current.set_user_attr("stalled", reason)
        finally:
            os._exit(STALLED)


@contextlib.contextmanager
def _terminated_in_order(dedicated: bool) -> Iterator[None]:
    """In a process of its own, SIGTERM (a preempted job, a pod that moves) hands the trial back instead of leaving it to the sweep.

    A command that has a handler of its own does so, too, and then says how to go on.
    """
    alone = dedicated and threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def attributes(context: Context, record: TrialRecord) -> dict[str, Any]:
    """What a finished trial leaves in the study: read by samplers, by ``nas report`` and by people in a dashboard."""
    values: dict[str, Any] = {
        "outcome": record.outcome,
        "flops": record.cost.flops,
        "parameters": record.cost.parameters,
        "memory": record.cost.memory,
        "record": record.model_dump(mode="json"),
    }
    if record.reason:
        values["reason"] = record.reason
    if record.standard_error is not None:
        values["standard_error"] = record.standard_error
    if record.verdict is not None:
        values["verdict"] = record.verdict
    for metric in record.metrics:
        if metric.name in ("balanced_accuracy", "auroc") and metric.value is not None:
            values[metric.name] = round(metric.value, 4)
    importances = context.directory.trial(record.key) / "block_importances.json"
    if record.outcome == "completed" and importances.exists():
        values["block_importances"] = read_json(importances)
    return values
