"""How a network is trained, declared: optimiser, schedule, augmentation, balance. The training loop itself lives in ``nas``.

What trains in stages (DeTraC, COVID-ResNet, COVIDiagnosis-Net) is a ``fit`` that is handed the training function and the
images of the training fold; the two protocols at the end say what it may rely on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor, nn


class Augmentation(BaseModel):
    """Random changes of each training image, drawn per sample; 0 switches a part off.

    The defaults are about half the ranges of COVID-Net's public training code (``COVIDNET_AUGMENTATION``): over 6 epochs these
    left networks of 8 MFLOPs behind, on 600 phantom images (log-loss 0.94 against 0.83, five networks) and on 661 real ones
    (0.63 against 0.54, four networks; lower for each of them).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotation: float = Field(5.0, ge=0, le=180)  # degrees, uniform in ±
    translation: float = Field(0.05, ge=0, le=0.5)  # share of the side, uniform in ±
    zoom: float = Field(0.08, ge=0, lt=1)  # scale uniform in 1 ± zoom
    flip: float = Field(0.5, ge=0, le=1)  # probability of a horizontal flip
    brightness: float = Field(0.05, ge=0, le=1)  # added, uniform in ±, of the full range
    contrast: float = Field(0.1, ge=0, le=1)  # factor uniform in 1 ± contrast, around the image's mean


COVIDNET_AUGMENTATION = Augmentation(rotation=10.0, translation=0.1, zoom=0.15, flip=0.5, brightness=0.1, contrast=0.1)
"""COVID-Net's public training code: rotation ±10°, shift ±10 %, zoom 0.85 to 1.15, flip, intensity ±10 %."""


class Recipe(BaseModel):
    """A training recipe; immutable, JSON-able, refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "shared"
    epochs: int = Field(8, ge=1)
    batch_size: int = Field(16, ge=1)  # ended lower than 32 in every short training compared: few images, so steps are scarce
    optimiser: Literal["adamw", "adam", "sgd", "rmsprop"] = "adamw"
    learning_rate: float = Field(3e-3, gt=0)  # at 4e-3 some plain networks stay at chance, at 2e-3 others are slower
    weight_decay: float = Field(0.02, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    schedule: Literal["cosine", "constant", "step", "plateau", "one_cycle"] = "cosine"
    warmup: float = Field(0.1, ge=0, lt=1)  # share of all steps
    step_factor: float = Field(0.9, gt=0, le=1)  # "step" and "plateau": factor on the learning rate
    step_epochs: int = Field(3, ge=1)  # "step": every so many epochs; "plateau": patience
    class_balanced: bool = True  # batches drawn with equal probability for each class
    class_weights: tuple[float, ...] | None = None  # loss weights, in class order
    inverse_frequency: bool = False  # loss weights n / (classes · n_c) from the training labels; ``resolve`` fills them in
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    gradient_clip: float = Field(1.0, ge=0)  # largest norm; 0: off
    early_stopping: int = Field(0, ge=0)  # epochs without progress on validation; 0: off
    linear_inputs: int = Field(64, ge=0)  # linear layers with more inputs learn slower in proportion (Adam, RMSprop); 0: off
    plain_depth: int = Field(24, ge=0)  # networks of our spaces: longer stretches without a shortcut learn slower too; 0: off
    layer_rates: tuple[float, ...] = ()  # discriminative rates: factors for groups from input to output; (): one rate
    trainable: Literal["all", "head", "last"] = "all"  # DeTraC's deep / shallow / fine tuning
    trainable_layers: int = Field(0, ge=0)  # "last": how many
    augmentation: Augmentation = Augmentation()
    answers: tuple[str, ...] = ()  # training options that answer the inquisitor's findings, by name (``nas.edits.augment``)
    head_rate: float = Field(1.0, gt=0)  # further factor on the last ``head_layers`` layers; ``resolve`` fills in the rates
    head_layers: int = Field(1, ge=1)
    search_trials: int = Field(0, ge=0)  # COVIDiagnosis-Net: evaluations of its Bayesian search of the optimiser's settings


def resolve(recipe: Recipe, counts: tuple[int, ...], model: nn.Module) -> Recipe:
    """The recipe with what depends on the data and the network filled in: ``inverse_frequency`` and ``head_rate``.

    Args:
        counts: training images per class, (classes,).
        model: the network; its layers are the modules that own parameters, from input to output.
    """
    changes: dict[str, object] = {}
    if recipe.inverse_frequency:
        weights = tuple(sum(counts) / (len(counts) * count) if count else 0.0 for count in counts)
        changes |= {"class_weights": weights, "inverse_frequency": False}
    if recipe.head_rate != 1.0:
        layers = sum(1 for module in model.modules() if any(True for _ in module.parameters(recurse=False)))
        trunk = max(layers - recipe.head_layers, 0)
        rates = (1.0,) * trunk + (recipe.head_rate,) * (layers - trunk)
        changes |= {"layer_rates": rates, "head_rate": 1.0}
    return recipe.model_copy(update=changes)


class FitData(Protocol):
    """What a staged ``fit`` sees of one fold: its training and validation images, never the test part."""

    @property
    def images(self) -> Tensor: ...  # uint8 (N, 1, H, W)

    @property
    def labels(self) -> Tensor: ...  # int64 (N,)

    @property
    def validation_images(self) -> Tensor: ...  # uint8 (M, 1, H, W)

    @property
    def validation_labels(self) -> Tensor: ...  # int64 (M,)


class TrainFunction(Protocol):
    """Trains ``model`` in place on the fold's training images and returns its class-balanced log-loss on validation.

    ``labels`` (N,) replaces the training labels by values in 0..n_classes−1; the model must then return ``n_classes``
    logits in training mode and one logit per original class in evaluation mode, so that validation stays comparable.
    ``image_size`` trains and validates at another size than the data's.
    """

    def __call__(
        self,
        model: nn.Module,
        recipe: Recipe,
        *,
        labels: Tensor | None = None,
        n_classes: int | None = None,
        image_size: int | None = None,
    ) -> float: ...


class Initialise(Protocol):
    """Gives a freshly built network its starting weights (pretraining), in place; does nothing by default."""

    def __call__(self, model: nn.Module) -> None: ...


def leave_as_built(model: nn.Module) -> None:
    """The default ``Initialise``: random weights, as built."""
