"""A search, a benchmark of what it found, with audits, and what follows, on a real CUDA device."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import nas
from nas.evaluation import load_candidate
from nas.jobs.export import export
from nas.jobs.predict import predict
from nas.jobs.search import candidate_home

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_a_search_and_an_audited_benchmark_of_its_finalists(tmp_path):
    run = nas.search(
        data="phantom:n=300", image_size=48, budget="3M", trials=3, epochs=2, finalists=1, final_seeds=1,
        workers=2, device="cuda", out=tmp_path / "run",
    )  # fmt: skip
    assert run.accounting.completed + run.accounting.pruned == 3
    record = nas.benchmark(
        tmp_path / "run", baselines="sgdm_squeezenet,detrac", folds=2, epochs=1, device="cuda", workers=2, audit="screen",
        out=tmp_path / "benchmark",
    )  # fmt: skip
    assert not any(row.failed for row in record.rows)
    assert "NVIDIA" in record.device
    loaded = load_candidate(candidate_home(tmp_path / "run"))
    picture = tmp_path / "grey.png"
    Image.new("L", (64, 64), 90).save(picture)
    predict(loaded, [picture], device="cuda")
    assert export(loaded, "source", tmp_path / "exported").max_difference < 1e-5
