"""Exports: equal to the model at any batch size, checked when written, refused where they would not be."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nas.data import Preprocessing
from nas.evaluation import LoadedModel
from nas.jobs.export import TOLERANCE, example_images, export
from search_spaces import Budget, get_space
from search_spaces.errors import InputError, ToolkitError

SIZE = 32


def loaded(space: str = "pepx", seed: int = 0, flops: float = 2e6, **options) -> LoadedModel:
    """A random architecture with random statistics in its normalisations, as training would leave them."""
    spaces = get_space(space, classes=3, image_size=SIZE, **options)
    architecture = spaces.sample(np.random.default_rng(seed), Budget(flops=flops, image_size=SIZE))
    model = spaces.build(architecture, SIZE).eval()
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return LoadedModel(
        model=model, classes=("normal", "pneumonia", "covid"), preprocessing=Preprocessing(image_size=SIZE),
        name=f"{space} {seed}", training_hashes=frozenset(), architecture=architecture.to_json(),
    )  # fmt: skip


def test_a_torch_archive_comes_back_equal_with_its_checksum(tmp_path):
    model = loaded()
    done = export(model, "torch", tmp_path / "m.pt2")
    assert done.max_difference <= TOLERANCE
    digest, name = (tmp_path / "m.pt2.sha256").read_text().split()
    assert (digest, name) == (hashlib.sha256((tmp_path / "m.pt2").read_bytes()).hexdigest(), "m.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = torch.export.load(tmp_path / "m.pt2").module()
    images = example_images(SIZE, 7)
    with torch.inference_mode():
        assert torch.allclose(again(images), model.model(images), atol=TOLERANCE)


def test_an_onnx_file_takes_any_batch_and_says_what_it_is(tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = loaded()
    done = export(model, "onnx", tmp_path / "m.onnx")
    assert done.max_difference <= TOLERANCE
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == list(model.classes)
    assert json.loads(metadata["preprocessing"])["image_size"] == SIZE
    images = example_images(SIZE, 9)
    with torch.inference_mode():
        expected = model.model(images).numpy()
    assert np.abs(session.run(None, {"images": images.numpy()})[0] - expected).max() <= TOLERANCE


def test_a_crop_to_the_lungs_is_said_to_be_left_to_the_caller(tmp_path):
    for crop, words in (("lungs", "cut to the lungs first, as nas.data.prepare does"), ("square", "")):
        model = replace(loaded(), preprocessing=Preprocessing.parse(crop, SIZE))
        done = export(model, "torch", tmp_path / "m.pt2")
        kept = {"preprocessing": "", "before": ""}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.load(tmp_path / "m.pt2", extra_files=kept)
        assert words in done.before
        assert bool(done.before) == bool(words)
        assert (kept["before"] or "") == done.before
        assert json.loads(kept["preprocessing"])["lungs"] == (crop == "lungs")


class Shifting(nn.Module):
    """Answers differently each time: no export can equal it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(SIZE * SIZE, 3)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.layer(x.flatten(1)) + self.calls


def foreign(model: nn.Module) -> LoadedModel:
    return LoadedModel(
        model=model.eval(),
        classes=("a", "b", "c"),
        preprocessing=Preprocessing(image_size=SIZE),
        name="foreign",
        training_hashes=frozenset(),
    )


def test_an_export_that_differs_is_an_error(tmp_path):
    with pytest.raises(ToolkitError, match="differs from it by"):
        export(foreign(Shifting()), "torch", tmp_path / "m.pt2")


class Branching(nn.Module):
    """Looks at the data to decide what to do: cannot be traced."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :3] if x.sum() > 0 else x.flatten(1)[:, 3:6]


@pytest.mark.parametrize(
    ("model", "format", "out", "words"),
    [
        (None, "tflite", "m", "choose one of: onnx, torch, source"),
        (None, "torch", "m.pt", "must end in .pt2"),
        (None, "source", "m.py", "writes a directory"),
        (Branching(), "torch", "m.pt2", "cannot be traced .* must not hang on the values of images"),
        (nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 3)), "source", "m", "only networks of the built-in search spaces"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_a_remedy(tmp_path, capfd, model, format, out, words):
    with pytest.raises(InputError, match=words) as caught:
        export(loaded() if model is None else foreign(model), format, tmp_path / out)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # torch prints the whole graph of what it cannot trace
    assert not (tmp_path / out).exists()


def test_an_onnx_model_is_not_exported_again(tmp_path):
    model = nn.Flatten()
    model.forward_only = True
    with pytest.raises(InputError, match="ONNX model already"):
        export(foreign(model), "torch", tmp_path / "m.pt2")


def test_a_candidate_directory_is_exported(tmp_path):
    from nas.evaluation import save_candidate
    from search_spaces import load_architecture

    model = loaded()
    home = tmp_path / "candidate"
    save_candidate(
        home, model=model.model, architecture=load_architecture(model.architecture), preprocessing=model.preprocessing, classes=model.classes, name="c"
    )  # fmt: skip
    done = export(home, "source", tmp_path / "out")
    assert [Path(file).name for file in done.files] == ["model.py", "weights.safetensors"]
    assert json.loads(done.to_json())["max_difference"] == 0.0
