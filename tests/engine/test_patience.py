import optuna
import pytest
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy.exc import DataError, OperationalError, PendingRollbackError

from nas.engine import patience
from nas.engine.patience import PatientStorage, StorageLostError
from nas.engine.storage import open_storage
from tests.postgres import missing, postgres

GONE = OperationalError("SELECT 1", None, Exception("the server closed the connection"))


def away(cause=GONE):
    error = StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = cause
    return error


class Flaky(optuna.storages.InMemoryStorage):
    """Fails as a database does whose server is away: before an operation, or after it, so that the answer is lost."""

    def __init__(self):
        super().__init__()
        self.failures: list[str] = []

    def _fail(self, when):
        if self.failures and self.failures[0] == when:
            self.failures.pop(0)
            raise away()

    def set_trial_user_attr(self, *arguments):
        self._fail("before")
        super().set_trial_user_attr(*arguments)
        self._fail("after")

    def set_trial_state_values(self, *arguments, **options):
        self._fail("before")
        result = super().set_trial_state_values(*arguments, **options)
        self._fail("after")
        return result


@pytest.fixture
def flaky(monkeypatch):
    monkeypatch.setattr(patience.time, "sleep", lambda _: None)
    return Flaky()


@pytest.fixture
def study(flaky):
    return optuna.create_study(storage=PatientStorage(flaky, "storage 'x'"), sampler=optuna.samplers.RandomSampler(seed=0))


@pytest.mark.parametrize("failures", [["before"] * 3, ["after"], ["before", "after", "before"]])
def test_what_is_written_while_the_server_restarts_arrives_once(flaky, study, failures):
    trial = study.ask()
    flaky.failures = list(failures)
    trial.set_user_attr("a", 1)
    flaky.failures = list(failures)
    study.tell(trial, 2.0)
    assert [(t.user_attrs, t.value, t.state) for t in study.trials] == [({"a": 1}, 2.0, TrialState.COMPLETE)]


def test_a_trial_that_another_has_finished_is_no_success(flaky, study):
    trial = study.ask()
    study.tell(trial, state=TrialState.FAIL)
    with pytest.raises(UpdateFinishedTrialError):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [1.0])


def test_patience_ends_with_the_remedy(flaky, study, monkeypatch):
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(patience.time, "monotonic", lambda: next(clock))
    trial = study.ask()
    flaky.failures = ["before"] * 100
    with pytest.raises(StorageLostError, match=r"storage 'x' has been out of reach for 600 seconds.*--resume"):
        trial.set_user_attr("a", 1)


def test_a_wrong_request_is_not_repeated(flaky, study):
    assert patience.is_away(away(PendingRollbackError("a connection was lost in the middle of a reading")))
    assert not patience.is_away(away(DataError("INSERT", None, Exception("value too long"))))
    assert not patience.is_away(KeyError("no such trial"))


def test_every_operation_of_a_storage_is_passed_on():
    inner = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=PatientStorage(inner, "storage 'x'"), sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert study.best_trial.number == inner.get_best_trial(study._study_id).number
    assert [t.number for t in study.trials] == [0, 1, 2]


@pytest.mark.skipif(bool(missing()), reason=missing() or "a server is there")
def test_a_study_outlives_a_crash_of_its_database(tmp_path):
    pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    with postgres(tmp_path) as server:
        study = optuna.create_study(storage=open_storage(server.url, tmp_path), sampler=optuna.samplers.RandomSampler(seed=0))
        for number in range(4):
            trial = study.ask()
            if number == 2:
                server.stop("immediate")
                server.start()
            study.tell(trial, trial.suggest_float("x", 0, 1))
        assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 4
        study._storage.inner._backend.engine.dispose()
