"""A worker: asks the study for architectures and runs them until the search has what it wants. Started and stopped at will."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from optuna.study import Study
from optuna.trial import Trial, TrialState

from nas.engine import study as studies
from nas.engine.context import Context
from nas.engine.objective import Pruned, cost_record, failure_record, run_trial
from nas.engine.progress import Progress
from nas.generator.history import PROPOSAL
from nas.records import EpochRecord, TrialRecord
from search_spaces import Architecture, load_architecture
from search_spaces.errors import OverBudgetError, ToolkitError

MAX_BARREN = 200  # proposals in a row that were all known or over the budget: the sampler has run dry
SAME_FAILURES = 5


class Worker:
    """Runs trials of one study in this process.

    Args:
        name: unique among the study's workers.
        deadline: ``time.time()`` after which no further trial is started; None: none.
    """

    def __init__(self, context: Context, study: Study, progress: Progress, *, name: str, deadline: float | None = None) -> None:
        self.context = context
        self.study = study
        self.progress = progress
        self.name = name
        self.deadline = deadline

    def run(self, at_most: int | None = None) -> int:
        """Work until the target is reached, time is up, or the space is used up; returns the trials run.

        Args:
            at_most: trials to run in this call; None: as many as are wanted.

        Raises:
            ToolkitError: the same failure again and again: a diagnosis instead of a night of failed trials.
        """
        barren = done = 0
        with self._beating():
            while (at_most is None or done < at_most) and self._wanted():
                studies.sweep(self.study)
                if not self._room():
                    time.sleep(0.2)
                    continue
                if self._one():
                    barren, done = 0, done + 1
                else:
                    barren += 1
                if barren >= MAX_BARREN:
                    self.progress.message(
                        f"{barren} proposals in a row were known already: the space or the sampler is used up"
                    )
                    break
                self._diagnose()
        return done

    def _wanted(self) -> bool:
        if self.deadline is not None and time.time() >= self.deadline:
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
        trial = self.study.ask()
        try:
            architecture = self._suggest(trial)
        except OverBudgetError as error:
            self._refuse(trial, "over_budget", str(error))
            return False
        index = studies.claim(self.study, trial, architecture, self.name)
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
        suggested = self.context.space.suggest(trial, self.context.budget)
        stored = trial.user_attrs.get("architecture")  # a retried trial runs the network of the trial that died
        if stored is None:
            stored = self.study._storage.get_trial(trial._trial_id).system_attrs.get(
                PROPOSAL
            )  # a published design may lie between the choices that Optuna knows
        return suggested if stored is None else load_architecture(stored)

    def _surplus(self, number: int) -> bool:
        active = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        count = sum(t.number < number and t.state in active for t in self.study.get_trials(deepcopy=False))
        return count >= self.context.settings.trials

    def _refuse(self, trial: Trial, outcome: str, reason: str) -> None:
        """Told as FAIL, which leaves no trace in any sampler's model: the budget's edge must not look bad."""
        trial.set_user_attr("outcome", outcome)
        trial.set_user_attr("reason", reason)
        self.study.tell(trial, state=TrialState.FAIL)

    def _evaluate(self, trial: Trial, architecture: Architecture, index: int) -> None:
        history: list[EpochRecord] = []

        def on_epoch(record: EpochRecord) -> None:
            history.append(record)
            self.progress.epoch(trial.number, record)
            if not self.context.settings.prune or record.epoch >= self.context.settings.epochs:
                return
            trial.report(record.validation["log_loss"], record.epoch)
            if trial.should_prune():
                raise Pruned(f"pruned after epoch {record.epoch}: log-loss {record.validation['log_loss']:.4f}")

        self.progress.trial_started(trial.number, architecture.key, cost_record(self.context, architecture).flops)
        try:
            record = run_trial(self.context, architecture, number=trial.number, index=index, on_epoch=on_epoch)
        except Pruned as reason:
            record = self._ended(trial, architecture, "pruned", str(reason), history)
        except Exception as error:  # one bad candidate never ends a search: whatever it raised is recorded with its reason
            record = self._ended(trial, architecture, "failed", f"{type(error).__name__}: {error}", history)
        self._tell(trial, record)

    def _ended(
        self, trial: Trial, architecture: Architecture, outcome: str, reason: str, history: list[EpochRecord]
    ) -> TrialRecord:
        return failure_record(
            self.context, architecture, number=trial.number, outcome=outcome, reason=reason.splitlines()[0][:500] if reason else outcome,
            history=tuple(history), fidelity=float(len(history)),
        )  # fmt: skip

    def _tell(self, trial: Trial, record: TrialRecord) -> None:
        for name, value in attributes(self.context, record).items():
            trial.set_user_attr(name, value)
        for name, value in record.constraints.items():
            trial.set_constraint(name, value)
        state = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[record.outcome]
        self.study.tell(trial, record.quality if state == TrialState.COMPLETE else None, state=state)
        self.progress.trial_finished(record)

    def _diagnose(self) -> None:
        ended = [
            t for t in self.study.get_trials(deepcopy=False) if t.user_attrs.get("outcome") in ("completed", "pruned", "failed")
        ]
        last = [t.user_attrs.get("reason", "") for t in ended[-SAME_FAILURES:] if t.user_attrs["outcome"] == "failed"]
        if len(last) == SAME_FAILURES and len(set(last)) == 1:
            raise ToolkitError(
                f"the last {SAME_FAILURES} trials failed in the same way ({last[0]}); mend that, then resume with --resume"
            )

    @contextlib.contextmanager
    def _beating(self) -> Iterator[None]:
        """Say in the study that this worker lives, from a thread, while trials run."""
        stop = threading.Event()

        def pulse() -> None:
            while not stop.wait(studies.HEARTBEAT_SECONDS):
                try:
                    studies.beat(self.study, self.name)
                except Exception as error:  # a storage that is away for a moment must not silence the pulse for good
                    self.progress.message(f"heartbeat not written ({type(error).__name__}: {error}); trying again")

        studies.beat(self.study, self.name)
        thread = threading.Thread(target=pulse, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=5)


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
        from nas.files import read_json

        values["block_importances"] = read_json(importances)
    return values
