"""Whatever is thrown at a reader, a config, a spec or a record, only the project's own errors come back, each in one line.

    python -m tests.fuzz [--inputs 100000] [--seed 0] [--only NAME,…] [--work FILE] [--record FILE]

The short form is ``tests/test_fuzz.py``. Every target takes text, plain JSON values or bytes; files are damaged samples: bytes are
changed, cut, inserted or removed, nodes of JSON documents are exchanged for anything. Targets that are done stand in ``--work``; a run
that was interrupted goes on with the next.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, given, settings

from search_spaces.errors import ToolkitError
from tests.chaos import command
from tests.fuzz_targets import GROUPS, Target, make_targets

MEMORY = 12 * 2**30  # bytes of address space: an allocation by a number out of a file fails loudly


@dataclass
class Counts:
    """Of one target: inputs, and how many of them were accepted."""

    inputs: int = 0
    accepted: int = 0


def fuzz(target: Target, inputs: int, seed: int) -> Counts:
    """Throw ``inputs`` inputs at a target; anything but a ``ToolkitError`` of one line passes through as a failure."""
    counts = Counts()

    def once(value: Any) -> None:
        message = ""
        try:
            target.run(value)
            counts.accepted += 1
        except ToolkitError as error:
            message = str(error)
        counts.inputs += 1  # not those that a target does not take
        assert message.isprintable(), f"the message is not one line of printable text: {message!r}"

    health = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example]
    how = settings(max_examples=inputs, deadline=None, database=None, suppress_health_check=health)
    hypothesis.seed(seed)(how(given(target.inputs)(once)))()
    return counts


def share(targets: list[Target], inputs: int) -> dict[str, int]:
    """Inputs of each target in proportion to its weight, at least ``inputs`` in all."""
    whole = sum(target.weight for target in targets)
    return {target.name: -(-inputs * target.weight // whole) for target in targets}


@contextlib.contextmanager
def away_from_home(folder: Path) -> Iterator[None]:
    """Work in a folder of its own: some inputs are relative paths."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    work = None if options.work is None else options.work.absolute()
    record = None if options.record is None else options.record.absolute()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    done = (
        {}
        if work is None or not work.exists()
        else {row["target"]: row for row in map(json.loads, work.read_text().splitlines())}
    )
    with tempfile.TemporaryDirectory() as scratch:
        targets = make_targets(Path(scratch), tuple(options.groups.split(",")))
        shares = share(targets, options.inputs)
        failed = []
        for target in targets:
            if target.name in done or (options.only and target.name not in options.only.split(",")):
                continue
            started = time.monotonic()
            try:
                with away_from_home(Path(scratch)):
                    counts = fuzz(target, shares[target.name], options.seed)
            except Exception as error:
                failed.append(target.name)
                print(f"{target.name}: {type(error).__name__}: {error}\n{_notes(error)}", flush=True)
                continue
            row = {"target": target.name, "inputs": counts.inputs, "accepted": counts.accepted}
            print(row, f"{time.monotonic() - started:.0f} s", flush=True)
            done[target.name] = row
            if work is not None:
                with work.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    found = {"command": command("fuzz"), "inputs": sum(row["inputs"] for row in done.values())}
    found |= {"failed": failed, "targets": {name: [row["inputs"], row["accepted"]] for name, row in done.items()}}
    print(json.dumps(found))
    if record is not None:
        record.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if failed else 0


def _notes(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error)[-8:]) + "\n".join(getattr(error, "__notes__", []))


if __name__ == "__main__":
    raise SystemExit(main())
