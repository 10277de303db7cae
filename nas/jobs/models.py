"""Find the model that a command names: a run, a candidate's or baseline's directory, an ONNX file, or anyone's own factory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, ValidationInfo, field_validator

from nas.engine.settings import explain
from nas.files import read_toml, understanding
from search_spaces.errors import InputError, first_line

if TYPE_CHECKING:
    import torch

    from nas.data import Preprocessing
    from nas.evaluation import LoadedModel


class ModelSpec(BaseModel):
    """What a foreign model expects, from a ``--model-spec`` TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...] = Field(min_length=2)  # in logit order
    image_size: int = Field(ge=8, le=2048)
    crop: str = "none"  # how an image becomes square: the words of ``Preprocessing.parse``
    channels: int = Field(1, ge=1, le=3)
    mean: tuple[FiniteFloat, ...] = (0.0,)  # one number, or one a channel
    std: tuple[Annotated[FiniteFloat, Field(gt=0)], ...] = (1.0,)

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _one_number(cls, given: Any) -> Any:
        return (given,) if isinstance(given, int | float) else given

    @field_validator("mean")
    @classmethod
    def _of_shares(cls, numbers: tuple[float, ...]) -> tuple[float, ...]:
        if max(numbers, default=0.0) > 1:
            raise ValueError("must be of grey values in [0, 1]; divide mean and std of grey values to 255 by 255")
        return numbers

    @field_validator("mean", "std")
    @classmethod
    def _fit_channels(cls, numbers: tuple[float, ...], known: ValidationInfo) -> tuple[float, ...]:
        channels = known.data.get("channels", len(numbers))  # absent where itself is wrong
        if len(numbers) not in (1, channels):
            raise ValueError(f"must hold one number, or one for each of {channels} channels")
        return numbers


def read_model_spec(path: Path) -> ModelSpec:
    """Read a model spec; unknown keys and bad values raise ``InputError``."""
    try:
        return ModelSpec.model_validate(read_toml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error, 'model spec key')}") from error


def resolve_model(name: str, *, model_spec: Path | None = None, weights: Path | None = None) -> LoadedModel:
    """The model called ``name``, ready to audit.

    Raises:
        InputError: nothing of that name, a foreign model without a spec or that does not fit it, a spec that an export of ours
            contradicts, weights that are not safetensors, a spec or weights for a model that has its own.
    """
    from nas.engine.context import import_plugins_of
    from nas.evaluation import load_candidate
    from nas.jobs.search import candidate_home

    path = Path(name)
    if path.is_dir():
        refuse_foreign_options(name, model_spec, weights)
        import_plugins_of(path)
        return load_candidate(candidate_home(path))
    if path.suffix.lower() == ".onnx":
        refuse_foreign_options(name, None, weights)
        return _foreign(load_onnx(path), name, model_spec)
    if ":" in name and not path.exists():
        return _foreign(module_from_factory(name, weights), name, model_spec)
    raise InputError(
        f"no model {name!r}; give a run or candidate directory, a .onnx file, or package.module:factory with --weights FILE.safetensors"
    )


def refuse_foreign_options(name: str, model_spec: Path | None, weights: Path | None) -> None:
    """Raise ``InputError`` where a model that brings a spec or weights of its own is given others."""
    given = [option for option, value in (("--model-spec", model_spec), ("--weights", weights)) if value is not None]
    if given:
        raise InputError(
            f"{' and '.join(given)} would be ignored: {name} brings its own; leave the option out, or name another model"
        )


def _foreign(module: torch.nn.Module, name: str, model_spec: Path | None) -> LoadedModel:
    from nas.data import Preprocessing
    from nas.evaluation import LoadedModel, in_evaluation_mode
    from nas.jobs.foreign import GreyAdapter, tried

    if model_spec is None:
        raise InputError(
            f"{name} is not a model of ours; say what it expects by --model-spec FILE.toml (classes, image_size, channels, mean, std)"
        )
    spec = read_model_spec(model_spec)
    preprocessing = Preprocessing.parse(spec.crop, spec.image_size)
    _check_export(name, getattr(module, "metadata", {}), spec, preprocessing, model_spec)
    return tried(
        LoadedModel(
            model=in_evaluation_mode(GreyAdapter(module, spec.channels, spec.mean, spec.std)),
            classes=spec.classes,
            preprocessing=preprocessing,
            name=name,
            training_hashes=frozenset(),
        )
    )


def _check_export(name: str, metadata: Mapping[str, str], spec: ModelSpec, preprocessing: Preprocessing, file: Path) -> None:
    """An ONNX file that ``nas export`` wrote says what it expects: classes in another order, or another crop, would go unnoticed.

    It takes grey images in [0, 1]: channels, mean and std of what it was exported from are inside, and would be applied twice.
    """
    if not metadata.get("made_by", "").startswith("pepx-nas"):
        return
    with understanding(Path(name)):
        expected = tuple(json.loads(metadata["classes"])), preprocessing.model_validate_json(metadata["preprocessing"])
    inside = spec.channels > 1 or set(spec.mean) != {0.0} or set(spec.std) != {1.0}
    if expected != (spec.classes, preprocessing) or inside:
        raise InputError(
            f"{name} was exported with classes = {json.dumps(expected[0], ensure_ascii=False)}, image_size = {expected[1].image_size}, "
            f'crop = "{expected[1].crop}"; write that into {file}{", and no channels, mean or std: they are inside" if inside else ""}'
        )


def module_from_factory(name: str, weights: Path | None) -> torch.nn.Module:
    """The module that ``package.module:factory`` makes, with weights from a safetensors file if one is given."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from nas.engine.context import import_here
    from nas.evaluation import in_evaluation_mode

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
            raise InputError(f"weights {weights} do not fit {name}: {first_line(error)}") from error
    return in_evaluation_mode(model)


def load_onnx(path: Path) -> torch.nn.Module:
    """An ONNX file as a module for forward passes (no gradients); needs the extra ``onnx``."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{path}: ONNX models need onnxruntime; pip install 'pepx-nas[onnx]'") from error
    if not path.is_file():
        raise InputError(f"no file {path}; check the path")
    from nas.jobs.foreign import OnnxModel

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its own messages quote the file, colour codes and all
    try:
        session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own, without a common base, for any damaged file
        raise InputError(f"{path} is not a model that onnxruntime can load: {first_line(error)}") from error
    return OnnxModel(session, (path, *_weights_beside(path))).eval()


def _weights_beside(path: Path) -> list[Path]:
    """The files that an ONNX model keeps weights in, where it does not hold all of them itself."""
    import onnx

    tensors = onnx.load(path, load_external_data=False).graph.initializer
    return [path.parent / name for name in sorted({e.value for t in tensors for e in t.external_data if e.key == "location"})]
