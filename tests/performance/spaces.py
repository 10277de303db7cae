"""The search spaces at length: exactness, budgets, keys, speed.

    python -m tests.performance.spaces exact      1,000 random networks a space at three sizes against the built module and fvcore
    python -m tests.performance.spaces baselines  every baseline at its paper's size against fvcore and a count without arithmetic
    python -m tests.performance.spaces budget     100,000 samples, mutations, repairs a space, from the smallest budget to the largest
    python -m tests.performance.spaces proofs     200 random budgets a space, and 200 on a reduced one that is enumerated
    python -m tests.performance.spaces keys       2,001 pairs a space, engineered synonyms included, against the executed graphs
    python -m tests.performance.spaces fuzz       10,000 damaged files a space: read, or refused with the project's own error
    python -m tests.performance.spaces speed      proposals a second, and the analytic cost against fvcore in one run

Each piece of work is a line of the work file: interrupted, or after ``--seconds``, the same command goes on where it stopped.
With ``--out`` what is done is summed up there, beside the other parts. ``--only`` does one space (or baseline), ``--n`` less.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from baselines.registry import baseline_names
from tests.performance import spaces_built, spaces_proposed

Row = dict[str, Any]
Piece = tuple[Any, ...]  # what it is of (a space, a baseline), then the arguments of its run
SPACES = ("pepx", "mbconv", "fire")


class Part(NamedTuple):
    """One measurement: its pieces for a given n, how a piece is done, how the pieces of one space are summed up."""

    n: int
    pieces: Callable[[int], Iterable[Piece]]
    run: Callable[..., Row]
    total: Callable[[list[Row]], Row] = lambda rows: rows[0]


def _numbered(n: int) -> Iterable[Piece]:
    return ((space, index) for index in range(n) for space in SPACES)


def _whole(n: int) -> Iterable[Piece]:
    return ((space, n) for space in SPACES)


def _by_share(n: int) -> Iterable[Piece]:
    shares = spaces_proposed.SHARES
    return ((space, share, -(-n // len(shares))) for share in shares for space in SPACES)


PARTS = {
    "exact": Part(1000, _numbered, spaces_built.exact, spaces_built.exact_total),
    "baselines": Part(1, lambda _: ((name,) for name in baseline_names()), spaces_built.baseline),
    "budget": Part(100_000, _by_share, spaces_proposed.within, spaces_proposed.within_total),
    "proofs": Part(200, _whole, spaces_proposed.proofs),
    "keys": Part(667, _numbered, spaces_built.keys, spaces_built.keys_total),
    "fuzz": Part(10_000, _whole, spaces_proposed.fuzzed),
    "speed": Part(1000, _whole, spaces_proposed.speed),
}


def main() -> None:
    """Read the command line, do what is missing, sum up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--n", type=int)
    parser.add_argument("--only")
    parser.add_argument("--seconds", type=float, default=1400, help="begin nothing new after so many")
    parser.add_argument("--work", type=Path, default=Path("spaces.jsonl"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    part, n = PARTS[options.part], options.n or PARTS[options.part].n
    pieces = [piece for piece in part.pieces(n) if options.only in (None, piece[0])]
    found = _done(options.part, pieces, part.run, options.work, time.monotonic() + options.seconds)
    names = list(dict.fromkeys(piece[0] for piece in found))
    totals = {name: part.total([row for piece, row in found.items() if piece[0] == name]) for name in names}
    print(json.dumps(totals, indent=1))
    if options.out:
        results = json.loads(options.out.read_text()) if options.out.exists() else {}
        command = f"python -m tests.performance.spaces {options.part} --n {n}"
        machine = f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, one thread"
        results[options.part] = {**results.get(options.part, {}), "command": command, "machine": machine, **totals}
        options.out.write_text(json.dumps(results, indent=1) + "\n")


def _done(part: str, pieces: list[Piece], run: Callable[..., Row], work: Path, until: float) -> dict[Piece, Row]:
    """The rows of the pieces, in order: from the work file, or done now and added to it."""
    known: dict[Piece, Row] = {}
    for line in work.read_text().splitlines() if work.exists() else []:
        entry = json.loads(line)
        if entry["part"] == part:
            known[tuple(entry["piece"])] = entry["row"]
    with work.open("a") as file:
        for piece in pieces:
            if piece not in known and time.monotonic() < until:
                known[piece] = run(*piece)
                file.write(json.dumps({"part": part, "piece": piece, "row": known[piece]}) + "\n")
                file.flush()
    return {piece: known[piece] for piece in pieces if piece in known}


if __name__ == "__main__":
    main()
