"""A search and a benchmark of what it found, with audits, on a real CUDA device."""

from __future__ import annotations

import pytest
import torch

import nas

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
