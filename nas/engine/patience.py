"""A storage that waits for its server: a restart of the database costs a worker some seconds, not its trial.

Every operation is repeated while the server cannot be reached. An answer that was lost on the way may mean that the operation took
effect: repeating is harmless for all of them except two. A trial that was created twice leaves one without an owner, which the
sweep removes. A trial that was told twice is found finished as wanted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, cast

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage

from search_spaces.errors import ToolkitError, first_line

PATIENCE_SECONDS = 600.0
_LONGEST_PAUSE = 10.0
_log = logging.getLogger(__name__)


class StorageLostError(ToolkitError):
    """The storage has been out of reach for longer than anyone waits."""


def is_away(error: BaseException) -> bool:
    """Whether an error of a storage means that its server cannot be reached just now (and not that a request was wrong)."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError

    if isinstance(error, StorageInternalError):
        cause = error.__cause__
        lost = isinstance(cause, DBAPIError) and cause.connection_invalidated
        return lost or isinstance(cause, OperationalError | InterfaceError | PendingRollbackError)
    code = getattr(error, "code", None)  # grpc.RpcError, whose package is an extra
    return callable(code) and getattr(code(), "name", "") == "UNAVAILABLE"


def patiently(work: Callable[[], Any], what: str, patience: float = PATIENCE_SECONDS) -> Any:
    """The result of ``work``, repeated with growing pauses while the server is away.

    Raises:
        StorageLostError: it stayed away for ``patience`` seconds.
    """
    started, pause = time.monotonic(), 0.2
    while True:
        try:
            return work()
        except Exception as error:
            if not is_away(error):
                raise
            if time.monotonic() - started > patience:
                raise StorageLostError(
                    f"{what} has been out of reach for {patience:.0f} seconds ({first_line(error.__cause__ or error)}); "
                    "start its server, then go on with --resume"
                ) from error
            if pause == 0.2:
                _log.warning("%s is out of reach; trying again for up to %.0f seconds", what, patience)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


class _Patient:
    """Base of ``PatientStorage``: holds the real storage, whose operations are added by name below."""

    def __init__(self, inner: BaseStorage, what: str) -> None:
        self.inner = inner
        self._what = what

    def set_trial_state_values(self, trial_id: int, state: Any, values: Any = None) -> bool:
        """As the inner storage; a repetition that finds the trial finished as wanted is a success."""
        tries = 0

        def tell() -> bool:
            nonlocal tries
            tries += 1
            try:
                return self.inner.set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if tries > 1 and self.inner.get_trial(trial_id).state == state:
                    return True
                raise

        return cast(bool, patiently(tell, self._what))


def _operation(name: str) -> Callable[..., Any]:
    def call(self: _Patient, *arguments: Any, **options: Any) -> Any:
        return patiently(lambda: getattr(self.inner, name)(*arguments, **options), self._what)

    call.__name__, call.__doc__ = name, getattr(BaseStorage, name).__doc__
    return call


_OPERATIONS = [name for name, value in vars(BaseStorage).items() if callable(value) and not name.startswith("_")]
_OWN = {name: _operation(name) for name in _OPERATIONS if name not in vars(_Patient)}
PatientStorage: Callable[[BaseStorage, str], BaseStorage] = cast(
    Any, type("PatientStorage", (_Patient, BaseStorage), {"__doc__": "A storage whose operations wait for its server.", **_OWN})
)
