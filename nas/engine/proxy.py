"""A gRPC proxy before a database, so that hundreds of workers need not hundreds of connections to it.

    python -m nas.engine.proxy --storage postgresql://nas@db/nas --port 13000

Anyone who reaches the port can change the study: keep it inside the cluster's own network.
"""

from __future__ import annotations

import argparse
import copy
import sys
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from optuna.trial import FrozenTrial

from search_spaces.errors import InputError, ToolkitError

THREADS = 32


def shared_reads(storage: Any) -> Any:
    """The storage, whose list of trials is read once for all who wait for it.

    Every worker that asks for a trial reads the list, and every reading costs a query over all running trials. Whoever arrives while
    one reads takes the next reading, which began after all that had been written when they arrived.
    """
    return _SharedReads(storage)


class _SharedReads:
    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._turns: dict[int, _Turn] = defaultdict(_Turn)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        turn = self._turns[study_id]
        arrived = turn.begun
        with turn.lock:
            if turn.found <= arrived:  # no reading that has begun since has succeeded
                turn.begun += 1
                turn.trials, turn.found = self._storage.get_all_trials(study_id, deepcopy=False), turn.begun
            trials = turn.trials if states is None else [trial for trial in turn.trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials


class _Turn:
    """The readings of one study: how many have begun, and the number and the trials of the last that succeeded."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.begun = self.found = 0
        self.trials: list[FrozenTrial] = []


def make_proxy(storage: str, host: str, port: int) -> Any:
    """The server, not started yet.

    Raises:
        InputError: a storage that is no database server, or gRPC is not installed.
        ToolkitError: the database cannot be reached.
    """
    from nas.engine.storage import RELATIONAL, open_storage, redact

    if urlsplit(storage).scheme.split("+")[0] not in RELATIONAL:
        raise InputError(
            f"a proxy serves a database, but got {redact(storage)!r} (behind a proxy, journals and SQLite lose the locks "
            "that keep them whole); give it postgresql://… or mysql://…"
        )
    try:
        from optuna.storages._grpc.server import make_server  # optuna's public function starts it and never returns

        return make_server(shared_reads(open_storage(storage, Path())), host, port, ThreadPoolExecutor(THREADS))
    except ImportError as error:
        raise InputError(f"a proxy needs gRPC ({error}); pip install 'pepx-nas[grpc]'") from error


def main() -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=13000)
    options = parser.parse_args()
    try:
        server = make_proxy(options.storage, options.host, options.port)
    except ToolkitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    server.start()
    print(f"serving on {options.host}:{options.port}", file=sys.stderr, flush=True)
    server.wait_for_termination()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
