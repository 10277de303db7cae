"""Foreign models: what a spec may say, ONNX files of every form, a trial before the audit, hashes that tell models apart."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nas.data import Preprocessing
from nas.data.phantom import phantom
from nas.evaluation import LoadedModel
from nas.inquisitor.opening import hashes
from nas.jobs.audit import audit
from nas.jobs.audit_image import audit_image
from nas.jobs.export import export
from nas.jobs.models import read_model_spec, resolve_model
from nas.jobs.predict import predict
from search_spaces.errors import InputError

CLASSES, SIZE = ("normal", "pneumonia", "covid"), 32
SPEC = f"classes = {list(CLASSES)}\nimage_size = {SIZE}\n"
FACTORIES = """
import torch
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(1024, 3))
class Probabilities(Net):
    def forward(self, images):
        return super().forward(images).softmax(1)
class Pair(Net):
    def forward(self, images):
        return super().forward(images), images
class Sized(Net):
    def forward(self, images):
        assert images.shape[-1] == 64, "wrong size"
class Two(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(1024, 2))
def exported():
    return torch.export.export(Net(), (torch.rand(2, 1, 32, 32),), dynamic_shapes=({0: torch.export.Dim("n")},)).module()
class Around(nn.Module):
    def __init__(self):
        super().__init__()
        self.program, self.drop = exported(), nn.Dropout()
    def forward(self, images):
        return self.drop(self.program(images))
class Top(nn.Module):
    def forward(self, images):
        return images[:, 0, 0, :3]
class Left(nn.Module):
    def forward(self, images):
        return images[:, 0, :3, 0]
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def factory(tmp_path, monkeypatch):
    (tmp_path / "foreign_nets.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)
    return "foreign_nets:{}".format


@pytest.fixture
def onnx_file(tmp_path):
    """Writes a linear model; ``batch`` may be fixed, ``kind`` another float type, and labels may come first."""
    onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
    pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    from onnx import TensorProto, helper, numpy_helper

    def write(name, *, batch="n", kind=np.float32, labels=False, shape=(1, SIZE, SIZE), seed=0, beside=None):
        weights = (np.random.default_rng(seed).normal(size=(3, SIZE * SIZE)) / SIZE).astype(kind)
        number = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("Gemm", ["flat", "w"], ["y"], transB=1)]
        ends = [helper.make_tensor_value_info("y", number, [batch, 3])]
        if labels:
            nodes.append(helper.make_node("ArgMax", ["y"], ["label"], axis=1, keepdims=0))
            ends.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, [batch]))
        start = helper.make_tensor_value_info("x", number, [batch, *shape])
        graph = helper.make_graph(nodes, "g", [start], ends, [numpy_helper.from_array(weights, "w")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        apart = {} if beside is None else {"save_as_external_data": True, "location": beside, "size_threshold": 0}
        onnx.save(model, str(tmp_path / name), **apart)
        return str(tmp_path / name)

    return write


def model_hash(loaded):
    return hashes(loaded.model, phantom(4, SIZE, 0, CLASSES), np.arange(4))["model"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("channels = 3\nmean = [0.5, 0.4]", "'mean'.*one number, or one for each of 3 channels"),
        ("channels = 1\nstd = [0.2, 0.2, 0.2]", "'std'.*one number, or one for each of 1 channels"),
        ("std = [0.0]", r"'std\.0'.*greater than 0, but got 0\.0"),
        ("mean = [nan]", r"'mean\.0'.*finite"),
        ("mean = 123.7\nstd = 58.4", r"'mean'.*grey values in \[0, 1\]; divide mean and std .* by 255, but got"),
    ],
)
def test_a_spec_that_no_image_could_be_normalised_by_is_refused(spec, more, said):
    spec.write_text(SPEC + more)
    with pytest.raises(InputError, match=said):
        read_model_spec(spec)


@pytest.mark.parametrize(
    "more",
    [
        "channels = 3\nmean = [0.5]\nstd = [0.2, 0.3, 0.4]",
        "channels = 3",
        "channels = 3\nmean = 0.5\nstd = 1",
        "mean = [0]\nstd = [1]",
    ],
)
def test_one_number_or_one_a_channel(spec, more):
    spec.write_text(SPEC + more)
    assert read_model_spec(spec).image_size == SIZE


@pytest.mark.parametrize("form", [{"batch": 1}, {"batch": 4}, {"kind": np.float16}, {"kind": np.float64}], ids=str)
def test_onnx_files_of_a_fixed_batch_or_another_float_type_answer_alike(onnx_file, spec, form):
    images = torch.rand(7, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    usual = resolve_model(onnx_file("usual.onnx"), model_spec=spec).model(images)
    found = resolve_model(onnx_file("other.onnx", **form), model_spec=spec).model(images)
    np.testing.assert_allclose(found.numpy(), usual.numpy(), atol=5e-3 if form.get("kind") is np.float16 else 1e-5)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"labels": True}, r"by a tensor \(2,\) of int64; it must return one tensor of logits \(2, 3\)"),
        ({"shape": (SIZE, SIZE, 1)}, r"cannot take two images, float \(2, 1, 32, 32\): .*invalid dimensions"),
    ],
    ids=["labels first", "channels last"],
)
def test_an_onnx_file_that_does_not_fit_is_told_what_was_expected(onnx_file, spec, form, said):
    with pytest.raises(InputError, match=said) as caught:
        resolve_model(onnx_file("m.onnx", **form), model_spec=spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Pair", r"by a tuple of 2; it must return one tensor of logits \(2, 3\)"),
        ("Sized", r"cannot take two images, float \(2, 1, 32, 32\): AssertionError: wrong size"),
        ("Two", r"by a tensor \(2, 2\) of float32; .* for each of normal, pneumonia, covid"),
    ],
)
def test_a_module_that_does_not_fit_is_told_what_was_expected(factory, spec, name, said):
    with pytest.raises(InputError, match=said):
        resolve_model(factory(name), model_spec=spec)


