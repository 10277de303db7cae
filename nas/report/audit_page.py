"""The page of one audit: the finding with its pictures, the metrics on the same images, data, reproduction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.records import AuditRecord
from nas.report import formatting as fmt
from nas.report.cells import metrics_by_part
from nas.report.views import data_view, finding_view, picture_folders, reproduce

_LEADS = {
    "pass": "On these images the model was not found to decide from anything but the lungs, within the stated margins.",
    "fail": "The model decides from evidence outside the lungs.",
    "undecided": "These images do not settle what the model decides from.",
}


def audit_context(record: AuditRecord, directory: Path) -> dict[str, Any]:
    """What the audit's template prints."""
    hashes = {f"Hash of {name}": value for name, value in record.finding.hashes.items()}
    overall, by_class = metrics_by_part(record.metrics)
    sections = [("finding", "Finding"), ("metrics", "Performance"), ("data", "Data"), ("reproduce", "Reproduce")]
    return {
        "kind": "Audit",
        "title": f"Audit of {fmt.clean(record.model)}",
        "seed": record.finding.seed,
        "sections": sections,
        "lead": _LEADS[record.verdict],
        "view": finding_view(record.model, record.finding, picture_folders(directory)),
        "metrics": overall,
        "class_metrics": by_class,
        "data": data_view(record.data),
        "reproduce": reproduce(record, record.finding.seed, hashes | {"Duration": fmt.duration(record.seconds)}),
    }
