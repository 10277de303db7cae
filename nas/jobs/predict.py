"""Images in, probabilities out: with the classes called at validation's thresholds, and a notice where an image is unlike training's."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.files import write_text
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from nas.evaluation import LoadedModel
    from nas.jobs.reference import Reference


@dataclass(frozen=True)
class Prediction:
    """One image's answer.

    Attributes:
        predicted: the class of the largest probability.
        called: classes whose probability reaches their threshold (none or several are possible; () without thresholds).
        notices: why the image is unlike what the model knows; empty is no guarantee that it is like it.
        evidence: path of the evidence picture, if one was asked for.
    """

    image: str
    predicted: str
    probabilities: dict[str, float]
    called: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    evidence: str = ""


@dataclass(frozen=True)
class Predictions:
    """All answers of one call, and what they rest on."""

    model: str
    predictions: tuple[Prediction, ...]
    thresholds: dict[str, float]  # class → threshold on its probability, chosen on validation; {} where none are stored
    checked: bool  # whether images were held against training's range
    notes: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)  # image → why it has no answer

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(asdict(self), indent=1)

    def to_csv(self) -> str:
        """One line an image, those without an answer last."""
        from nas.report.tables import as_csv

        classes = list(self.predictions[0].probabilities) if self.predictions else []
        header = ("image", "predicted", *(f"probability[{name}]" for name in classes), "called", "notice", "evidence", "error")
        rows = [
            (one.image, one.predicted, *(f"{one.probabilities[name]:.6f}" for name in classes), "; ".join(one.called),
             "; ".join(one.notices), one.evidence, None)
            for one in self.predictions
        ]  # fmt: skip
        rows += [(image, *[None] * (len(classes) + 4), reason) for image, reason in self.failed.items()]
        return as_csv(header, rows)


def predict(
    model: str | Path | LoadedModel,
    images: Sequence[str | Path],
    *,
    evidence: str | Path | None = None,
    csv_file: str | Path | None = None,
    device: str = "auto",
    weights: Path | None = None,
    model_spec: Path | None = None,
) -> Predictions:
    """Probabilities of a trained model for image files (PNG, JPEG, TIFF …, or DICOM with the extra ``dicom``).

    Args:
        model: what ``nas audit`` takes.
        images: files, or folders whose pictures are taken in order of name.
        evidence: folder to write one occlusion picture an image into.
        csv_file: also write the answers there.
        device: where to compute; a loaded model is moved there.

    Raises:
        InputError: no such model, no image at all, or none that can be read and answered. Single ones are named in ``failed``.
    """
    from nas.jobs.models import resolve_model

    loaded = model if not isinstance(model, str | Path) else resolve_model(str(model), model_spec=model_spec, weights=weights)
    files = expand(images)
    pixels, failed, whole = _read(files, loaded)
    reference = _reference(model)
    answers = (
        _answers(loaded, pixels, failed, whole, reference, None if evidence is None else Path(evidence), device)
        if pixels
        else ()
    )
    if not answers:
        first = next(iter(failed.items()))
        raise InputError(f"none of {len(files)} images could be read and answered; the first, {first[0]}: {first[1]}")
    thresholds = {n: p.threshold for n, p in reference.record.operating_points.items()} if reference else {}
    notes = (*_notes(reference), *_inner_folders(images))
    result = Predictions(loaded.name, answers, thresholds, reference is not None, notes, failed)
    if csv_file is not None:
        write_text(Path(csv_file), result.to_csv())
    return result


def expand(images: Sequence[str | Path]) -> list[Path]:
    """Files as given; a folder stands for the files in it, hidden ones apart, by name."""
    from nas.data.readers.layout import entries

    found: list[Path] = []
    for path in map(Path, images):
        found += [p for p in entries(path) if p.is_file() and not p.name.startswith(".")] if path.is_dir() else [path]
    if not found:
        inner = "".join(f"; {text}" for text in _inner_folders(images))
        raise InputError(f"no image to predict; name at least one file, or a folder that holds some{inner}")
    return found


def _inner_folders(images: Sequence[str | Path]) -> list[str]:
    """A note on the folders inside the named ones: whether they hold radiographs, or masks of them, only the caller knows."""
    from nas.data.readers.layout import subfolders

    inner = [folder for path in map(Path, images) if path.is_dir() for folder in subfolders(path)]
    return [f"{len(inner)} folders inside those were not looked into, for example {inner[0]}; name them, too"] if inner else []


def _read(files: Sequence[Path], loaded: LoadedModel) -> tuple[dict[str, NDArray[np.uint8]], dict[str, str], frozenset[str]]:
    """Prepared images by name, why the others could not be read, and those in which a crop looked for lungs in vain."""
    from nas.data.preprocessing import open_image

    pixels: dict[str, NDArray[np.uint8]] = {}
    failed: dict[str, str] = {}
    whole = set()
    for file in files:
        try:
            image = open_image(file)
        except InputError as error:
            failed[str(file)] = str(error)
            continue
        window = loaded.preprocessing.window(image)
        pixels[str(file)] = loaded.preprocessing.pixels(image, window)[None]
        if window.no_lungs:
            whole.add(str(file))
    return pixels, failed, frozenset(whole)


def _reference(model: str | Path | LoadedModel) -> Reference | None:
    """The model's reference, where it lies on disk and has one."""
    from nas.jobs.reference import load_reference
    from nas.jobs.search import candidate_home

    if not isinstance(model, str | Path) or not Path(model).is_dir():
        return None
    return load_reference(candidate_home(Path(model)))


