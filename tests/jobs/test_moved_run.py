"""A run that was started with a relative path is read from elsewhere, and after it was moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nas
from nas.engine.directory import candidate_at
from nas.jobs.models import resolve_model
from nas.jobs.predict import predict
from nas.jobs.report import read_record, rewrite
from nas.records import CandidateRecord
from nas.report.search_page import bases


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished search in another folder than the one it was made in, and another working directory than either."""
    for name in ("here", "there", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    nas.search(
        data="phantom:n=120", image_size=32, budget="1M", trials=1, epochs=1, finalists=1, final_seeds=1, audit_images=100,
        device="cpu", out="run",
    )  # fmt: skip
    monkeypatch.chdir(tmp_path / "elsewhere")
    return (tmp_path / "here" / "run").rename(tmp_path / "there" / "moved")


def test_a_moved_run_predicts_and_its_page_names_the_new_place(moved: Path) -> None:
    picture = Path("chest.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)).save(picture)
    assert len(predict(moved, [picture], device="cpu").predictions) == 1
    assert resolve_model(str(moved)).architecture is not None
    record = read_record(moved)
    assert Path(record.front[0].path).is_dir()
    assert record.directory == str(moved)
    assert f"nas predict {moved}/candidates" in rewrite(moved).read_text(encoding="utf-8")


def test_what_lies_below_a_candidate_moves_along() -> None:
    candidate = CandidateRecord.model_construct(key="k", path="old/run/candidates/k/answered/seed1")
    assert candidate_at(candidate, Path("/new")).path == "/new/candidates/k/answered/seed1"
    assert candidate_at(candidate.model_copy(update={"path": ""}), Path("/new")).path == ""


def test_pictures_are_those_of_the_network_that_is_shown() -> None:
    answered = CandidateRecord.model_construct(key="k", path="/new/candidates/k/answered/seed0")
    places = bases(answered, Path("/new"))
    assert Path("/new/candidates/k/answered/pictures") in places
    assert Path("/new/candidates/k/pictures") not in places  # of the audit that it failed before
