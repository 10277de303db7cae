"""Does the audit belong in the loop? The intraclass correlation of shortcut reliance between architectures.

    python -m tests.performance.phantom_icc --out RUNS.jsonl [--architectures 12] [--seeds 4] [--summary SUMMARY.json]

Networks are trained on a phantom with a planted frame. Reliance is measured against the phantom's truth: the same fresh images
with the frame always and never present; the mean shift of the logit margin towards the marked class, in standard deviations of
the margin. If reliance varies more between architectures than between seeds of one, an audit can steer the generator; the
feedback is on by default only if the lower 95 % bound of ICC(1) exceeds 0.2.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import f as f_distribution

from nas.data.phantom import phantom
from nas.evaluation import DeviceData, predict_logits
from search_spaces import Budget
from tests.performance.phantom_landscape import CLASSES, IMAGE_SIZE, TRAINING, pepx_space, train_network

SHORTCUT = "frame@0.9"  # at this size and so few epochs a marker of letters is not learnt
TWINS = 500  # fresh images, each with and without the marker
BUDGET = Budget(flops=400_000, image_size=IMAGE_SIZE)


def intraclass_correlation(values: np.ndarray) -> tuple[float, float, float]:
    """ICC(1) of a one-way layout with its exact 95 % interval (Shrout & Fleiss 1979).

    Args:
        values: float64 (architectures, seeds).
    """
    groups, k = values.shape
    between = k * values.mean(axis=1).var(ddof=1)
    within = values.var(axis=1, ddof=1).mean()
    ratio = between / within
    degrees = groups - 1, groups * (k - 1)
    low = ratio / f_distribution.ppf(0.975, *degrees)
    high = ratio * f_distribution.ppf(0.975, *degrees[::-1])
    return tuple(float((r - 1) / (r + k - 1)) for r in (ratio, low, high))  # type: ignore[return-value]  # three of them


def twins(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same fresh images without and with the frame, uint8 (n, 1, h, w) each."""
    options: dict[str, Any] = {"n": TWINS, "image_size": IMAGE_SIZE, "seed": seed, "classes": CLASSES, "shortcut": SHORTCUT}
    return phantom(**options, cue="never").images, phantom(**options, cue="always").images


def reliance(model: torch.nn.Module, without: np.ndarray, marked: np.ndarray) -> float:
    """How far the frame moves the margin towards its class, in standard deviations of the margin without it."""
    margins = []
    for pictures in (without, marked):
        logits = predict_logits(model, pictures).astype(float)
        margins.append(logits[:, 1] - logits[:, 0])
    return float((margins[1] - margins[0]).mean() / max(margins[0].std(), 1e-6))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, print the correlation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--architectures", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--summary", type=Path)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    lines = chosen.out.read_text().splitlines() if chosen.out.exists() else []
    done = {(row["architecture"], row["seed"]): row["reliance"] for row in map(json.loads, lines)}
    space, rng = pepx_space(), np.random.default_rng(0)
    networks = [space.sample(rng, BUDGET, fill=True) for _ in range(chosen.architectures)]
    dataset = phantom(n=TRAINING, image_size=IMAGE_SIZE, seed=0, classes=CLASSES, shortcut=SHORTCUT)
    data, pictures = DeviceData(dataset), twins(seed=10_000)
    for index, architecture in enumerate(networks):
        for seed in range(chosen.seeds):
            if (index, seed) in done:
                continue
            model = train_network(architecture, space, data, np.arange(TRAINING), seed)
            done[index, seed] = reliance(model, *pictures)
            row = {"architecture": index, "seed": seed, "key": architecture.key, "reliance": done[index, seed]}
            with chosen.out.open("a") as runs:
                runs.write(json.dumps(row) + "\n")
    values = np.array([[done[i, s] for s in range(chosen.seeds)] for i in range(chosen.architectures)])
    icc, low, high = intraclass_correlation(values)
    summary = {
        "command": f"python -m tests.performance.phantom_icc --architectures {chosen.architectures} --seeds {chosen.seeds}",
        "architectures": chosen.architectures,
        "seeds": chosen.seeds,
        "shortcut": SHORTCUT,
        "icc": icc,
        "low": low,
        "high": high,
        "mean_reliance": float(values.mean()),
        "by_architecture": [[round(float(v), 3) for v in row] for row in values],
        "feedback_by_default": low > 0.2,
    }
    print(json.dumps(summary, indent=1))
    if chosen.summary:
        chosen.summary.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
