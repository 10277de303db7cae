"""Micro-benchmarks of what runs in every step or epoch (``pytest --benchmark-enable tests/performance``)."""

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from baselines.recipe import Augmentation, Recipe
from nas.evaluation import metrics
from nas.evaluation.augmentation import apply_changes, draw_changes
from nas.evaluation.batches import plan_epoch
from nas.evaluation.quality import quality


@pytest.mark.parametrize("size", [64, 128, 224])
def test_augment_a_batch_of_32(benchmark: BenchmarkFixture, size: int) -> None:
    images = torch.randint(0, 256, (32, 1, size, size), dtype=torch.uint8)
    changes = draw_changes(Augmentation(), 32, torch.Generator().manual_seed(0))
    result = benchmark(apply_changes, images, changes, torch.full((32,), 0.5))
    assert result.shape == images.shape


def test_plan_an_epoch_of_30_000_images(benchmark: BenchmarkFixture) -> None:
    labels = np.random.default_rng(0).integers(0, 3, 30_000)
    plan = benchmark(plan_epoch, np.arange(30_000), labels, Recipe(), seed=0, epoch=0)
    assert plan.indices.shape == (round(30_000 / Recipe().batch_size), Recipe().batch_size)


@pytest.mark.parametrize("with_intervals", [False, True], ids=["values", "intervals"])
def test_metrics_of_1_000_images(benchmark: BenchmarkFixture, with_intervals: bool) -> None:
    rng = np.random.default_rng(0)
    logits, labels, groups = rng.normal(0, 1, (1_000, 3)), rng.integers(0, 3, 1_000), rng.integers(0, 500, 1_000)
    found = benchmark(metrics, logits, labels, groups, ("normal", "pneumonia", "covid"), with_intervals=with_intervals)
    assert len(found) == 23


def test_quality_of_1_000_images(benchmark: BenchmarkFixture) -> None:
    rng = np.random.default_rng(0)
    value, _ = benchmark(quality, rng.normal(0, 1, (1_000, 3)), rng.integers(0, 3, 1_000))
    assert value > 0
