"""Take a trained model out of the toolkit: ONNX, ``torch.export``, or a readable ``model.py``; each checked before it is handed over.

A check runs the exported model and the original on random images, at batch sizes that differ from the one it was traced with.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.files import sha256, write_bytes, write_text
from search_spaces.errors import InputError, ToolkitError, first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

    from nas.evaluation import LoadedModel

FORMATS = ("onnx", "torch", "source")
TOLERANCE = 1e-4  # largest difference of a logit
_BATCHES = (1, 2, 5)
_INPUT, _OUTPUT = "images", "logits"
_CUT_FIRST = (
    "pictures are to be cut to the lungs first, as nas.data.prepare does: no export carries the segmenter that finds them"
)


@dataclass(frozen=True)
class Export:
    """What was written, how far its logits are from the original's, and what a caller has to do to a picture first."""

    format: str
    path: str
    files: tuple[str, ...]
    sha256: str
    max_difference: float
    image_size: int
    classes: tuple[str, ...]
    before: str = ""

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(asdict(self), indent=1)


def export(
    model: str | Path | LoadedModel,
    format: str,
    out: str | Path,
    *,
    weights: Path | None = None,
    model_spec: Path | None = None,
) -> Export:
    """Export a model and check the result against it.

    Args:
        model: what ``nas audit`` takes: a run, a candidate's or baseline's directory, or a loaded model, which is moved to the CPU.
        format: ``onnx`` (a file with dynamic batch), ``torch`` (a ``torch.export`` archive with its checksum beside it) or
            ``source`` (a directory with ``model.py`` and the weights; searched architectures only).
        out: the file, or for ``source`` the directory.

    Raises:
        InputError: unknown format, no such model, a model that the format cannot hold, or the extra ``onnx`` is missing.
        ToolkitError: the exported model differs from the original by more than 1e-4.
    """
    from nas.evaluation import in_evaluation_mode

    if format not in FORMATS:
        raise InputError(f"unknown export format {format!r}; choose one of: {', '.join(FORMATS)}")
    loaded = _loaded(model, weights, model_spec)
    if getattr(loaded.model, "forward_only", False):
        raise InputError(f"{loaded.name} is an ONNX model already; export the model that it was made from")
    in_evaluation_mode(loaded.model.to("cpu"))  # a prediction before may have taken it to a GPU
    path = Path(out)
    writers: dict[str, Callable[[LoadedModel, Path], tuple[tuple[Path, ...], float]]] = {
        "onnx": _export_onnx, "torch": _export_archive, "source": _export_source,
    }  # fmt: skip
    files, difference = writers[format](loaded, path)
    if not difference <= TOLERANCE:  # a NaN is no agreement either
        raise ToolkitError(
            f"the {format} export of {loaded.name} differs from it by {difference:.2e} (at most {TOLERANCE:g}); do not use {path}"
        )
    size, before = loaded.preprocessing.image_size, _CUT_FIRST if loaded.preprocessing.lungs else ""
    return Export(format, str(path), tuple(map(str, files)), sha256(files[0]), difference, size, loaded.classes, before)


def _loaded(model: str | Path | LoadedModel, weights: Path | None, model_spec: Path | None) -> LoadedModel:
    from nas.evaluation import LoadedModel
    from nas.jobs.models import resolve_model

    return model if isinstance(model, LoadedModel) else resolve_model(str(model), model_spec=model_spec, weights=weights)


def example_images(image_size: int, count: int) -> torch.Tensor:
    """Random images, float (count, 1, s, s) in [0, 1], always the same."""
    import torch

    return torch.rand(count, 1, image_size, image_size, generator=torch.Generator().manual_seed(count))


def _largest_difference(model: nn.Module, other: Callable[[torch.Tensor], torch.Tensor], image_size: int) -> float:
    """Over all batch sizes and logits; NaN where either has one."""
    import torch

    largest = torch.zeros(())
    with torch.inference_mode():
        for count in _BATCHES:
            images = example_images(image_size, count)
            largest = torch.maximum(largest, (model(images) - other(images)).abs().max())
    return float(largest)


