"""The published systems that a search's candidates meet: each file a network, its paper's recipe and its published figures."""

from baselines.published import PublishedFigure
from baselines.recipe import Augmentation, FitData, Initialise, Recipe, TrainFunction, leave_as_built, resolve
from baselines.registry import Baseline, baseline_names, get_baseline, register_baseline

__all__ = [
    "Augmentation",
    "Baseline",
    "FitData",
    "Initialise",
    "PublishedFigure",
    "Recipe",
    "TrainFunction",
    "baseline_names",
    "get_baseline",
    "leave_as_built",
    "register_baseline",
    "resolve",
]
