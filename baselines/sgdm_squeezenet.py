"""SGDM-SqueezeNet (Chowdhury and others, "Can AI help in screening viral and COVID-19 pneumonia?", preprint, 2020).

Published: SqueezeNet pretrained on ImageNet, stochastic gradient descent with momentum, 177 of 180 test images right.
Reconstructed, from memory of the preprint: learning rate 3e-4, momentum 0.9, batch 16, about 20 epochs, 227×227; rotation
±5 to ±15°, scaling 2.5 to 10 %, translation 5 to 20 % (the widest of each here); SqueezeNet version 1.0. The final article
(IEEE Access 8) prefers DenseNet-201.
Deviates: the paper's five folds picked on the test part; here validation picks. The score's ReLU is left out (see
``squeezenet``).
"""

from __future__ import annotations

from baselines.published import percent
from baselines.recipe import Augmentation, Recipe
from baselines.registry import Baseline, register_baseline
from baselines.squeezenet import build, load_weights

TEST = "Radiography Database, first release, 60 images a class"

register_baseline(
    Baseline(
        name="sgdm_squeezenet",
        title="SGDM-SqueezeNet",
        construct=build,
        recipe=Recipe(
            name="paper",
            epochs=20,
            batch_size=16,
            optimiser="sgd",
            learning_rate=3e-4,
            weight_decay=0.0,
            momentum=0.9,
            schedule="constant",
            warmup=0.0,
            class_balanced=False,
            gradient_clip=0.0,
            early_stopping=20,  # never before the end: the best validated epoch is kept
            augmentation=Augmentation(rotation=15, translation=0.2, zoom=0.1, flip=0, brightness=0, contrast=0),
        ),
        paper_size=227,
        published={
            "accuracy": percent(98.3, 177, 180, TEST),
            "accuracy[covid]": percent(96.7, 58, 60, TEST, "sensitivity of the class, called accuracy in the survey"),
        },
        note="SqueezeNet 1.0, momentum 0.9",
        weights=load_weights,
        reconstruction=True,
    )
)
