"""A searched architecture as a readable Python file: plain torch and safetensors, nothing of this toolkit.

Every layer is written as the constructor call that makes it, block by block under the names that the weights carry; the few
small classes that are not torch's own are copied from their source.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from search_spaces.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from nas.evaluation import LoadedModel

_INDENT = "    "


def model_source(loaded: LoadedModel) -> str:
    """The text of ``model.py``; ``@SHA256@`` stands where the weights' checksum belongs.

    Raises:
        InputError: the model is not a searched architecture, holds a layer that has no written form, or sees crops to the lungs.
    """
    from search_spaces.modules import Network

    if not isinstance(loaded.model, Network):
        raise InputError(
            f"{loaded.name} has no source form: only networks of the built-in search spaces do; use --format onnx or torch"
        )
    if loaded.preprocessing.lungs:
        raise InputError(
            f"{loaded.name} sees pictures cut to the lungs, and plain source cannot carry the segmenter that finds them; use --format onnx "
            "or torch, and prepare pictures by nas.data.prepare"
        )
    network = loaded.model
    helpers = "\n\n\n".join(textwrap.dedent(inspect.getsource(kind)).strip() for kind in _helpers(network))
    return _TEMPLATE.format(
        title=_one_line(loaded.name),
        classes=repr(tuple(loaded.classes)),
        size=loaded.preprocessing.image_size,
        top=loaded.preprocessing.top,
        shape=loaded.preprocessing.shape,
        helpers=helpers + "\n\n\n" if helpers else "",
        layers=_layers(network, _remarks(loaded)),
        forward=_forward(network),
    )


def _one_line(text: str) -> str:
    """Fit for a docstring: no quotes, backslashes or control characters."""
    return "".join(letter if letter.isprintable() and letter not in "\"'\\" else " " for letter in text)


def _helpers(network: nn.Module) -> list[type[nn.Module]]:
    """Classes of ours among the layers, in order of first use."""
    kinds = [type(module) for module in network.modules() if module is not network]
    return list(dict.fromkeys(kind for kind in kinds if kind.__module__.startswith("search_spaces.")))


def _remarks(loaded: LoadedModel) -> dict[str, str]:
    """What each block is and costs, for the comment above it."""
    from search_spaces import get_space, load_architecture

    if loaded.architecture is None:
        return {}
    architecture = load_architecture(loaded.architecture)
    space = get_space(architecture.space, classes=architecture.classes, in_channels=architecture.in_channels)
    active = space.active(architecture.choices)
    remarks: dict[str, list[str]] = {}
    for name, choice in architecture.choices.items():
        owner = space.block_of(name)
        if owner is not None and name in active:
            short = name.removeprefix(owner).lstrip("._")
            remarks.setdefault(owner, []).append(str(choice) if short == "kind" else f"{short.replace('_', ' ')} {choice}")
    costs = space.cost(architecture, loaded.preprocessing.image_size).blocks
    return {c.name: _remark(remarks.get(c.name, []), c.flops, c.parameters) for c in costs}


def _remark(choices: list[str], flops: int, parameters: int) -> str:
    return "; ".join(filter(None, (", ".join(choices), f"{flops:,} multiply-accumulates, {parameters:,} parameters")))


def _layers(network: Any, remarks: dict[str, str]) -> str:
    """The body of ``__init__``: stages as empty modules, blocks as constructor calls."""
    lines: list[str] = []
    made: set[str] = set()
    for name in network.block_names:
        parent = name.rpartition(".")[0]
        if parent and parent not in made:
            lines += ["", f"self.{parent} = nn.Module()"]
            made.add(parent)
        if name in remarks:
            lines.append(f"# {remarks[name]}")
        lines += _statement(f"self.{name} = ", network.get_submodule(name))
    return textwrap.indent("\n".join(lines).strip("\n"), 2 * _INDENT).lstrip()


def _forward(network: Any) -> str:
    lines = [f"x = x.repeat(1, {network.in_channels}, 1, 1)  # grey is replicated"] if network.in_channels > 1 else []
    lines += [f"x = self.{name}(x)" for name in network.block_names]
    return textwrap.indent("\n".join(lines), 2 * _INDENT).lstrip()


def _statement(prefix: str, module: nn.Module) -> list[str]:
    """``prefix`` and the module's expression, on as many lines as it needs."""
    first, *rest = _expression(module)
    return [prefix + first, *rest]


