"""What weights everyone starts from: none, all pretrained alike on phantom images, or ImageNet's for those that have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from baselines.recipe import Initialise, leave_as_built
from nas.engine.context import derived_seed
from nas.evaluation.pretraining import copy_trunk
from nas.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.jobs.benchmark_arena import Arena
    from nas.jobs.benchmark_entrants import Entrant

_STREAM = 7_001  # first word of the pretraining's seed path: apart from every fold's


@dataclass(frozen=True)
class Start:
    """How a network gets its first weights: ``kind`` is what the table prints."""

    kind: str
    initialise: Initialise
    detail: str = ""


def initialiser(arena: Arena, entrant: Entrant, seed: int) -> Start:
    """The start that the settings ask for; an entrant without ImageNet weights starts from none, and is marked so.

    Raises:
        InputError: ImageNet weights that are absent or damaged.
    """
    kind = arena.settings.pretraining_kind
    if kind == "shared":
        state = phantom_weights(arena, entrant, seed)
        return Start("shared", lambda model: copy_trunk(state, model), f"{len(state)} tensors, phantom images")
    weights, folder = entrant.weights, arena.settings.weights_folder
    if kind == "imagenet" and weights is not None:

        def initialise(model: nn.Module) -> None:
            weights(model, folder)

        return Start("imagenet", initialise, "torchvision or package weights")
    return Start("none", leave_as_built)


def phantom_weights(arena: Arena, entrant: Entrant, seed: int) -> dict[str, Tensor]:
    """Weights of the entrant's network trained on phantom radiographs with the shared recipe; kept for resuming.

    The phantom's three classes differ by drawn lesions only, so nothing of the benchmark's images or labels is seen.
    """
    from safetensors.torch import load_file, save

    path = pretraining_file(arena, entrant, seed)
    if not path.exists():
        state = {key: value.detach().cpu().contiguous() for key, value in _train_on_phantom(arena, entrant, seed, path).items()}
        write_bytes(path, save(state))
    return load_file(path)


def pretraining_file(arena: Arena, entrant: Entrant, seed: int) -> Path:
    """Where the pretrained weights of one entrant and seed lie."""
    return arena.home(entrant) / f"pretraining-seed{seed}.safetensors"


def _train_on_phantom(arena: Arena, entrant: Entrant, seed: int, path: Path) -> Mapping[str, Tensor]:
    from baselines.decomposition import Composed
    from baselines.layers import seeded
    from nas.evaluation.pretraining import phantom_state

    size, stream = arena.settings.image_size, derived_seed(arena.settings.seed, _STREAM, seed)
    model = seeded(stream, lambda: entrant.build(size))
    if isinstance(model, Composed):  # the phantom's classes are not decomposed: train what stands under the composition
        model = model.net
    return phantom_state(
        model, len(arena.dataset.classes), size, arena.settings.shared, seed=stream, device=arena.device,
        checkpoint=path.with_suffix(".checkpoint"), precision=arena.device_data.precision,
    )  # fmt: skip
