"""``ieee8023:DIR``: the covid-chestxray-dataset of Cohen et al. (arXiv:2003.11597), frontal radiographs only.

``finding`` is a hierarchy (``Pneumonia/Viral/COVID-19``). The label is ``covid`` where any step of it is COVID-19, ``normal`` for No
Finding, ``pneumonia`` for everything else below Pneumonia, otherwise its last step; the whole path is kept as metadata. Lung masks come
from ``annotations/lungVAE-masks``.
"""

from __future__ import annotations

import os
from pathlib import Path

from nas.data.listing import Listing, Row, clean, normal_form, resolve
from nas.data.readers.base import register_reader
from nas.data.readers.csvfile import read_csv
from nas.data.readers.layout import descend, required
from search_spaces.errors import InputError

VIEWS = {"pa", "ap", "ap supine", "aps", "ap semi erect", "ap erect"}
_KEPT = ("finding", "sex", "age", "offset", "location", "license", "url", "rt_pcr_positive", "survival")
# Early versions of the table named the germ alone.
_PNEUMONIAS = {"sars", "mers", "mers-cov", "streptococcus", "pneumocystis", "klebsiella", "legionella", "chlamydophila", "e.coli",
               "varicella", "influenza", "mycoplasma", "lipoid", "viral", "bacterial"}  # fmt: skip


def _fits(path: Path) -> bool:
    return (path / "metadata.csv").is_file() and (path / "images").is_dir() and "finding" in _header(path)


def _header(path: Path) -> list[str]:
    try:
        return read_csv(path / "metadata.csv", unique=False)[0]
    except InputError:
        return []


def recognise(path: Path) -> str:
    """A metadata.csv with a column ``finding`` beside ``images/``."""
    return "covid-chestxray-dataset (metadata.csv with findings)" if descend(path, _fits, 1) else ""


def label_of(finding: str) -> str:
    """The class of a finding path, "" for none (todo, Unknown)."""
    steps = [normal_form(step) for part in finding.split(",") for step in part.split("/") if step.strip()]
    if not steps or steps[-1] in ("todo", "unknown"):
        return ""
    if "covid" in steps:
        return "covid"
    if steps[-1] == "no_finding":
        return "normal"
    return "pneumonia" if steps[0] == "pneumonia" or steps[-1] in _PNEUMONIAS else steps[-1]


@register_reader("ieee8023", "covid-chestxray-dataset, frontal X-rays, with its lung masks", recognise)
def read(path: Path) -> Listing:
    """Rows of frontal X-rays with a finding; what is left out is counted by reason."""
    base = required(path, descend(path, _fits, 1), "metadata.csv with a column finding, and images/")
    listing = Listing([])
    for _, cells in read_csv(base / "metadata.csv", unique=False, paths=("filename",))[1]:
        reason = _left_out(cells)
        image = resolve(base / "images", cells.get("filename", ""), free=False)
        if reason or image is None:
            listing.skipped[reason or "file name leaves the data set"] += 1
            continue
        mask = base / "annotations" / "lungVAE-masks" / f"{image.stem}_mask.png"
        row = Row(
            image=image,
            label=label_of(cells.get("finding", "")),
            mask=mask if os.path.isfile(mask) else None,
            patient=cells.get("patientid", ""),
            source="ieee8023",
            view=cells.get("view", ""),
            file=clean(f"images/{cells['filename']}"),
            metadata={name: cells[name] for name in _KEPT if name in cells},
        )
        listing.rows.append(row)
    if not listing.rows:
        raise InputError(f"{base}/metadata.csv lists no frontal X-ray with a finding; download the data set again")
    return listing


def _left_out(cells: dict[str, str]) -> str:
    """Why a row is not used, "" when it is."""
    if cells.get("modality", "X-ray").lower() not in ("x-ray", ""):
        return f"modality {cells['modality']}"
    if cells.get("folder", "images").lower() not in ("images", ""):
        return f"folder {cells['folder']}"
    if cells.get("view", "").lower() not in VIEWS:
        return f"view {cells.get('view') or 'unknown'}"
    return "" if label_of(cells.get("finding", "")) and cells.get("filename") else "no finding stated"