def test_a_module_from_python_is_tried_alike():
    class Pair(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :3], images

    with pytest.raises(InputError, match="Pair answers two images by a tuple of 2"):
        audit(Pair(), phantom(60, SIZE, 0, CLASSES))


def test_one_logit_is_told_how_to_become_two():
    class One(nn.Module):
        def forward(self, images):
            return images.mean((1, 2, 3))[:, None]

    with pytest.raises(InputError, match=r"for pneumonia, torch.stack\(\[0 \* z, z\], dim=1\) makes two"):
        audit(One(), phantom(60, SIZE, 0, CLASSES[:2]))


@pytest.mark.parametrize(("model", "kind"), [(None, "NoneType"), (nn.Linear, "type"), (len, "builtin_function_or_method")])
def test_what_is_no_model_is_named_by_its_kind(model, kind):
    with pytest.raises(InputError, match=f"must be an nn.Module or the name of one, but got {kind}; wrap"):
        audit(model, phantom(60, SIZE, 0, CLASSES))


def test_probabilities_are_read_by_their_logarithm_and_this_is_said(factory, spec, tmp_path):
    images = torch.rand(5, 1, SIZE, SIZE)
    torch.manual_seed(0)
    logits = resolve_model(factory("Net"), model_spec=spec)
    torch.manual_seed(0)
    shares = resolve_model(factory("Probabilities"), model_spec=spec)
    torch.testing.assert_close(shares.model(images).softmax(1), logits.model(images).softmax(1))
    assert "returns probabilities" in shares.name
    assert logits.name == "foreign_nets:Net"


def test_a_certain_probability_is_a_finite_logit():
    class Certain(nn.Module):
        def forward(self, images):
            return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(images), 3)

    assert "returns probabilities" in audit(Certain(), phantom(60, SIZE, 0, CLASSES)).model


def test_hashes_tell_onnx_files_apart_also_where_their_weights_lie_beside_them(onnx_file, spec):
    files = [onnx_file("a.onnx", seed=0), onnx_file("b.onnx", seed=1), onnx_file("c.onnx", seed=0)]
    first, second, same = (model_hash(resolve_model(file, model_spec=spec)) for file in files)
    assert first == same != second
    apart = onnx_file("d.onnx", seed=0, beside="w.bin")
    before = model_hash(resolve_model(apart, model_spec=spec))
    onnx_file("d.onnx", seed=1, beside="w.bin")
    assert model_hash(resolve_model(apart, model_spec=spec)) != before


def test_hashes_tell_models_without_parameters_apart(factory, spec):
    first, again, second = (model_hash(resolve_model(factory(name), model_spec=spec)) for name in ("Top", "Top", "Left"))
    assert first == again != second