def _traced(loaded: LoadedModel) -> torch.export.ExportedProgram:
    """The model's graph, free in the number of images."""
    import torch

    images = example_images(loaded.preprocessing.image_size, 2)
    with _quiet(), torch.no_grad():
        try:
            return torch.export.export(
                loaded.model, (images,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},), strict=False
            )
        except Exception as error:  # the tracer raises many kinds for models that it cannot follow
            raise InputError(
                f"{loaded.name} cannot be traced by torch.export: {first_line(error)[:200]}; its steps must not hang on the values of images "
                "(torch.where and torch.cond can be traced)"
            ) from error


def _export_onnx(loaded: LoadedModel, path: Path) -> tuple[tuple[Path, ...], float]:
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"exporting to ONNX needs {', '.join(missing)}; pip install 'pepx-nas[onnx]'")
    import onnxruntime
    import torch

    program = _traced(loaded)
    with _quiet():
        made = torch.onnx.export(program, dynamo=True, input_names=[_INPUT], output_names=[_OUTPUT], verbose=False)
    if made is None:
        raise ToolkitError(f"torch.onnx returned nothing for {loaded.name}")
    proto = made.model_proto
    for key, value in _metadata(loaded).items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    write_bytes(path, proto.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    entry_name = session.get_inputs()[0].name

    def run(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {entry_name: images.numpy()})[0])

    return (path,), _largest_difference(loaded.model, run, loaded.preprocessing.image_size)


def _export_archive(loaded: LoadedModel, path: Path) -> tuple[tuple[Path, ...], float]:
    import io

    import torch

    if path.suffix != ".pt2":
        raise InputError(f"a torch.export archive must end in .pt2, but got {path}; rename --out")
    buffer = io.BytesIO()
    with _quiet():
        torch.export.save(_traced(loaded), buffer, extra_files=_metadata(loaded))
    write_bytes(path, buffer.getvalue())
    checksum = path.with_name(path.name + ".sha256")
    write_text(checksum, f"{sha256(path)}  {path.name}\n")  # the format of sha256sum --check
    with _quiet():
        again = torch.export.load(path).module()
    return (path, checksum), _largest_difference(loaded.model, again, loaded.preprocessing.image_size)


def _export_source(loaded: LoadedModel, path: Path) -> tuple[tuple[Path, ...], float]:
    """``model.py`` and ``weights.safetensors``; checked by running the written file as any other Python would."""
    from safetensors.torch import save

    from nas.jobs.source import model_source

    if path.suffix:
        raise InputError(f"--format source writes a directory, but got {path}; give a name without a suffix")
    weights = path / "weights.safetensors"
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in loaded.model.state_dict().items()}
    text = model_source(loaded)  # before anything is written: a model without source leaves nothing behind
    write_bytes(weights, save(tensors))
    file = path / "model.py"
    write_text(file, text.replace("@SHA256@", sha256(weights)))
    written = _run_file(file)
    return (file, weights), _largest_difference(loaded.model, written["load"](), loaded.preprocessing.image_size)


def _run_file(file: Path) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "exported_model", "__file__": str(file)}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), namespace)
    return namespace


def _metadata(loaded: LoadedModel) -> dict[str, str]:
    """What someone who finds the file must know to use it."""
    from nas.versions import toolkit_version

    return {
        "made_by": f"pepx-nas {toolkit_version()}",
        "name": loaded.name,
        "classes": json.dumps(list(loaded.classes)),
        "input": f"float32 (n, 1, {loaded.preprocessing.image_size}, {loaded.preprocessing.image_size}), grey in [0, 1], bright is dense",
        "preprocessing": json.dumps(loaded.preprocessing.model_dump(mode="json")),
        **({"before": _CUT_FIRST} if loaded.preprocessing.lungs else {}),
        "architecture": json.dumps(loaded.architecture),
        "notice": "Research software, not a medical device.",
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' own chatter (deprecations inside torch and onnxscript, progress, the graph of what failed) from the caller."""
    import io
    import logging

    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
