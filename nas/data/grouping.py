"""Which images belong together: the given group, the patient, and pictures that are the same twice."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nas.data.cache import Decoded
from nas.data.dataset import Strings
from nas.data.duplicates import Clusters, identical
from nas.data.listing import Row


def group_rows(rows: list[Row], decoded: Decoded) -> tuple[Strings, Strings, list[str]]:
    """Group of every image (given group ∪ patient ∪ duplicates), its duplicate cluster ("" for none), and notes."""
    same = identical(decoded.rows["pixels"])
    pictures = Clusters(len(rows))
    for i, j in (*same, *decoded.near.tolist()):
        pictures.join(i, j)
    people = Clusters(len(rows))
    people.join_equal(("group", row.group) if row.group else None for row in rows)
    people.join_equal(row.person or None for row in rows)
    before = len(set(people.labels().tolist()))
    roots = pictures.labels()
    people.join_equal(roots.tolist())
    after = people.labels()
    sizes = np.bincount(roots, minlength=len(rows))[roots]
    notes = _travellers(rows)
    if (sizes > 1).any():
        notes.append(
            f"{int((sizes > 1).sum())} images are duplicates or near-duplicates of another ({len(set(roots[sizes > 1].tolist()))} clusters); "
            f"kept together, which joins {before - len(set(after.tolist()))} groups"
        )
    cluster = np.where(sizes > 1, np.char.add("d", roots.astype(np.str_)), "").astype(np.str_)
    return _group_names(rows, after), cluster, notes


def _travellers(rows: list[Row]) -> list[str]:
    """A note where ids of patients occur in several sources: people who were imaged twice, or numbers that were given twice."""
    sources: dict[str, set[str]] = {}
    for row in rows:
        if row.patient:
            sources.setdefault(row.person, set()).add(row.source)
    several = sum(len(seen) > 1 for seen in sources.values())
    if not several:
        return []
    return [
        f"{several} patients' ids occur in several sources and count as one person each; where numbers start anew in each source, "
        "write the source into the id"
    ]


def _group_names(rows: list[Row], roots: NDArray[np.int64]) -> Strings:
    """Readable, unique names: the group or patient of the cluster's first image."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for i, root in enumerate(roots.tolist()):
        if root not in names:
            row = rows[i]
            name = row.group or (f"{row.source}/{row.patient}" if row.patient else f"image {i}")
            names[root] = name if name not in taken else f"{name} ({i})"
            taken.add(names[root])
    return strings(names[root] for root in roots.tolist())


def strings(values: Iterable[str]) -> Strings:
    """A column of text."""
    return np.array(list(values), dtype=np.str_)
