"""How a network is trained, declared: optimiser, schedule, augmentation, balance. The training loop itself lives in ``nas``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Augmentation(BaseModel):
    """Random changes of each training image, drawn per sample; 0 switches a part off.

    The defaults are the ranges of COVID-Net's public training code (rotation ±10°, shift ±10 %, zoom 0.85–1.15, flip,
    intensity ±10 %).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotation: float = Field(10.0, ge=0, le=180)  # degrees, uniform in ±
    translation: float = Field(0.1, ge=0, le=0.5)  # share of the side, uniform in ±
    zoom: float = Field(0.15, ge=0, lt=1)  # scale uniform in 1 ± zoom
    flip: float = Field(0.5, ge=0, le=1)  # probability of a horizontal flip
    brightness: float = Field(0.1, ge=0, le=1)  # added, uniform in ±, of the full range
    contrast: float = Field(0.1, ge=0, le=1)  # factor uniform in 1 ± contrast, around the image's mean


class Recipe(BaseModel):
    """A training recipe; immutable, JSON-able, refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "shared"
    epochs: int = Field(8, ge=1)
    batch_size: int = Field(32, ge=1)
    optimiser: Literal["adamw", "adam", "sgd", "rmsprop"] = "adamw"
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    schedule: Literal["cosine", "constant", "step", "plateau", "one_cycle"] = "cosine"
    warmup: float = Field(0.1, ge=0, lt=1)  # share of all steps
    step_factor: float = Field(0.9, gt=0, le=1)  # "step" and "plateau": factor on the learning rate
    step_epochs: int = Field(3, ge=1)  # "step": every so many epochs; "plateau": patience
    class_balanced: bool = True  # batches drawn with equal probability for each class
    class_weights: tuple[float, ...] | None = None  # loss weights, in class order
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    gradient_clip: float = Field(1.0, ge=0)  # largest norm; 0: off
    early_stopping: int = Field(0, ge=0)  # epochs without progress on validation; 0: off
    layer_rates: tuple[float, ...] = ()  # discriminative rates: factors for groups from input to output; (): one rate
    trainable: Literal["all", "head", "last"] = "all"  # DeTraC's deep / shallow / fine tuning
    trainable_layers: int = Field(0, ge=0)  # "last": how many
    augmentation: Augmentation = Augmentation()
