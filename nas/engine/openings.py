"""The sealed test part: every opening is logged in the run, and from the second on it is said."""

from __future__ import annotations

from pathlib import Path

from nas.files import read_json, understanding, write_json

_FILE = "openings.json"


def record_opening(directory: Path, who: str) -> int:
    """Log that ``who`` is about to look at the test part; returns how often it has been opened, this time included.

    The same ``who`` counts once: a resumed job repeats the same look, it does not take another.
    """
    path = directory / _FILE
    with understanding(path):
        openings = [str(name) for name in read_json(path)] if path.exists() else []
    if who not in openings:
        openings.append(who)
        write_json(path, openings)
    return openings.index(who) + 1


def opening_notice(count: int) -> str:
    """What to print about the ``count``-th opening; empty for the first."""
    return f"test part: opening {count}, no longer unbiased" if count > 1 else ""