def _notes(reference: Reference | None) -> list[str]:
    notes = ["research software, not a medical device; probabilities are not calibrated to your patients"]
    if reference is None:
        return [
            *notes,
            "no reference is stored with this model: no thresholds, and images were not compared with its training images",
        ]
    record = reference.record
    points = ", ".join(
        f"{n} ≥ {p.threshold:.2f} (sensitivity {p.sensitivity:.2f}, specificity {p.specificity:.2f}, n = {p.n})"
        for n, p in record.operating_points.items()
    )
    return [*notes, f"thresholds chosen on validation, where they look better than elsewhere: {points}"]


def _answers(
    loaded: LoadedModel,
    pixels: dict[str, NDArray[np.uint8]],
    failed: dict[str, str],
    whole: frozenset[str],
    reference: Reference | None,
    evidence: Path | None,
    device: str,
) -> tuple[Prediction, ...]:
    """One prediction an image; where the model's answer is no number, the image joins ``failed``."""
    from nas.engine.context import resolve_device
    from nas.evaluation import predict_logits, probabilities
    from nas.jobs.reference import model_features

    images = np.stack(list(pixels.values()))
    where = resolve_device(device)
    logits = predict_logits(loaded.model, images, where)
    finite = [bool(np.isfinite(row).all()) for row in logits]
    scores = probabilities(np.where(np.isfinite(logits), logits, 0))
    features = model_features(loaded.model, images) if reference is not None else None
    answers = []
    for row, name in enumerate(pixels):
        if not finite[row]:
            failed[name] = "the model's answer is not finite"
            continue
        own = {label: round(float(p), 6) for label, p in zip(loaded.classes, scores[row], strict=True)}
        points = reference.record.operating_points if reference else {}
        called = tuple(label for label, point in points.items() if scores[row][loaded.classes.index(label)] >= point.threshold)
        notices = reference.notices(images[row], None if features is None else features[row]) if reference else ()
        if name in whole:
            notices = (*notices, "no lungs found to crop to: the image is used whole")
        best = int(scores[row].argmax())
        picture = _picture(loaded, images[row], best, float(scores[row][best]), name, row, evidence)
        answers.append(Prediction(name, loaded.classes[best], own, called, notices, picture))
    return tuple(answers)


def _picture(
    loaded: LoadedModel, image: NDArray[np.uint8], best: int, score: float, name: str, row: int, folder: Path | None
) -> str:
    """Write the evidence picture; returns its path, or nothing where none was asked for."""
    if folder is None:
        return ""
    from nas.jobs.evidence import evidence_picture, occlusion_map

    path = folder / f"{row:04d}-{re.sub(r'[^A-Za-z0-9._-]+', '-', Path(name).stem)[:60]}.png"
    title = f"{Path(name).name[:60]}: {loaded.classes[best]} {score:.2f}"
    evidence_picture(image, occlusion_map(loaded.model, image, best), title, path)
    return str(path)
