"""What counts as harmless and what as a shortcut, stated before any model is looked at."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Margin(BaseModel):
    """Equivalence bounds of one effect around ``centre``.

    Inside ± ``passing`` with the whole interval is a pass, beyond ± ``failing`` with the whole interval a fail, anything else
    undecided. ``upper_only``: only a large value counts against the model (a drop of accuracy).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    passing: float = Field(gt=0)
    failing: float = Field(gt=0)
    centre: float = 0.0
    upper_only: bool = False
    unit: str = "sigma"


_SWAP = Margin(passing=0.10, failing=0.25)
_DROP = Margin(passing=0.05, failing=0.10, upper_only=True, unit="AUC")


class Margins(BaseModel):
    """The margins of all tests, and the gates' bounds.

    Effects of swaps are signed changes of a class's log-odds in units of σ, the spread of these log-odds over the clean
    images. The numbers are those of the pre-registered proposal; tests on simulated chests showed honest networks below 0.07.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lungs_removed: Margin = Margin(passing=0.10, failing=0.15, centre=0.5, unit="AUC")  # T1
    lungs_only: Margin = _DROP  # T2
    background: Margin = Margin(passing=0.10, failing=0.20)  # T3
    marker: Margin = _SWAP  # T4
    frame: Margin = _SWAP  # T5
    style: Margin = _SWAP  # T6
    region: Margin = Margin(passing=0.15, failing=0.15)  # T7
    source: Margin = _DROP  # T8
    reversal: Margin = Margin(passing=0.05, failing=0.15, upper_only=True, unit="AUC")  # T9
    geometry: Margin = _SWAP  # T13
    flips: Margin = Margin(passing=0.02, failing=0.05, unit="of the decisions")  # T4, T5, T6, T13 fail beyond it as well
    silhouette: Margin = Margin(passing=0.05, failing=0.10, centre=0.5, unit="AUC")  # T13's control
    availability: float = 0.70  # T0: above it the data offer a shortcut
    competence: float = 0.65  # lower bound of the clean AUC
    seam: float = 0.60  # lower bound of the AUC with which seams may tell the arms apart
    groups_per_class: int = 50  # fewer: the class is not auditable
    missing_masks: float = 0.5  # share of images that may lack a usable mask
    alpha: float = 0.05
