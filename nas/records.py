"""Typed, JSON-able facts that the rooms hand to one another: no logic, no torch.

Every record is immutable, refuses unknown keys, and round-trips through ``model_dump_json`` / ``model_validate_json``.
A number that could not be computed is ``None`` with a reason beside it, never NaN.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["pass", "fail", "undecided"]
Outcome = Literal["completed", "pruned", "failed", "running"]


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> str:
        """The record as one JSON document, in ASCII: pydantic's own writer refuses file names that are no UTF-8."""
        return json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False)


class Shown(Record):
    """A record that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return str(import_module("nas.report").html(self))  # what draws records lies above them: found by name, when asked for


class Interval(Record):
    """A confidence interval; ``method`` says how it was made (``wilson``, ``cluster bootstrap``, …)."""

    low: float
    high: float
    level: float = 0.95
    method: str


class Metric(Record):
    """One figure with what it rests on. ``value`` is ``None`` where it is not estimable; ``note`` then says why."""

    name: str  # "balanced_accuracy", "auroc", "sensitivity[covid]", …
    value: float | None
    interval: Interval | None = None
    n: int  # images it was computed on
    groups: int  # independent groups (patients, duplicate clusters) among them
    part: str = ""  # "validation", "audit", "test", "fold 2", …
    unit: str = ""
    note: str = ""


class CostRecord(Record):
    """What a network costs for one image in evaluation mode at ``image_size`` pixels a side."""

    flops: int  # multiply–accumulates of convolutions, linear layers, LSTM and attention products
    parameters: int  # trainable
    memory: int  # bytes of activations alive at the peak of one forward pass, float32, batch 1
    image_size: int
    in_channels: int
    other_operations: int | None = None  # normalisation, activation, pooling, additions: beside FLOPs, not in them


class Gate(Record):
    """A condition that must hold before a verdict may be anything but *undecided*."""

    name: str  # "competence", "masks", "edit realism", "precision"
    passed: bool
    value: float | None
    rule: str
    note: str = ""


class TestResult(Record):
    """One test of the audit on one class (one-vs-rest)."""

    __test__ = False  # not a pytest class

    test: str  # "T3"
    title: str  # "background donor swap"
    class_name: str
    statistic: str  # what ``effect`` is: "signed background effect", "AUC without lungs", …
    unit: str  # "sigma", "AUC", "share"
    effect: float | None
    interval: Interval | None
    pass_margin: float | None
    fail_margin: float | None
    p_value: float | None = None
    verdict: Verdict
    reason: str = ""
    n: int = 0
    groups: int = 0
    fill: str = ""
    minimum_detectable_effect: float | None = None
    groups_needed: int | None = None  # groups that would settle an undecided test at this noise
    score: float | None = None  # (effect − fail margin) / margin: the larger, the worse
    details: dict[str, Any] = Field(default_factory=dict)


class Picture(Record):
    """A picture beside a record, as a path relative to the record's directory."""

    path: str
    title: str
    caption: str


CROP = "crop_body"
BY_SEARCHING_AGAIN = {
    CROP: "search again with --crop lungs"
}  # answers that change all images, not training ones alone, and their remedy


class Finding(Record):
    """What the inquisitor hands back about one model on one set of images."""

    verdict: Verdict
    binding_reason: str
    gates: tuple[Gate, ...] = ()
    tests: tuple[TestResult, ...] = ()
    attributions: tuple[dict[str, Any], ...] = ()
    block_importances: dict[str, float] = Field(default_factory=dict)
    answers: tuple[str, ...] = ()  # what answers what was found: training options, and keys of BY_SEARCHING_AGAIN
    blind_spots: tuple[str, ...] = ()
    level: Literal["screen", "full"] = "full"
    seed: int = 0
    n: int = 0
    groups: int = 0
    excluded: dict[str, int] = Field(default_factory=dict)  # reason → images
    hashes: dict[str, str] = Field(default_factory=dict)  # model, data, masks
    versions: dict[str, str] = Field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()


class EpochRecord(Record):
    """One epoch of training."""

    epoch: int  # counted from 1
    train_loss: float
    learning_rate: float
    validation: dict[str, float] = Field(default_factory=dict)  # "log_loss", "balanced_accuracy", "auroc"
    images_per_second: float | None = None


class TrialRecord(Record):
    """One trial of a search, as the study stores it."""

    number: int
    key: str
    outcome: Outcome
    reason: str = ""
    architecture: dict[str, Any]
    cost: CostRecord
    quality: float | None = None  # the search's objective on validation (by default class-balanced log-loss): lower is better
    standard_error: float | None = None  # of the quality
    metrics: tuple[Metric, ...] = ()
    history: tuple[EpochRecord, ...] = ()
    constraints: dict[str, float] = Field(default_factory=dict)  # feasible when ≤ 0
    verdict: Verdict | None = None
    seconds: dict[str, float] = Field(default_factory=dict)  # phase → seconds
    fidelity: dict[str, float] = Field(default_factory=dict)


