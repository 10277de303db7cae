"""Files of foreign origin, made to harm: each is refused in one line, nothing in them runs, nothing huge is allocated."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

import nas.data as data
from nas.cli_options import read_config
from nas.data import arrays
from nas.evaluation import load_candidate
from nas.files import read_json
from nas.jobs.models import load_onnx, module_from_factory, read_model_spec, resolve_model
from search_spaces.errors import InputError, ToolkitError


class Harmful:
    """A pickle that leaves a trace where it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.trace,))


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def array_header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    "shape", [(10, 2**20, 2**20), (10, 2**40, 2**40), (10**12, 28, 28), (2**62, 4), (10, -28, 28)], ids=str
)
def test_an_archive_that_claims_to_be_huge_is_not_believed(tmp_path, shape):
    labels = array_header((10, 1)) + bytes(10)
    path = zip_of(tmp_path / "a.npz", {"train_images.npy": array_header(shape), "train_labels.npy": labels})
    with pytest.raises(InputError):
        data.load(f"medmnist:{path}", image_size=16, cache=None)
    with pytest.raises(InputError):
        arrays.load(path, "train_images")


def test_an_archive_bomb_is_read_row_by_row(tmp_path):
    bomb = array_header((2**31, 28, 28)) + bytes(10_000_000)  # deflated a thousandfold; more is claimed than is there
    path = zip_of(tmp_path / "a.npz", {"x.npy": bomb})
    assert path.stat().st_size < 20_000
    assert next(arrays.stream(path, "x", [5])).shape == (28, 28)
    with pytest.raises(InputError, match="truncated"):
        list(arrays.stream(path, "x", [20_000]))


def test_no_path_leads_out_of_an_archive(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    content = array_header((2, 4, 4)) + bytes(32)
    path = zip_of(inner / "a.npz", {"../outside.npy": content, "/absolute.npy": content, "train_images.npy": content})
    with pytest.raises(ToolkitError):
        data.load(f"medmnist:{path}", image_size=16, cache=None)
    assert arrays.load(path, "../outside").shape == (2, 4, 4)  # read in place; nothing is ever unpacked
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.npz", "inner"]


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.pkl", "w.bin"])
def test_pickled_weights_are_refused_unread(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Harmful(tmp_path / "trace")))
    with pytest.raises(InputError, match=r"pickles can run code"):
        module_from_factory("torch.nn:Identity", tmp_path / name)
    assert not (tmp_path / "trace").exists()


def safetensors(header: bytes, claimed: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if claimed is None else claimed) + header


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x05K\x01.",  # a pickle under another name
        safetensors(b"{}", claimed=2**63),
        safetensors(json.dumps({"w": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 16]}}).encode()) + bytes(16),
        safetensors(json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [-4, 2**62]}}).encode()) + bytes(16),
        safetensors(b"[" * 100_000),
    ],
    ids=["empty", "pickle", "claims 8 EiB", "claims a huge tensor", "offsets outside", "deep"],
)
def test_lying_weight_files_are_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"do not fit"):
        module_from_factory("torch.nn:Identity", path)


def test_a_pickle_in_a_candidates_place_does_not_run(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": 1, "name": "", "classes": ["a", "b"], "sha256": "0"}')
    (tmp_path / "architecture.json").write_text('{"baseline": {"name": "cnn", "in_channels": 1}}')
    (tmp_path / "preprocessing.json").write_text('{"image_size": 64}')
    (tmp_path / "training_images.json").write_text("[]")
    (tmp_path / "weights.safetensors").write_bytes(pickle.dumps(Harmful(tmp_path / "trace")))
    with pytest.raises(InputError, match="SHA-256 differs"):
        load_candidate(tmp_path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["model.pt2", "model.pt", "model.pkl"])
def test_archives_that_could_run_code_are_no_models(tmp_path, name):
    zip_of(tmp_path / name, {"archive/data.pkl": pickle.dumps(Harmful(tmp_path / "trace"))})
    with pytest.raises(InputError, match="no model"):
        resolve_model(str(tmp_path / name))
    assert not (tmp_path / "trace").exists()


def test_foreign_onnx_files_cannot_lie_or_reach_out(tmp_path, capfd):
    onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    from onnx import TensorProto, helper

    def model(weights):
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def external(location):
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", location), ("offset", "0"), ("length", "16")):
            tensor.external_data.add(key=key, value=value)
        return tensor

    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret").write_bytes(bytes(16))
    huge = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**40, 2**20], raw_data=bytes(16))
    path = inner / "m.onnx"
    for content in (
        b"\x1b[31mnot a model\x1b[0m",
        model(huge).SerializeToString(),
        model(external("../secret")).SerializeToString(),
        model(external(str(tmp_path / "secret"))).SerializeToString(),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a model that onnxruntime can load") as caught:
            load_onnx(path)
        assert str(caught.value).isprintable()
    assert "\x1b" not in capfd.readouterr().err
    assert onnx.__version__


@pytest.mark.parametrize("read", [read_config, read_model_spec])
@pytest.mark.parametrize(
    "content", [b"a = 1\n" * 300_000, b"a" * 100, b"\xff\xfe", b"a = " + b"[" * 5000, b"a." * 3000 + b"a = 1"],
    ids=["huge", "malformed", "not UTF-8", "deep", "dotted"],
)  # fmt: skip
def test_hostile_toml(tmp_path, read, content):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    if read is read_config and content.startswith(b"a.a"):
        pytest.skip("valid TOML, whose key the settings refuse")
    with pytest.raises(InputError):
        read(path)


@pytest.mark.parametrize("content", ["[" * 200_000, '{"a":' * 100_000, "1" * 5000, '"\\ud800"', "nul", "\x00"], ids=range(6))
def test_hostile_json(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    if content == '"\\ud800"':
        assert read_json(path) == "\ud800"  # a lone surrogate is JSON
        return
    with pytest.raises(InputError, match=r"x\.json"):
        read_json(path)
