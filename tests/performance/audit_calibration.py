"""Size of every p-value and coverage of every interval of the audit under simulated null responses.

    python -m tests.performance.audit_calibration [--rounds 10000]

Null responses: donors differ, recipients differ, every pair has its own noise, and the donors' class means nothing (or: scores
and labels are independent). 10,000 rounds tell 5 % from 4.4 % or 5.6 %.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nas.inquisitor.design import Roster, SwapDesign, build_design
from nas.inquisitor.effects import block_table, max_t_p_values, permute_within_blocks, swap_effect
from nas.inquisitor.tests.t01_lungs_removed import permutation_p
from nas.inquisitor.weighted import bootstrap_rows, bootstrapped
from nas.statistics import clopper_pearson, compare_auc
from nas.statistics.ranking import auc_interval, weighted_auc

RESULTS = Path(__file__).parent / "results" / "audit_calibration.json"
Reject = Callable[[np.random.Generator], bool]


def _design(classes: int) -> tuple[SwapDesign, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(240) % classes
    roster = Roster(labels, np.array([f"g{k // 2}" for k in range(240)]), rng.random(240), np.zeros(240, np.int64))
    design = build_design(roster, roster, classes=classes, count=120, blocks_per_recipient=2, rng=rng)
    return design, np.unique(roster.groups, return_inverse=True)[1][design.recipient]


def _responses(design: SwapDesign, rng: np.random.Generator) -> np.ndarray:
    """Heavy-tailed donors, so that nothing rests on normality."""
    donor = rng.standard_t(4, (design.blocks, design.slots))
    recipient = rng.normal(0, 2, 240)[design.recipient]
    return recipient[:, None] + donor[design.block] + rng.normal(0, 0.7, (design.entries, design.slots))


def swap(classes: int, interval: bool) -> Reject:
    """The donor-label permutation of T3–T6 and T13, or its two-way interval (rejects where it leaves out 0)."""
    design, codes = _design(classes)

    def reject(rng: np.random.Generator) -> bool:
        found = swap_effect(_responses(design, rng), 0, codes, design.block, design.blocks, rng, rounds=1 if interval else 199)
        low, high = found.bounds()
        return not low <= 0 <= high if interval else found.p_value is not None and found.p_value <= 0.05

    return reject


def map_maximum(rng: np.random.Generator) -> bool:
    """T7: any cell of nine significant by max-T."""
    design, _ = _MAP
    shared = _responses(design, rng)
    tables = np.stack([block_table(_responses(design, rng) + shared, design.block, design.blocks) for _ in range(9)])
    return bool((max_t_p_values(*permute_within_blocks(tables, 0, rng, 199)) <= 0.05).any())


_MAP = _design(2)


def _scores(rng: np.random.Generator, groups: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that are alike within groups, and labels that know nothing of them."""
    group = np.repeat(np.arange(groups), rng.integers(1, 4, groups))
    return (
        rng.normal(size=groups)[group] + rng.normal(size=len(group)),
        (rng.random(groups) < 0.4)[group],
        group.astype(np.str_),
    )


def lungs_removed(rng: np.random.Generator) -> bool:
    """T1: labels permuted between groups."""
    scores, truth, groups = _scores(rng)
    return permutation_p(scores, truth, groups, rng, 199) <= 0.05


def area_interval(rng: np.random.Generator) -> bool:
    """T1's interval around an AUC of 0.5."""
    scores, truth, groups = _scores(rng)
    found = auc_interval(scores, truth, groups)
    return not found.low <= 0.5 <= found.high


def lungs_only(rng: np.random.Generator) -> bool:
    """T2: the paired difference of two equally good scores."""
    scores, truth, groups = _scores(rng)
    base = scores + 1.2 * truth
    first, second = base + rng.normal(size=len(base)), base + rng.normal(size=len(base))
    return compare_auc(first, second, truth, groups).p_value <= 0.05


def within_source(rng: np.random.Generator) -> bool:
    """T8's and T9's bootstrap interval of a difference of weighted AUCs that is 0 in truth."""
    scores, truth, groups = _scores(rng)
    rows = bootstrap_rows(groups, rng, 200)
    first = weighted_auc(scores + 1.2 * truth + rng.normal(size=len(truth)), truth, rows)
    second = weighted_auc(scores + 1.2 * truth + rng.normal(size=len(truth)), truth, rows)
    low, high = bootstrapped(first - second, len(np.unique(groups))).bounds()
    return not low <= 0 <= high


STATISTICS: dict[str, Reject] = {
    "donor-label permutation, 2 classes (T3-T6, T13)": swap(2, False),
    "donor-label permutation, 3 classes (T3-T6, T13)": swap(3, False),
    "two-way interval, 2 classes": swap(2, True),
    "two-way interval, 3 classes": swap(3, True),
    "max-T over 9 cells (T7)": map_maximum,
    "label permutation between groups (T1)": lungs_removed,
    "AUC interval (T1, gates)": area_interval,
    "paired AUC difference (T2)": lungs_only,
    "bootstrapped AUC difference (T8, T9)": within_source,
}


def main() -> None:
    """Print and write the share of rejections at 5 %, with exact intervals; ``--only k`` does the k-th statistic alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--only", type=int, choices=range(len(STATISTICS)))
    arguments = parser.parse_args()
    table = json.loads(RESULTS.read_text(encoding="utf-8"))["sizes"] if RESULTS.exists() else {}
    for number, (name, reject) in enumerate(STATISTICS.items()):
        if arguments.only not in (None, number):
            continue
        rng = np.random.default_rng([7, number])
        hits = sum(reject(rng) for _ in range(arguments.rounds))
        bounds = clopper_pearson(hits, arguments.rounds)
        share = hits / arguments.rounds
        table[name] = {"rounds": arguments.rounds, "size": share, "low": round(bounds.low, 4), "high": round(bounds.high, 4)}
        print(f"{name:52}{share:8.4f}  ({bounds.low:.4f} to {bounds.high:.4f})", flush=True)
    text = json.dumps({"command": "python -m tests.performance.audit_calibration", "sizes": table}, indent=1)
    RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
