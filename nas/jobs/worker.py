"""Join a running search as one more worker."""

from __future__ import annotations

import socket
from pathlib import Path

from nas.engine.directory import RunDirectory
from nas.engine.progress import Progress, Silent
from search_spaces.errors import InputError


def worker(
    storage: str, study: str, *, directory: Path | None = None, progress: Progress | None = None, dedicated: bool = False
) -> int:
    """Work for the search ``study`` in ``storage`` until it has what it wants; returns the trials run here.

    Args:
        directory: the run directory as this machine sees it (a shared path); none: the path that the search stored.
        dedicated: this process does nothing else, and may be ended where a trial hangs.

    Raises:
        InputError: no such study, SQLite (the search itself is its one worker), its run directory is out of reach or another
            one, or this machine's data or toolkit differ.
    """
    import os

    import optuna

    from nas.engine.process import open_worker
    from nas.engine.storage import open_storage, redact

    opened = open_storage(storage, directory or Path(), workers=2)  # the search's own and this one
    try:
        attributes = optuna.load_study(study_name=study, storage=opened, sampler=optuna.samplers.RandomSampler()).user_attrs
    except KeyError as error:
        raise InputError(
            f"no study {study!r} in {redact(storage)}; start it with: nas search --storage … --study {study}"
        ) from error
    if "settings" not in attributes:
        raise InputError(f"study {study!r} in {redact(storage)} was not made by nas search; choose another --study")
    home = directory or Path(attributes.get("directory", ""))
    if not home.is_dir():
        raise InputError(f"the search's run directory {home} cannot be seen from here; share it, and name it with --out")
    if not RunDirectory(home).settings.is_file():
        raise InputError(f"{home} holds no search (no settings.json); name the search's run directory with --out")
    name = f"{socket.gethostname()}-{os.getpid()}"
    settings, watching = RunDirectory(home).stored_settings(), progress or Silent()
    watching.objective(settings.objective)
    joined = open_worker(home, settings, watching, storage=storage, study=study, name=name, dedicated=dedicated)
    return joined.run()