def test_an_exported_network_answers_as_it_did_or_the_spec_is_corrected(spec, tmp_path):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name, reason="the extra 'onnx' is not installed")
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 3))
    loaded = LoadedModel(net.eval(), CLASSES, Preprocessing.parse("covidnet", SIZE), "cropped", frozenset())
    export(loaded, "onnx", tmp_path / "m.onnx")
    Image.fromarray(phantom(1, 64, 0).images[0, 0]).save(tmp_path / "chest.png")
    for said in (SPEC, SPEC.replace("'normal', 'pneumonia'", "'pneumonia', 'normal'") + 'crop = "covidnet"'):
        spec.write_text(said)
        with pytest.raises(InputError, match=r'exported with classes = .*, image_size = 32, crop = "top=0\.08\+square"; write'):
            predict(str(tmp_path / "m.onnx"), [tmp_path / "chest.png"], model_spec=spec)
    spec.write_text(SPEC + 'crop = "covidnet"')
    found, expected = (
        predict(model, [tmp_path / "chest.png"], model_spec=how).predictions[0].probabilities
        for model, how in ((str(tmp_path / "m.onnx"), spec), (loaded, None))
    )
    assert found == pytest.approx(expected, abs=1e-5)
    for twice in ("mean = 0.5", "std = [0.2]", "channels = 3"):
        spec.write_text(SPEC + f'crop = "covidnet"\n{twice}')
        with pytest.raises(InputError, match="no channels, mean or std: they are inside"):
            resolve_model(str(tmp_path / "m.onnx"), model_spec=spec)
    spec.write_text(SPEC + 'crop = "oval"')
    with pytest.raises(InputError, match="unknown crop 'oval'"):
        resolve_model(str(tmp_path / "m.onnx"), model_spec=spec)


def test_hashes_of_quantised_models_and_of_what_is_no_tensor():
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 3))
    others = [copy.deepcopy(net) for _ in range(2)]
    with torch.no_grad():
        others[0][1].weight[1, 500] += 1
        others[1][1].bias[1] += 1
    data = phantom(6, SIZE, 1, CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch moves quantisation to another package
        small = [torch.ao.quantization.quantize_dynamic(one, {nn.Linear}) for one in (net, net, *others)]
    found = [hashes(one, data, np.arange(6))["model"] for one in small]
    assert found[0] == found[1]
    assert len(set(found)) == 3
    assert audit(small[0], data, level="screen").verdict == "undecided"


def test_a_spec_or_weights_that_nobody_would_read_are_refused(onnx_file, spec, tmp_path):
    with pytest.raises(InputError, match=r"--weights would be ignored: .*a\.onnx brings its own"):
        resolve_model(onnx_file("a.onnx"), model_spec=spec, weights=tmp_path / "w.safetensors")
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="--model-spec and --weights would be ignored"):
        resolve_model(str(tmp_path / "run"), model_spec=spec, weights=tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"--model-spec would be ignored: a model in memory \(Flatten\)"):
        audit(nn.Flatten(), phantom(60, SIZE, 0, CLASSES), model_spec=spec)


def test_labels_of_the_data_are_merged_into_the_models_classes(factory, tmp_path):
    spec = tmp_path / "merged.toml"
    spec.write_text(f'classes = ["abnormal", "normal"]\nimage_size = {SIZE}\n')
    words, data = ("abnormal=covid+pneumonia", "normal"), "phantom:n=60"
    record = audit(factory("Two"), data, classes=words, model_spec=spec, level="screen")
    assert record.data.classes == {"abnormal": 41, "normal": 19}
    picture = tmp_path / "image.png"
    Image.fromarray(phantom(1, SIZE, 9).images[0, 0]).save(picture)
    assert set(audit_image(factory("Two"), picture, data, classes=words, model_spec=spec).probabilities) == {
        "abnormal",
        "normal",
    }
    with pytest.raises(InputError, match="no label 'abnormal'"):
        audit(factory("Two"), data, model_spec=spec, level="screen")


@pytest.mark.parametrize("name", ["exported", "Around"])
def test_a_program_of_torch_export_is_taken_and_what_is_around_it_evaluates(factory, spec, name, tmp_path):
    record = audit(factory(name), "phantom:n=60", model_spec=spec, level="screen")
    assert "groups" in record.finding.binding_reason or "competence" in record.finding.binding_reason
    assert not any(part.training for part in resolve_model(factory(name), model_spec=spec).model.modules())
    Image.fromarray(phantom(1, SIZE, 9).images[0, 0]).save(tmp_path / "a.png")
    (answer,) = predict(
        factory(name), [tmp_path / "a.png"], model_spec=spec, device="cpu", evidence=tmp_path / "why"
    ).predictions
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_what_a_foreign_model_is_besides_its_answers_stays_usable(factory, spec, tmp_path):
    """Predictions and exports, too, go by the wrapped model."""
    from PIL import Image

    Image.fromarray(phantom(4, SIZE, 0, CLASSES).images[0, 0]).save(tmp_path / "a.png")
    (answer,) = predict(factory("Probabilities"), [tmp_path / "a.png"], model_spec=spec, device="cpu").predictions
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert export(factory("Net"), "torch", tmp_path / "net.pt2", model_spec=spec).max_difference < 1e-4
