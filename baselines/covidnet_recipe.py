"""How COVID-Net was trained, for its own networks and for the rows that its paper compares it with.

Published: Adam at 2e-5, ×0.7 after 5 epochs without progress, 22 epochs, batch 8, classes balanced within each batch;
translation, rotation, horizontal flip, zoom, intensity shift (ranges from the public code: ±10 %, ±10°, 0.85–1.15, ±10 %).
Deviates: the public code draws a fixed share of COVID-19 images into each batch and weights their loss by 4 to 25,
depending on its version; here batches are drawn with equal probability for each class, as the paper words it. The aspect
changes of the code (probability 0.3) are left out. The authors picked epochs on the test list; here validation picks.
"""

from __future__ import annotations

from baselines.recipe import COVIDNET_AUGMENTATION, Recipe

COVIDNET_RECIPE = Recipe(
    name="paper",
    epochs=22,
    batch_size=8,
    optimiser="adam",
    linear_inputs=0,
    learning_rate=2e-5,
    weight_decay=0.0,
    schedule="plateau",
    warmup=0.0,
    step_factor=0.7,
    step_epochs=5,
    gradient_clip=0.0,
    early_stopping=22,  # never before the end: the best validated epoch is kept
    augmentation=COVIDNET_AUGMENTATION,
)
