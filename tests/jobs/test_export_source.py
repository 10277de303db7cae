"""``model.py``: readable, and equal to the model where the toolkit cannot be imported."""

from __future__ import annotations

import ast
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from test_export import SIZE, loaded

from nas.data import Preprocessing, prepare
from nas.jobs.export import example_images, export
from nas.jobs.source import model_source
from search_spaces import space_names
from search_spaces.errors import InputError

WITHOUT_US = """
import sys
for name in ("nas", "search_spaces", "baselines"):
    sys.modules[name] = None  # importing it now fails
sys.path.insert(0, sys.argv[1])
import numpy, torch
from model import CLASSES, load, prepare
model = load()
images = torch.from_numpy(numpy.load(sys.argv[2]))
with torch.inference_mode():
    numpy.save(sys.argv[3], model(images).numpy())
assert tuple(prepare(sys.argv[4]).shape) == (1, 1, 32, 32)
"""


@pytest.mark.parametrize("space", ["pepx", "mbconv", "fire"])
@pytest.mark.parametrize("seed", range(4))
def test_the_source_equals_the_model(tmp_path, space, seed):
    if space not in space_names():
        pytest.fail(f"space {space} is gone")
    done = export(loaded(space, seed, 4e6), "source", tmp_path / "out")
    assert done.max_difference == 0.0


def test_grey_is_replicated_for_three_channels(tmp_path):
    assert export(loaded("pepx", 0, 4e6, in_channels=3), "source", tmp_path / "out").max_difference == 0.0
    assert "x.repeat(1, 3, 1, 1)" in (tmp_path / "out" / "model.py").read_text()


def test_it_runs_where_the_toolkit_cannot_be_imported(tmp_path):
    model = loaded("pepx", 1)
    export(model, "source", tmp_path / "out")
    images = example_images(SIZE, 3)
    np.save(tmp_path / "in.npy", images.numpy())
    Image.fromarray(np.zeros((50, 40), dtype=np.uint8)).save(tmp_path / "chest.png")
    arguments = [str(tmp_path / name) for name in ("out", "in.npy", "logits.npy", "chest.png")]
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_US, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    with torch.inference_mode():
        assert np.array_equal(np.load(tmp_path / "logits.npy"), model.model(images).numpy())


def test_exchanged_weights_are_refused(tmp_path):
    export(loaded("pepx", 1), "source", tmp_path / "one")
    export(loaded("pepx", 2), "source", tmp_path / "two")
    (tmp_path / "one" / "weights.safetensors").write_bytes((tmp_path / "two" / "weights.safetensors").read_bytes())
    names = {"__name__": "m", "__file__": str(tmp_path / "one" / "model.py")}
    exec((tmp_path / "one" / "model.py").read_text(), names)
    with pytest.raises(ValueError, match="SHA-256"):
        names["load"]()


@pytest.mark.parametrize("crop", ["none", "square", "pad", "covidnet", "top=0.3+pad"])
def test_it_prepares_pictures_as_the_toolkit_does(tmp_path, crop):
    preprocessing = Preprocessing.parse(crop, SIZE)
    model = loaded("pepx", 1)
    text = model_source(type(model)(**{**vars(model), "preprocessing": preprocessing}))
    names = {"__name__": "m", "__file__": str(tmp_path / "model.py")}
    exec(text, names)
    rng = np.random.default_rng(0)
    for shape in ((90, 70), (61, 97)):
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(tmp_path / "x.png")
        ours = prepare(tmp_path / "x.png", preprocessing)
        theirs = (names["prepare"](tmp_path / "x.png") * 255).round().to(torch.uint8).numpy()[0]
        assert np.array_equal(ours, theirs)


def test_a_crop_to_the_lungs_is_refused_with_what_can_be_done(tmp_path):
    model = loaded("pepx", 1)
    cut = type(model)(**{**vars(model), "preprocessing": Preprocessing.parse("lungs", SIZE)})
    with pytest.raises(InputError, match=r"cut to the lungs.*--format onnx or torch.*nas.data.prepare"):
        export(cut, "source", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_reads_pictures_of_any_kind_as_the_toolkit_does_or_refuses_them(tmp_path):
    names = {"__name__": "m", "__file__": str(tmp_path / "model.py")}
    model = loaded("pepx", 1)
    exec(model_source(model), names)
    pixels = np.random.default_rng(0).integers(0, 255, (90, 70, 4), dtype=np.uint8)
    rgba = Image.fromarray(pixels)
    lying = Image.Exif()
    lying[0x0112] = 6  # to be turned by a quarter
    for name, picture, more in (
        ("rgba.png", rgba, {}), ("colour.png", rgba.convert("RGB"), {}), ("palette.png", rgba.convert("RGB").convert("P"), {}),
        ("palette.gif", rgba.convert("P"), {"transparency": 3}), ("lying.jpg", rgba.convert("L"), {"exif": lying}),
        ("bits.png", rgba.convert("1"), {}), ("print.jpg", rgba.convert("CMYK"), {}),
    ):  # fmt: skip
        picture.save(tmp_path / name, **more)
        theirs = (names["prepare"](tmp_path / name) * 255).round().to(torch.uint8).numpy()[0]
        assert np.array_equal(prepare(tmp_path / name, model.preprocessing), theirs), name
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 16).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="more than 8 bits"):
        names["prepare"](tmp_path / "deep.png")


def test_it_reads_like_a_program_and_names_cannot_inject(tmp_path):
    model = loaded("pepx", 3)
    evil = type(model)(**{**vars(model), "name": 'x"""\nimport os\n', "classes": ("a'\n", 'b"', "{c}")})
    text = model_source(evil)
    tree = ast.parse(text)
    imports = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert imports == {"hashlib", "sys", "torch"}
    names: dict[str, object] = {"__name__": "m", "__file__": "m.py"}
    exec(text, names)
    assert names["CLASSES"] == ("a'\n", 'b"', "{c}")
    assert "self.stage1.block1 = " in text
    assert "multiply-accumulates" in text
    assert max(map(len, text.splitlines())) < 140
