"""What a benchmark leaves behind beside its page: the record, the tables, every image's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.files import file_name, write_json, write_text
from nas.records import BenchmarkRecord
from nas.report.tables import as_csv, write_tables

if TYPE_CHECKING:
    from pathlib import Path

    from nas.jobs.benchmark_arena import Arena
    from nas.jobs.benchmark_entrants import Entrant
    from nas.jobs.benchmark_training import FoldResult


def write_record(record: BenchmarkRecord, directory: Path) -> None:
    """``benchmark.json``, ``table.csv`` and ``table.tex``."""
    write_json(directory / "benchmark.json", record.model_dump(mode="json"))
    write_tables(record, directory)


def write_predictions(arena: Arena, entrant: Entrant, results: Sequence[FoldResult]) -> None:
    """``predictions/MODEL.csv``: every image's class probabilities from every training, on the sealed test and out of fold."""
    from nas.evaluation import probabilities

    data = arena.dataset
    header = ("file", "source", "group", "label", "part", "seed", "fold", "predicted", *(f"p[{name}]" for name in data.classes))
    lines: list[Sequence[object]] = []
    for result in results:
        for part, rows, logits in (
            ("test", arena.parts.test, result.test),
            ("out of fold", result.fold.held_out, result.held_out),
        ):
            shares = np.round(probabilities(logits), 6)
            for index, share in zip(rows.tolist(), shares.tolist(), strict=True):
                lines.append(
                    (str(data.file[index]), str(data.source[index]), str(data.group[index]), data.classes[data.labels[index]], part,
                     result.fold.seed, result.fold.number, data.classes[int(np.argmax(share))], *share)
                )  # fmt: skip
    write_text(arena.directory / "predictions" / f"{file_name(entrant.name)}.csv", as_csv(header, lines))