class CandidateRecord(Record):
    """A trained candidate on disk: ``path`` holds its architecture, weights, preprocessing, metrics, history and audit."""

    key: str
    name: str
    path: str
    architecture: dict[str, Any]
    cost: CostRecord
    metrics: tuple[Metric, ...] = ()
    seeds: tuple[int, ...] = ()
    finding: Finding | None = None
    unmet: tuple[str, ...] = ()
    answered: dict[str, Any] = Field(default_factory=dict)  # what retraining by the finding's answers changed

    @property
    def cropped(self) -> bool:
        """Whether it sees images cut to the lungs because that cured it, where the search did not."""
        return bool(self.answered.get("cured")) and CROP in self.answered["answers"]


class Accounting(Record):
    """Where a search's proposals and seconds went."""

    proposed: int = 0
    repeated: int = 0
    over_budget: int = 0
    pruned: int = 0
    failed: int = 0
    completed: int = 0
    seconds: dict[str, float] = Field(default_factory=dict)


class DataSummary(Record):
    """What was loaded, counted; ``warnings`` are sentences for a person."""

    spec: tuple[str, ...]
    fingerprint: str
    images: int
    groups: int
    classes: dict[str, int]
    sources: dict[str, dict[str, int]]  # source → class → images
    with_mask: int
    image_size: int
    parts: dict[str, dict[str, int]] = Field(default_factory=dict)  # part → class → images
    trivial_features: Metric | None = None
    warnings: tuple[str, ...] = ()
    skipped: dict[str, int] = Field(default_factory=dict)  # reason → files
    groups_per_class: dict[str, int] = Field(default_factory=dict)
    masks_per_class: dict[str, int] = Field(default_factory=dict)
    native_sizes: dict[str, float] = Field(
        default_factory=dict
    )  # longer side in pixels: least, median, greatest; aspect: height ÷ width
    source_association: float | None = None  # Cramér's V between class and source
    next_command: str = ""


class SearchRecord(Shown):
    """The whole of a search: what ``nas search --json`` prints and ``run.json`` holds."""

    kind: Literal["search"] = "search"
    toolkit: str
    versions: dict[str, str]
    command: str
    created: str  # ISO 8601, UTC
    seed: int
    sampler: str
    space: str
    space_version: int
    budget: dict[str, Any]
    settings: dict[str, Any]
    data: DataSummary
    accounting: Accounting
    trials: tuple[TrialRecord, ...]
    front: tuple[CandidateRecord, ...]
    best: CandidateRecord | None
    winner: CandidateRecord | None
    unmet: tuple[str, ...]
    controls: tuple[Metric, ...] = ()  # trivial features, on the part that the candidates are scored on
    comparisons: tuple[Comparison, ...] = ()
    test_openings: int = 0
    generator: dict[str, Any] = Field(default_factory=dict)  # log of the generator's updates
    notes: tuple[str, ...] = ()
    directory: str = ""
    page: str = ""


class AuditRecord(Shown):
    """What ``nas audit --json`` prints; time, paths and durations live outside ``finding``."""

    kind: Literal["audit"] = "audit"
    toolkit: str
    versions: dict[str, str]
    command: str
    created: str
    model: str
    verdict: Verdict
    finding: Finding
    metrics: tuple[Metric, ...] = ()
    data: DataSummary
    seconds: float = 0.0
    directory: str = ""
    page: str = ""

    @property
    def tests(self) -> tuple[TestResult, ...]:
        """The finding's tests."""
        return self.finding.tests


class Comparison(Record):
    """A paired comparison of two models on the same images."""

    first: str
    second: str
    metric: str
    difference: float | None
    interval: Interval | None
    p_value: float | None = None
    p_adjusted: float | None = None
    conclusion: Literal["better", "worse", "within noise", "not inferior", "not compared"]
    test: str = ""
    note: str = ""


class BenchmarkRow(Record):
    """One model of a benchmark."""

    name: str
    kind: Literal["candidate", "baseline", "control"]
    cost: CostRecord | None
    pretraining: str = "none"
    recipe: str = "shared"
    test: tuple[Metric, ...] = ()
    folds: tuple[Metric, ...] = ()
    by_source: tuple[Metric, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()  # rows: truth, columns: prediction, on the sealed test part
    latency_ms: Metric | None = None
    throughput: Metric | None = None  # images a second in batches, on this device
    weight_bytes: int | None = None
    net_score: float | None = None
    diversity: int | None = None  # distinct layer configurations
    finding: Finding | None = None
    curves: dict[str, Any] = Field(default_factory=dict)  # ROC and reliability points for the page
    failed: str = ""
    seconds: float = 0.0
    note: str = ""


class BenchmarkRecord(Shown):
    """The whole of a benchmark: what ``nas benchmark --json`` prints."""

    kind: Literal["benchmark"] = "benchmark"
    toolkit: str
    versions: dict[str, str]
    command: str
    created: str
    seed: int
    settings: dict[str, Any]
    data: DataSummary
    classes: tuple[str, ...]
    rows: tuple[BenchmarkRow, ...]
    comparisons: tuple[Comparison, ...] = ()
    survey: dict[str, Any] = Field(default_factory=dict)
    test_openings: int = 0
    notes: tuple[str, ...] = ()
    device: str = ""
    directory: str = ""
    page: str = ""


SearchRecord.model_rebuild()
