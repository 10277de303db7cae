"""Synthetic records with realistic figures: a small search, an audit, a benchmark."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from nas.records import (
    Accounting,
    AuditRecord,
    BenchmarkRecord,
    BenchmarkRow,
    CandidateRecord,
    Comparison,
    CostRecord,
    DataSummary,
    EpochRecord,
    Finding,
    Gate,
    Interval,
    Metric,
    Picture,
    SearchRecord,
    TestResult,
    TrialRecord,
)
from search_spaces import Budget

CLASSES = ("normal", "pneumonia", "covid")
VERSIONS = {"python": "3.11.7", "torch": "2.13.0", "optuna": "5.0.0", "numpy": "2.3.4"}


def interval(value: float, half: float, method: str = "cluster bootstrap") -> Interval:
    return Interval(low=value - half, high=min(value + half, 1.0) if value <= 1 else value + half, method=method)


def metric(name: str, value: float, half: float = 0.05, n: int = 214, part: str = "validation") -> Metric:
    return Metric(name=name, value=value, interval=interval(value, half), n=n, groups=int(n * 0.84), part=part)


def metrics(value: float, part: str, n: int = 214, classes: tuple[str, ...] = CLASSES) -> tuple[Metric, ...]:
    """A usual set around a balanced accuracy of ``value``."""
    each = [
        metric(f"sensitivity[{c}]", min(0.99, value + shift), 0.09, n, part)
        for c, shift in zip(classes, (0.04, -0.05, 0.01), strict=False)
    ]
    macro = [metric("balanced_accuracy", value, 0.05, n, part), metric("auroc", min(0.995, 0.55 + 0.47 * value), 0.03, n, part)]
    loss = Metric(
        name="log_loss", value=1.7 * (1 - value) + 0.1, interval=None, n=n, groups=int(n * 0.84), part=part, unit="nats"
    )
    missing = Metric(name="ppv[covid]", value=None, n=0, groups=0, part=part, note="no image was called covid")
    return (*macro, *each, loss, missing)


def cost(flops: int) -> CostRecord:
    return CostRecord(
        flops=flops, parameters=int(flops / 41), memory=int(flops / 9) + 300_000, image_size=96, in_channels=1, other_operations=flops // 6
    )  # fmt: skip


def history(final: float, epochs: int = 8) -> tuple[EpochRecord, ...]:
    return tuple(
        EpochRecord(
            epoch=e,
            train_loss=1.05 * math.exp(-e / 4) + final * 0.8,
            learning_rate=0.002 * (1 + math.cos(math.pi * e / epochs)) / 2,
            validation={
                "log_loss": 0.9 * math.exp(-e / 3) + final,
                "balanced_accuracy": 1 - final / 1.6 - 0.4 * math.exp(-e / 2),
            },
            images_per_second=640.0,
        )
        for e in range(1, epochs + 1)
    )


def test_result(
    name: str, title: str, effect: float, half: float, passing: float, failing: float, verdict: str, **more: object
) -> TestResult:
    defaults: dict[str, object] = {
        "class_name": "covid", "statistic": "signed background effect", "unit": "sigma", "n": 300, "groups": 251, "fill": "blur",
        "minimum_detectable_effect": round(half * 1.4, 3), "score": (abs(effect) - failing) / failing,
        "details": {"centre": 0.0, "upper_only": False},
    }  # fmt: skip
    return TestResult.model_validate(
        {
            **defaults, "test": name, "title": title, "effect": effect, "interval": Interval(low=effect - half, high=effect + half, method="two-way"),
            "pass_margin": passing, "fail_margin": failing, "verdict": verdict, **more,
        }
    )  # fmt: skip


test_result.__test__ = False  # a factory, not a test


def finding(verdict: str = "fail", pictures: tuple[Picture, ...] = (), classes: tuple[str, ...] = CLASSES) -> Finding:
    tests = []
    for shift, name in zip((0.0, 0.02, 0.5 if verdict == "fail" else -0.03), classes, strict=False):
        state = "fail" if shift > 0.3 else "pass"
        tests += [
            test_result("T1", "lungs removed", 0.52 + shift / 3, 0.05, 0.10, 0.15, "pass" if shift < 0.3 else "undecided", class_name=name,
                        statistic="AUC without lungs", unit="AUC", details={"centre": 0.5, "upper_only": False}, fill="inpaint"),
            test_result("T2", "lungs only", 0.03 + shift / 9, 0.03, 0.05, 0.10, "undecided", class_name=name, unit="AUC",
                        statistic="drop of AUC on a random background", details={"centre": 0.0, "upper_only": True},
                        groups_needed=640, reason="not precise enough: could miss 0.06 AUC where 0.05 counts"),
            test_result("T3", "background donor swap", 0.04 + shift, 0.04, 0.10, 0.20, state, class_name=name),
            test_result("T4", "marker transplant", 0.03 + 2.5 * shift, 0.06, 0.10, 0.25, state, class_name=name,
                        statistic="class difference of the insertion effect", reason="" if state == "pass" else "mostly the upper left corner"),
            test_result("T5", "frame and collimation", -0.02, 0.05, 0.10, 0.25, "pass", class_name=name, statistic="class difference of the frame swap"),
        ]  # fmt: skip
    return Finding.model_validate(
        {
            "verdict": verdict,
            "binding_reason": {
                "fail": "T4 marker transplant, class covid: class difference +1.28 σ (+1.22 to +1.34) is beyond the fail margin of 0.25, mostly upper left",
                "pass": "all of T1, T2, T3, T4, T5, T6, T13 lie inside their pass margins",
                "undecided": "T2 lungs only, class covid: not precise enough; about 640 groups would settle it",
            }[verdict],
            "gates": (
                Gate(name="competence", passed=True, value=0.91, rule="lower bound of the clean AUC ≥ 0.65"),
                Gate(name="masks", passed=True, value=0.03, rule="at most half of the images lack a usable mask"),
                Gate(name="edit realism", passed=False, value=0.63, rule="seams tell the arms apart with AUC ≤ 0.60", note="fill: box"),
            ),
            "tests": tuple(tests),
            "attributions": (
                {"method": "critical_region", "status": "valid", "mass_outside": 0.4, "impact": {"n": 24, "fill": "laplace",
                 "impact": {"score": 0.83, "random": 0.12, "excess": 0.71, "low": 0.5, "high": 0.9},
                 "drop": {"score": 3.64, "random": 0.77, "excess": 2.87, "low": 1.9, "high": 3.8}}},
                {"method": "integrated gradients", "localisation_auc": 0.61, "void": False, "n": 64},
                {"method": "Grad-CAM", "localisation_auc": 0.48, "void": True, "n": 64},
            ),
            "block_importances": {f"stage{s}.block{b}": 0.9 / (s + b) for s in range(1, 5) for b in range(1, 4)},
            "answers": ("marker", "crop_body", "donor_swap"),
            "blind_spots": ("devices inside the lungs", "shortcuts that are identical in every source", "label noise"),
            "seed": 0, "n": 300, "groups": 251, "excluded": {"no usable lung mask": 9},
            "hashes": {"model": "9f2c61aa03", "data": "77ab01c2"}, "versions": VERSIONS, "pictures": pictures,
        }
    )  # fmt: skip


def data_summary(classes: tuple[str, ...] = CLASSES, spec: str = "table:metadata.csv") -> DataSummary:
    counts = dict(zip(classes, (462, 388, 277), strict=False))
    return DataSummary(
        spec=(spec,), fingerprint="0f1e2d3c4b5a6978", images=sum(counts.values()), groups=981, classes=counts,
        sources={"kermany": {classes[0]: 231, classes[1]: 231}, "nih_cxr8": {classes[0]: 231, classes[1]: 157}, "hannover": {classes[2]: 277}},
        with_mask=1069, image_size=96,
        parts={part: {c: int(n * share) for c, n in counts.items()} for part, share in (("train", 0.6), ("validation", 0.15), ("audit", 0.1), ("test", 0.15))},
        trivial_features=metric("balanced_accuracy", 0.82, 0.04, 180, "validation"),
        warnings=("Class covid occurs in one source only (hannover): label and source cannot be told apart.",),
        skipped={"not an image": 3},
    )  # fmt: skip


def trial(number: int, rng: np.random.Generator, space: object | None = None) -> TrialRecord:
    """A trial; every seventh fails, every fifth is pruned."""
    if space is not None:
        architecture = space.sample(rng, Budget(flops=40e6, image_size=96))
        described, key = architecture.to_json(), architecture.key
        record = CostRecord.model_validate(space.cost(architecture, 96).record())
    else:
        choices = {f"stage{s}.block1.width": int(rng.choice([16, 24, 32, 48, 64])) for s in range(1, 5)}
        choices |= {"stem.kernel": int(rng.choice([3, 5, 7])), "head": str(rng.choice(["pool", "attention"]))}
        described = {"space": "cells", "version": 1, "in_channels": 1, "classes": 3, "choices": choices}
        key, record = f"cells-{number:04x}{int(rng.integers(1 << 20)):05x}", cost(int(10 ** rng.uniform(6.6, 7.58)))
    quality = float(0.32 + 0.45 * math.exp(-record.flops / 1.4e7) + 0.05 * rng.normal() ** 2)
    outcome = "failed" if number % 7 == 6 else "pruned" if number % 5 == 4 else "completed"
    done = outcome == "completed"
    return TrialRecord(
        number=number, key=key, outcome=outcome, architecture=described, cost=record,
        reason={"failed": "loss became NaN in epoch 2 at learning rate 0.002", "pruned": "below the median at epoch 2 (0.91 against 0.74)"}.get(outcome, ""),
        quality=quality if done else None, standard_error=0.03 if done else None,
        metrics=metrics(max(0.4, 1 - quality / 1.7), "validation") if done else (),
        history=history(quality if done else 0.8, 8 if done else 2),
        verdict=(None, "pass", "undecided", "fail")[number % 4] if done else None,
        seconds={"training": 41.0 + record.flops / 1e6, "screen": 4.0, "validation": 2.0},
    )  # fmt: skip


def candidate(source: TrialRecord, verdict: str, name: str, pictures: tuple[Picture, ...] = ()) -> CandidateRecord:
    value = 1 - (source.quality or 0.5) / 1.7
    return CandidateRecord(
        key=source.key, name=name, path=f"candidates/{name}", architecture=source.architecture, cost=source.cost,
        metrics=(*metrics(value, "validation"), *metrics(value - 0.02, "test", 171)), seeds=(0, 1, 2),
        finding=finding(verdict, pictures), unmet=() if verdict == "pass" else ("audit verdict is fail",),
    )  # fmt: skip


def search_record(trials: int = 24, *, winner: bool = True, space: object | None = None, seed: int = 0) -> SearchRecord:
    rng = np.random.default_rng(seed)
    found = tuple(trial(number, rng, space) for number in range(trials))
    done = sorted((t for t in found if t.quality is not None), key=lambda t: t.quality or 0.0)
    pictures = (
        Picture(
            path="pictures/swap.png",
            title="Background swapped",
            caption="Left: original, covid 0.91. Right: donor background, covid 0.22.",
        ),
    )
    best = candidate(done[0], "fail", "best-of-run", pictures)
    won = candidate(done[1], "pass", "winner-of-run", pictures) if winner else None
    third = candidate(done[2], "undecided", "third")
    return SearchRecord(
        toolkit="0.1.0", versions=VERSIONS, command="nas search --data table:metadata.csv --budget 40M --trials 24 --seed 0 --out runs/real",
        created="2026-11-20T14:05:11+00:00", seed=0, sampler="generator", space=getattr(space, "name", "cells"), space_version=1,
        budget={"flops": 40_000_000, "parameters": None, "image_size": 96}, settings={"epochs": 8, "recipe": {"name": "shared", "batch_size": 32}, "objective": "log_loss"},
        data=data_summary(), accounting=Accounting(proposed=61, repeated=9, over_budget=28, pruned=4, failed=3, completed=17,
                                                   seconds={"training": 2140.0, "audit": 221.0, "screen": 105.0, "loading": 14.0}),
        trials=found, front=tuple(c for c in (best, won, third) if c), best=best, winner=won,
        unmet=() if winner else ("audit verdict: fail (T4 marker transplant)", "sensitivity[covid] ≥ 0.80: 0.77 (0.66–0.86), undecided; about 190 images would settle it"),
        controls=(metric("balanced_accuracy", 0.71, 0.05, 214, "validation"),),
        comparisons=(Comparison(first="winner-of-run", second="best-of-run", metric="balanced_accuracy", difference=-0.012,
                                interval=Interval(low=-0.041, high=0.017, method="cluster bootstrap"), p_value=0.4, p_adjusted=0.4, conclusion="within noise", test="paired group bootstrap"),),
        test_openings=1, notes=("Convolution kernels on this CPU are deterministic.",), directory="runs/real", page="runs/real/report.html",
    )  # fmt: skip


def audit_record(verdict: str = "fail") -> AuditRecord:
    pictures = (
        Picture(path="pictures/swap.png", title="Background swapped", caption="Original beside its strongest edit."),
        Picture(path="gone.png", title="Lost", caption="Not there."),
    )
    return AuditRecord.model_validate(
        {
            "toolkit": "0.1.0", "versions": VERSIONS, "command": "nas audit runs/real --seed 0", "created": "2026-11-20T15:00:00+00:00",
            "model": "runs/real/candidates/best-of-run", "verdict": verdict, "finding": finding(verdict, pictures), "metrics": metrics(0.87, "audit", 300),
            "data": data_summary(), "seconds": 212.0,
        }
    )  # fmt: skip


def curves(level: float, classes: tuple[str, ...] = CLASSES) -> dict[str, object]:
    x = np.linspace(0, 1, 41)
    roc = {c: {"fpr": x.tolist(), "tpr": (x ** ((1 - level) * (1 + 0.3 * i))).tolist()} for i, c in enumerate(classes)}
    confidence = np.linspace(0.4, 0.98, 8)
    return {
        "roc": roc,
        "reliability": {
            "confidence": confidence.tolist(),
            "accuracy": (confidence ** (1.6 - 0.5 * level)).tolist(),
            "n": [9, 14, 22, 25, 31, 40, 37, 36],
        },
    }


def benchmark_record(classes: tuple[str, ...] = CLASSES) -> BenchmarkRecord:
    plan = (
        ("pepx-3f1c candidate", "candidate", 14_200_000, 0.88), ("pepx-91aa candidate", "candidate", 5_100_000, 0.84), ("vgg19", "baseline", 3_612_000_000, 0.86),
        ("resnet50", "baseline", 755_000_000, 0.87), ("covidnet", "baseline", 410_000_000, 0.85), ("cnn_lstm", "baseline", 1_420_000_000, 0.81),
        ("detrac", "baseline", 333_000_000, 0.83), ("trivial features", "control", 0, 0.74), ("border only", "control", 0, 0.66),
    )  # fmt: skip
    rows = [_row(*one, classes=classes) for one in plan]
    rows.append(
        BenchmarkRow(name="covid_resnet", kind="baseline", cost=cost(1_100_000_000), failed="out of memory at batch 32")
    )
    return BenchmarkRecord(
        toolkit="0.1.0", versions=VERSIONS, command="nas benchmark runs/real --baselines vgg19,resnet50,covidnet,cnn_lstm,detrac --folds 5", created="2026-11-21T08:30:00+00:00",
        seed=0, settings={"folds": 5, "seeds": 3, "recipe": "shared"}, data=data_summary(classes), classes=classes, rows=tuple(rows),
        comparisons=tuple(_comparison("pepx-3f1c candidate", name, d) for name, d in (("vgg19", 0.02), ("resnet50", 0.01), ("cnn_lstm", 0.07), ("detrac", 0.05))),
        test_openings=2, device="CPU, 2 threads", notes=("Reconstruction: covidnet's widths were never published.",),
    )  # fmt: skip


def _row(name: str, kind: str, flops: int, value: float, classes: tuple[str, ...]) -> BenchmarkRow:
    confusion = tuple(tuple(round(60 * (value if i == j else (1 - value) / 2)) for j in range(3)) for i in range(3))
    sources = tuple(metric("balanced_accuracy", value - 0.06 * i, 0.08, 70, s) for i, s in enumerate(("kermany", "nih_cxr8")))
    return BenchmarkRow.model_validate(
        {
            "name": name, "kind": kind, "cost": cost(flops) if flops else None, "pretraining": "imagenet" if name == "resnet50" else "none",
            "test": metrics(value, "test", 171, classes), "folds": metrics(value + 0.01, "folds", 900, classes), "by_source": sources, "confusion": confusion,
            "latency_ms": metric("latency", 2.0 + flops / 4e7, 0.3, 200, "this device") if flops else None, "weight_bytes": flops // 10 or None,
            "net_score": 88.0 - math.log10(flops) if flops else None, "diversity": 21 if flops else None,
            "finding": finding("undecided" if kind == "candidate" else "fail", classes=classes) if flops else None, "curves": curves(value, classes), "seconds": 120.0,
        }
    )  # fmt: skip


def _comparison(first: str, second: str, difference: float) -> Comparison:
    better = difference > 0.04
    return Comparison(
        first=first, second=second, metric="balanced_accuracy", difference=difference, interval=interval(difference, 0.035), p_value=0.004 if better else 0.3,
        p_adjusted=0.0004 if better else 0.6, conclusion="better" if better else "within noise", test="group bootstrap of paired differences",
        note="unequal pretraining" if second == "resnet50" else "",
    )  # fmt: skip


def write_pictures(directory: Path) -> None:
    """The picture that the records name: two grey panels."""
    (directory / "pictures").mkdir(parents=True, exist_ok=True)
    ramp = np.tile(np.linspace(20, 220, 200, dtype=np.uint8), (160, 2))
    Image.fromarray(ramp).save(directory / "pictures" / "swap.png")
