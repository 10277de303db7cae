"""Export many random architectures and every baseline to every format, and print how far each is from its model.

Not a test: it takes minutes. Resumable: results are appended to a file, what stands there is skipped.

    python tests/jobs/export_sweep.py results.jsonl --architectures 20
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from baselines.registry import baseline_names, get_baseline
from nas.data import Preprocessing
from nas.evaluation import LoadedModel
from nas.jobs.export import export
from search_spaces import Budget, get_space
from search_spaces.errors import ToolkitError

CLASSES = ("normal", "pneumonia", "covid")
SUFFIX = {"onnx": ".onnx", "torch": ".pt2", "source": ""}


def models(architectures: int) -> Iterator[tuple[str, LoadedModel]]:
    """Random architectures of every shipped space in turn at 64 pixels, then the baselines at their smallest legal image size."""
    for seed in range(architectures):
        name = ("pepx", "pepx", "mbconv", "fire")[seed % 4]
        space = get_space(name, classes=3, image_size=64)
        architecture = space.sample(np.random.default_rng(seed), Budget(flops=40e6, image_size=64))
        yield f"{name} {seed}", loaded(f"{name} {seed}", space.build(architecture, 64), 64, architecture.to_json())
    for name in baseline_names():
        baseline = get_baseline(name)
        size = baseline.minimum_size
        torch.manual_seed(0)
        yield name, loaded(name, baseline.build(classes=3, in_channels=baseline.paper_channels, image_size=size), size, None)


def loaded(name: str, model: nn.Module, size: int, architecture: dict | None) -> LoadedModel:
    """With random statistics in the normalisations, as training would leave them."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return LoadedModel(
        model=model.eval(), classes=CLASSES, preprocessing=Preprocessing(image_size=size), name=name,
        training_hashes=frozenset(), architecture=architecture,
    )  # fmt: skip


def main() -> None:
    """Sweep and print one line an export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--architectures", type=int, default=20)
    arguments = parser.parse_args()
    lines = arguments.results.read_text().splitlines() if arguments.results.exists() else []
    done = {(row["model"], row["format"]) for row in map(json.loads, lines)}
    for name, model in models(arguments.architectures):
        formats = ("onnx", "torch") if model.architecture is None else ("onnx", "torch", "source")
        for format in formats:
            if (name, format) in done:
                continue
            with tempfile.TemporaryDirectory() as folder:
                started = time.monotonic()
                try:
                    difference, problem = export(model, format, Path(folder) / f"model{SUFFIX[format]}").max_difference, ""
                except ToolkitError as error:
                    difference, problem = None, str(error)
            row = {
                "model": name,
                "format": format,
                "max_difference": difference,
                "seconds": round(time.monotonic() - started, 1),
                "problem": problem,
            }
            print(json.dumps(row), flush=True)
            with arguments.results.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