def _expression(module: nn.Module) -> list[str]:
    """Lines of the constructor call that makes ``module``."""
    from torch import nn

    if isinstance(module, nn.Sequential):
        children = [_expression(child) for child in module]
        return ["nn.Sequential()"] if not children else ["nn.Sequential(", *_inside(children), ")"]
    kind = type(module)
    name = f"nn.{kind.__name__}" if kind.__module__.startswith("torch.nn.") else kind.__name__
    arguments = dict(_arguments(module))
    nested = {key: value for key, value in arguments.items() if isinstance(value, nn.Module)}
    if nested:
        calls = [_keyed(key, _expression(value)) for key, value in nested.items()]
        return [f"{name}(", *_inside(calls), ")"]
    return [f"{name}({', '.join(_argument(key, value) for key, value in arguments.items())})"]


def _inside(calls: list[list[str]]) -> list[str]:
    """Several expressions as indented arguments, a comma after each."""
    return [_INDENT + line for lines in calls for line in (*lines[:-1], lines[-1] + ",")]


def _keyed(key: str, lines: list[str]) -> list[str]:
    return [f"{key}={lines[0]}", *lines[1:]]


_POSITIONAL = {
    "in_channels",
    "out_channels",
    "in_features",
    "out_features",
    "num_features",
    "kernel_size",
    "output_size",
    "times",
}


def _argument(key: str, value: Any) -> str:
    return repr(value) if key in _POSITIONAL else f"{key}={value!r}"


def _arguments(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The constructor's arguments that differ from its defaults, read back from the module."""
    if type(module).__name__ == "Identity":
        return
    for key, parameter in inspect.signature(type(module).__init__).parameters.items():
        if key in ("self", "device", "dtype"):
            continue
        value = _value(module, key)
        default = parameter.default
        if value != default and not (isinstance(default, int) and value == (default, default)):
            yield key, value


def _value(module: nn.Module, key: str) -> Any:
    """One argument as it was given; ``(3, 3)`` reads ``3``."""
    derived = {
        ("SqueezeExcitation", "channels"): "squeeze.in_features",
        ("SqueezeExcitation", "hidden"): "squeeze.out_features",
    }
    if key == "bias" and not isinstance(getattr(module, "bias", None), bool):
        return getattr(module, "bias", None) is not None
    found: Any = module
    for name in derived.get((type(module).__name__, key), key).split("."):
        if not hasattr(found, name):
            raise InputError(
                f"layer {type(module).__name__} has no written form (its argument {key!r} is unknown); export to onnx or torch"
            )
        found = getattr(found, name)
    return found[0] if isinstance(found, tuple) and len(set(found)) == 1 else found


_TEMPLATE = '''"""{title}: a chest X-ray classifier found by architecture search. Needs torch and safetensors (and pillow to read pictures).

Usage::

    from model import CLASSES, load, prepare
    model = load()                                             # checks and reads weights.safetensors beside this file
    probabilities = model(prepare("chest.png")).softmax(dim=1)

or ``python model.py chest.png …``. Input: float (n, 1, {size}, {size}) in [0, 1], bright is dense; output: logits (n, classes).
Research software, not a medical device.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

CLASSES = {classes}
IMAGE_SIZE = {size}
TOP = {top}  # share of the height cut off at the top
SHAPE = "{shape}"  # then: squash both sides, keep the central square, or pad with black
WEIGHTS_SHA256 = "@SHA256@"


{helpers}class Model(nn.Module):
    """Blocks one after another; their names are those of the weights."""

    def __init__(self) -> None:
        super().__init__()
        {layers}

    def forward(self, x: Tensor) -> Tensor:
        {forward}
        return x


def load(weights: str | Path = Path(__file__).parent / "weights.safetensors") -> Model:
    """The trained model, ready to use."""
    from safetensors.torch import load_file

    found = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise ValueError(f"{{weights}} is not the file that this model was written with: its SHA-256 is {{found}}")
    model = Model()
    model.load_state_dict(load_file(weights))
    return model.eval()


def prepare(path: str | Path) -> Tensor:
    """A picture as the model expects it, float (1, 1, s, s); 8-bit greyscale or colour (16 bits and DICOM: convert them first)."""
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)  # upright
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{{path}} has more than 8 bits a pixel; convert it to 8-bit greyscale first")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    image = image.convert("RGB").convert("L")
    image = image.crop((0, int(image.height * TOP), *image.size))
    width, height = image.size
    if SHAPE != "squash":
        side = min(width, height) if SHAPE == "square" else max(width, height)
        left, upper = int((width - side) / 2), int((height - side) / 2)
        image = image.crop((left, upper, left + side, upper + side))
    image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(image).copy()).float().div(255)[None, None]


if __name__ == "__main__":
    network = load()
    for name in sys.argv[1:]:
        with torch.inference_mode():
            probabilities = network(prepare(name)).softmax(dim=1)[0]
        print(name, {{label: round(float(p), 4) for label, p in zip(CLASSES, probabilities)}})
'''
