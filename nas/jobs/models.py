"""Find the model that a command names: a run, a candidate's or baseline's directory, an ONNX file, or anyone's own factory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nas.engine.settings import explain, parse_settings
from nas.files import read_json, read_toml
from search_spaces.errors import InputError

if TYPE_CHECKING:
    import torch

    from nas.evaluation import LoadedModel


class ModelSpec(BaseModel):
    """What a foreign model expects, from a ``--model-spec`` TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...] = Field(min_length=2)  # in logit order
    image_size: int = Field(ge=8, le=4096)
    channels: int = Field(1, ge=1, le=3)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


def read_model_spec(path: Path) -> ModelSpec:
    """Read a model spec; unknown keys and bad values raise ``InputError``."""
    try:
        return ModelSpec.model_validate(read_toml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error, 'model spec key')}") from error


def resolve_model(name: str, *, model_spec: Path | None = None, weights: Path | None = None) -> LoadedModel:
    """The model called ``name``, ready to audit.

    Raises:
        InputError: nothing of that name, a foreign model without a spec, weights that are not safetensors.
    """
    from nas.evaluation import load_candidate
    from nas.jobs.search import winner_or_best

    path = Path(name)
    if path.is_dir():
        _import_plugins_of(path)
        if (path / "settings.json").exists():
            return load_candidate(Path(winner_or_best(path).path))
        return load_candidate(path)
    if path.suffix.lower() == ".onnx":
        return _foreign(load_onnx(path), name, model_spec)
    if ":" in name and not path.exists():
        return _foreign(module_from_factory(name, weights), name, model_spec)
    raise InputError(
        f"no model {name!r}; give a run or candidate directory, a .onnx file, or package.module:factory with --weights FILE.safetensors"
    )


def _import_plugins_of(path: Path) -> None:
    """Import the modules that the run at or above ``path`` was started with: its space may be the user's own."""
    from nas.engine.context import import_plugins

    run = next((folder for folder in (path, *path.absolute().parents) if (folder / "settings.json").is_file()), None)
    if run is not None:
        import_plugins(parse_settings(read_json(run / "settings.json")).imports)


def _foreign(module: torch.nn.Module, name: str, model_spec: Path | None) -> LoadedModel:
    from nas.data import Preprocessing
    from nas.evaluation import LoadedModel

    if model_spec is None:
        raise InputError(
            f"{name} is not a model of ours; say what it expects by --model-spec FILE.toml (classes, image_size, channels, mean, std)"
        )
    spec = read_model_spec(model_spec)
    return LoadedModel(
        model=grey_adapter(module, spec),
        classes=spec.classes,
        preprocessing=Preprocessing(image_size=spec.image_size),
        name=name,
        training_hashes=frozenset(),
    )


def grey_adapter(module: torch.nn.Module, spec: ModelSpec) -> torch.nn.Module:
    """Wrap a foreign model so that it takes float (N, 1, H, W) in [0, 1]: grey replicated, then normalised as the spec says."""
    import torch

    class Adapter(torch.nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.module = module
            self.forward_only = getattr(module, "forward_only", False)
            self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1))
            self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.module((images.expand(-1, spec.channels, -1, -1) - self.mean) / self.std)

    return Adapter().eval()


def module_from_factory(name: str, weights: Path | None) -> torch.nn.Module:
    """The module that ``package.module:factory`` makes, with weights from a safetensors file if one is given."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from nas.engine.context import import_here

    module_name, _, attribute = name.partition(":")
    factory = getattr(import_here(module_name, f"model {name!r}"), attribute, None)
    if not callable(factory):
        raise InputError(f"model {name!r}: {module_name} has no function {attribute!r}; name it as package.module:factory")
    try:
        model = factory()
    except Exception as error:  # anyone's code
        raise InputError(f"{name} raised {type(error).__name__} ({error}); it must make a model without arguments") from error
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"{name} returned {type(model).__name__}; it must return a torch.nn.Module")
    if weights is not None:
        if weights.suffix != ".safetensors":
            raise InputError(
                f"weights {weights} must be a .safetensors file (pickles can run code and are never loaded); convert it with safetensors.torch.save_file"
            )
        try:
            model.load_state_dict(load_file(weights))
        except (SafetensorError, OSError, RuntimeError, ValueError) as error:
            raise InputError(f"weights {weights} do not fit {name}: {str(error).splitlines()[0]}") from error
    return model.eval()


def load_onnx(path: Path) -> torch.nn.Module:
    """An ONNX file as a module for forward passes (no gradients); needs the extra ``onnx``."""
    import torch

    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{path}: ONNX models need onnxruntime; pip install 'pepx-nas[onnx]'") from error
    if not path.is_file():
        raise InputError(f"no file {path}; check the path")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its own messages quote the file, colour codes and all
    try:
        session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own, without a common base, for any damaged file
        raise InputError(f"{path} is not a model that onnxruntime can load: {str(error).splitlines()[0]}") from error
    entry = session.get_inputs()[0].name

    class _Onnx(torch.nn.Module):
        forward_only = True

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(session.run(None, {entry: images.detach().cpu().numpy()})[0])

    return _Onnx().eval()
