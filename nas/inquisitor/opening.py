"""Opening a case: which images, which model order, which donors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import metadata

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.data.dataset import Dataset, Indices
from nas.inquisitor.context import Case, Level, Settings
from nas.inquisitor.crossfit import CrossFitted, FoldEngine
from nas.inquisitor.design import balanced
from nas.inquisitor.engine import Engine, Exhibits
from nas.inquisitor.gates import usable_masks
from nas.inquisitor.margins import Margins
from search_spaces.errors import InputError

_ASKED = 8  # images asked again
_NOISE = 0.01  # of the largest logit: more than TF32, bfloat16 and kernels chosen by a batch's size make, less than dropout


class InDataOrder(nn.Module):
    """A model whose logits are put in the order of the data's classes."""

    def __init__(self, model: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.order = tuple(order)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) in the data's order."""
        return self.model(images)[:, list(self.order)]


def in_data_order(model: nn.Module, classes: Sequence[str] | None, dataset: Dataset) -> nn.Module:
    """The model itself, or wrapped so that its logits follow ``dataset.classes``; other classes are an error."""
    if classes is None or tuple(classes) == dataset.classes:
        return model
    if isinstance(model, CrossFitted):
        return CrossFitted([in_data_order(network, classes, dataset) for network in model.models], model.fold)
    if sorted(classes) != sorted(dataset.classes):
        raise InputError(
            f"the model's classes {', '.join(classes)} are not the data's ({', '.join(dataset.classes)}); "
            "choose or merge the data's classes with --classes"
        )
    return InDataOrder(model, [list(classes).index(name) for name in dataset.classes])


def open_case(
    model: nn.Module,
    dataset: Dataset,
    rows: Indices,
    *,
    auditable: tuple[int, ...],
    margins: Margins,
    settings: Settings,
    level: Level,
    seed: int,
    device: str | torch.device,
    donor_dataset: Dataset | None = None,
    donor_rows: Indices | None = None,
) -> Case:
    """Images on the device, clean answers, donors; ``rows`` have usable masks."""
    workers = torch.get_num_threads()
    engine = (
        FoldEngine(model, device, workers=workers) if isinstance(model, CrossFitted) else Engine(model, device, workers=workers)
    )
    donors = Exhibits.gather(dataset, rows, device) if donor_dataset is None else _other(donor_dataset, donor_rows, device)
    case = Case(
        engine=engine, exhibits=donors, donors=donors, classes=dataset.classes, logits=np.zeros((0, 0), np.float32),
        auditable=auditable, margins=margins, settings=settings, level=level, seed=seed,
    )  # fmt: skip
    if donor_dataset is not None:
        case.exhibits = Exhibits.gather(dataset, rows, device)
    if level == "screen":
        count = min(settings.recipients, len(case.exhibits))
        case.exhibits = case.exhibits.take(
            np.sort(balanced(case.exhibits.labels, count, len(dataset.classes), case.rng("screen")))
        )
    case.logits = engine.clean_logits(case.exhibits)
    if case.logits.shape[1] != len(dataset.classes):
        raise InputError(
            f"the model returns {case.logits.shape[1]} logits for the data's {len(dataset.classes)} classes; they must match"
        )
    ask_again(engine, case.exhibits, case.logits)
    return case


def ask_again(engine: Engine, shown: Exhibits, logits: NDArray[np.float32]) -> None:
    """Ask some images again, in other company: an edit's effect is what it changes only if nothing else does.

    Raises:
        InputError: their answers (n, classes) depend on chance or on the other images of a batch.
    """
    asked = np.unique(np.linspace(0, len(shown) - 1, min(_ASKED, -(-len(shown) // 2))).astype(np.int64))
    again = engine.on_images(shown.images[torch.from_numpy(asked).to(shown.images.device)], shown.rows[asked])
    moved, largest = np.abs(again - logits[asked]).max(), np.abs(logits).max()
    if moved > _NOISE * max(largest, 0.1):  # all smaller, they say nothing, and may be what sums that cancel leave over
        raise InputError(
            f"the model does not answer the same twice: asked again in other company, images get logits that differ by up to {moved:.2g} "
            f"(the largest is {largest:.2g}), by dropout or batch statistics that stay active after model.eval(); "
            "use nn.Dropout and nn.BatchNorm2d, not their functions with training=True"
        )


def _other(dataset: Dataset, rows: Indices | None, device: str | torch.device) -> Exhibits:
    """Donors from another part or data set: those with usable masks."""
    rows = np.arange(len(dataset)) if rows is None else np.asarray(rows, np.int64)
    usable, _ = usable_masks(dataset.masks(rows), dataset.has_mask[rows])
    return Exhibits.gather(dataset, rows[usable], device)


def hashes(model: nn.Module, dataset: Dataset, rows: Indices) -> dict[str, str]:
    """Content of the model's state and of the images and masks under audit, 16 hexadecimal digits each."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(_content(value))
    images, masks = hashlib.sha256(), hashlib.sha256()
    for row in rows:
        images.update(dataset.images[row].tobytes())
        masks.update(dataset.packed_masks[row].tobytes())
    return {"model": digest.hexdigest()[:16], "images": images.hexdigest()[:16], "masks": masks.hexdigest()[:16]}


def _content(value: object) -> bytes:
    """An entry of a state: a tensor's bytes (of a quantised one its values), all parts of a pair or list, else its text."""
    if isinstance(value, tuple | list):
        return b"".join(map(_content, value))
    if not isinstance(value, Tensor):
        return repr(value).encode()
    plain = (value.dequantize() if value.is_quantized else value).detach().cpu().contiguous()
    return plain.view(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""


@cache
def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    return {name: metadata.version(name) for name in ("torch", "numpy", "scipy", "scikit-learn", "captum")}
