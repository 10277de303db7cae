"""The self-test's figures: ROC AUC, power at 5 % false alarms, size of p-values, and what became of whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.records import Interval
from nas.statistics import auc, auc_interval, clopper_pearson, holm

CHEAT = 0.05  # AUC lost on de-correlated data
FAMILY = ("T1", "T3", "T4", "T5", "T6", "T8", "T9", "T13")
SHOWN = ("T1", "T2", "T3", "T4", "T5", "T6", "T8", "T9", "T13")
Row = dict[str, Any]
Score = Callable[[Row], float | None]


@dataclass(frozen=True)
class Card:
    """The summary of a self-test, as JSON-able figures and as a table for a person."""

    record: dict[str, Any]

    def table(self) -> str:
        """Lines of text."""
        head = self.record["models"]
        lines = [
            f"{head['all']} of {head['planned']} models: {head['honest']} honest, {head['cheats']} cheats (AUC lost ≥ {CHEAT:g}), "
            f"{head['between']} planted between, {head['incompetent']} stopped at the competence gate",
            f"{'':28}{'ROC AUC':>9}{'power':>8}{'size':>8}  (95 % interval of size)",
        ]
        for name, figures in self.record["statistics"].items():
            size = figures.get("size")
            shown = "" if size is None else f"{size:8.3f}  ({figures['size_low']:.3f} to {figures['size_high']:.3f})"
            lines.append(f"{name:28}{_text(figures['auc']):>9}{_text(figures['power']):>8}{shown}")
        lines.append(f"{'':28}{'pass':>9}{'undecided':>11}{'fail':>8}{'n':>5}{'ROC AUC':>9}")
        for name, counts in self.record["verdicts"].items():
            total = max(sum(counts.values()), 1)
            shares = [f"{counts[word] / total:.2f}" for word in ("pass", "undecided", "fail")]
            area = self.record["by_cue"].get(name.removeprefix("cheats: "))
            shown = _text(area["auc"]) if area else ""
            lines.append(f"{name:28}{shares[0]:>9}{shares[1]:>11}{shares[2]:>8}{sum(counts.values()):>5}{shown:>9}")
        for name, share in self.record["intervals"].items():
            if share["n"]:
                lines.append(f"{name}: {share['share']:.3f} ({share['low']:.3f} to {share['high']:.3f})")
        return "\n".join(lines)


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def report_card(rows: Sequence[Row], planned: int) -> Card:
    """Figures over all models that are competent (the others are stopped at the gate, and counted) out of ``planned``."""
    able = [row for row in rows if row["tests"]]
    honest = [row for row in able if row["strength"] == 0]
    planted = [row for row in able if row["strength"] > 0]
    cheats = [row for row in planted if row["auc"] - row["auc_free"] >= CHEAT]
    statistics: dict[str, dict[str, float | None]] = {"rule": _figures(worst_score, honest, cheats)}
    for name in SHOWN:
        statistics[name] = {**_figures(_of_test(name), honest, cheats), **_size(name, honest)}
    for name in ("grad_cam", "integrated_gradients"):
        statistics[f"{name} alone"] = _figures(_of_map(name), honest, cheats)
    sizes = [name for name in SHOWN if "size_p" in statistics[name]]
    for name, adjusted in zip(sizes, holm([float(statistics[name]["size_p"] or 0) for name in sizes]), strict=True):
        statistics[name]["size_p_holm"] = adjusted
    by_cue = {kind: _figures(worst_score, honest, [r for r in cheats if r["kind"] == kind]) for kind in _kinds(cheats)}
    groups = {
        "honest": honest,
        "cheats": cheats,
        **{f"cheats: {k}": [r for r in cheats if r["kind"] == k] for k in _kinds(cheats)},
    }
    seconds = {name: float(np.mean([row["seconds"][name] for row in rows])) for name in ("raise", "audit")} if rows else {}
    return Card(
        {
            "models": {
                "planned": planned, "all": len(rows), "incompetent": len(rows) - len(able), "honest": len(honest), "cheats": len(cheats),
                "between": len(planted) - len(cheats),
            },
            "statistics": statistics, "by_cue": by_cue,
            "verdicts": {name: _count(members) for name, members in groups.items()},
            "intervals": {
                "honest failed": _share(honest, "fail"), "honest passed": _share(honest, "pass"),
                "cheats failed": _share(cheats, "fail"),
            },
            "mean_seconds": seconds,
        }
    )  # fmt: skip


def worst_score(row: Row) -> float | None:
    """The largest (effect − fail margin) / margin over the failing family: the auditor's one number."""
    scores = [row["tests"][name]["score"] for name in FAMILY if row["tests"].get(name, {}).get("score") is not None]
    return max(scores) if scores else None


def _of_test(name: str) -> Score:
    return lambda row: row["tests"].get(name, {}).get("score")


def _of_map(name: str) -> Score:
    return lambda row: row["maps"].get(name)


def _figures(score: Score, honest: Sequence[Row], cheats: Sequence[Row]) -> dict[str, float | None]:
    """ROC AUC with interval, and power at 5 % false alarms: threshold from one half of the honest models, and the other."""
    good = np.array([value for value in map(score, honest) if value is not None])
    bad = np.array([value for value in map(score, cheats) if value is not None])
    if len(good) < 4 or len(bad) < 2:
        return {"auc": None, "power": None}
    values, truth = np.concatenate([good, bad]), np.repeat([False, True], [len(good), len(bad)])
    bounds = auc_interval(values, truth)
    halves = (good[::2], good[1::2])
    power = float(np.mean([(bad > np.quantile(half, 0.95)).mean() for half in halves]))
    alarms = float(np.mean([(halves[1 - k] > np.quantile(halves[k], 0.95)).mean() for k in (0, 1)]))
    return {"auc": auc(values, truth), "auc_low": bounds.low, "auc_high": bounds.high, "power": power, "false_alarms": alarms}


def _size(name: str, honest: Sequence[Row]) -> dict[str, float | None]:
    """Share of honest models whose p-value is at most 0.05, with its exact interval and p-value against 5 %."""
    p_values = [row["tests"][name]["p"] for row in honest if row["tests"].get(name, {}).get("p") is not None]
    if not p_values or name == "T2":  # T2's p-value is of a loss that the edit itself causes
        return {}
    from scipy.stats import binomtest

    hits = int((np.array(p_values) <= 0.05).sum())
    bounds: Interval = clopper_pearson(hits, len(p_values))
    above = float(binomtest(hits, len(p_values), 0.05, alternative="greater").pvalue)
    return {"size": hits / len(p_values), "size_low": bounds.low, "size_high": bounds.high, "size_p": above}


def _kinds(rows: Sequence[Row]) -> list[str]:
    return sorted({row["kind"] for row in rows})


def _count(rows: Sequence[Row]) -> dict[str, int]:
    return {word: sum(row["verdict"] == word for row in rows) for word in ("pass", "undecided", "fail")}


def _share(rows: Sequence[Row], word: str) -> dict[str, float | int]:
    hits = sum(row["verdict"] == word for row in rows)
    if not rows:
        return {"n": 0}
    bounds = clopper_pearson(hits, len(rows))
    return {"n": len(rows), "share": hits / len(rows), "low": bounds.low, "high": bounds.high}
