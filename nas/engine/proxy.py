"""A gRPC proxy before a database, so that hundreds of workers need not hundreds of connections to it.

    python -m nas.engine.proxy --storage postgresql://nas@db/nas --port 13000

Anyone who reaches the port can change the study: keep it inside the cluster's own network.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from search_spaces.errors import InputError, ToolkitError

THREADS = 32


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

        return make_server(open_storage(storage, Path()), host, port, ThreadPoolExecutor(THREADS))
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
