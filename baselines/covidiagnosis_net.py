"""COVIDiagnosis-Net, "Deep Bayes-SqueezeNet" (Ucar and Korkmaz, Medical Hypotheses 140, 2020).

Published: SqueezeNet pretrained on ImageNet at 227×227; Bayesian optimisation of its training; 98.26 % of 459 images.
Reconstructed, from memory: version 1.0; the optimisation goes over initial learning rate, momentum and L2, about 30
evaluations, minimising the validation error. The ranges below are ours.
Deviates: the paper enlarged 76 COVID-19 images to 1,536 before splitting, so that copies of training images are tested; here images
are augmented after the split, in training only, and batches are balanced instead. The optimiser is Optuna's tree-structured
Parzen estimator, on class-balanced log-loss. The score's ReLU is left out (see ``squeezenet``).
"""

from __future__ import annotations

import copy

import optuna
from torch import nn

from baselines.layers import seeded
from baselines.published import percent
from baselines.recipe import Augmentation, FitData, Initialise, Recipe, TrainFunction, leave_as_built
from baselines.registry import Baseline, register_baseline
from baselines.squeezenet import build, load_weights
from search_spaces.errors import ToolkitError

TEST = "COVIDx-based, 153 images a class; augmented copies of training images among them"
LEARNING_RATE = (1e-5, 1e-1)
MOMENTUM = (0.8, 0.98)
L2 = (1e-10, 1e-2)


def fit(
    train: TrainFunction,
    data: FitData,
    *,
    classes: int,
    image_size: int,
    recipe: Recipe,
    seed: int,
    in_channels: int = 3,
    initialise: Initialise = leave_as_built,
) -> nn.Module:
    """Train ``recipe.search_trials`` networks with settings that a Bayesian search proposes; return the best on validation.

    Each evaluation takes the recipe's epochs. A network that diverges counts as the worst, it does not end the search.
    """
    del data  # the training function knows the fold
    best: tuple[float, nn.Module] | None = None
    study, reason = quiet_study(seed), ""
    for number in range(max(recipe.search_trials, 1)):  # asked and told by hand: ``optimize`` writes a line for each trial
        trial = study.ask()
        model = seeded(seed + number, lambda: build(classes, in_channels, image_size))
        initialise(model)
        try:
            loss = train(model, proposed(trial, recipe))
        except (ArithmeticError, ToolkitError) as error:
            reason = str(error)
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)  # the worst; the sampler learns nothing from a failed one
            continue
        study.tell(trial, loss)
        if best is None or loss < best[0]:
            best = loss, copy.deepcopy(model).cpu()
    if best is None:
        raise ToolkitError(f"all {len(study.trials)} settings of the Bayesian search failed, the last because {reason}")
    return best[1]


def proposed(trial: optuna.Trial, recipe: Recipe) -> Recipe:
    """The recipe with the settings that the trial proposes."""
    return recipe.model_copy(
        update={
            "learning_rate": trial.suggest_float("learning_rate", *LEARNING_RATE, log=True),
            "momentum": trial.suggest_float("momentum", *MOMENTUM),
            "weight_decay": trial.suggest_float("weight_decay", *L2, log=True),
        }
    )


def quiet_study(seed: int) -> optuna.Study:
    """A study in memory; its creation is not announced on the terminal."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(direction="minimize", sampler=optuna.samplers.TPESampler(seed=seed))
    finally:
        optuna.logging.set_verbosity(verbosity)


register_baseline(
    Baseline(
        name="covidiagnosis_net",
        title="COVIDiagnosis-Net",
        construct=build,
        recipe=Recipe(
            name="paper",
            epochs=20,
            batch_size=32,
            optimiser="sgd",
            learning_rate=1e-3,
            weight_decay=1e-4,
            schedule="constant",
            warmup=0.0,
            gradient_clip=0.0,
            search_trials=30,
            augmentation=Augmentation(rotation=10, translation=0.05, zoom=0.1, flip=0, brightness=0.1, contrast=0.1),
        ),
        paper_size=227,
        published={
            "accuracy": percent(98.26, 451, 459, TEST),
            "accuracy[covid]": percent(100.0, 153, 153, TEST, "sensitivity of the class, called accuracy in the survey"),
            "specificity": percent(99.13, None, 459, TEST),
            "f1": percent(98.25, None, 459, TEST),
        },
        note="SqueezeNet 1.0, Bayesian search of learning rate, momentum and L2",
        weights=load_weights,
        fit=fit,
        reconstruction=True,
    )
)
