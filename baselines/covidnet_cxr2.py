"""COVID-Net CXR-2 (Pavlova and others, arXiv 2105.06640, 2021).

Published: 480×480, two classes, stem of 48, blocks with a replicator in front of the depthwise layer, stage widths
160-328-640-2048, stride in the first block of a stage, flattened head; 8.8 M parameters, 5.55 G multiply–accumulates; 385 of 400
test images right. Learning rate 2e-4, batch 8 with half of it positive, 100 epochs in the public code.
Reconstructed: replication and widths inside the blocks, calibrated to the totals (``search_spaces.published``).
Leaks behind the published figures: every positive test image comes from one source and every negative one from another.
"""

from __future__ import annotations

from baselines.covidnet_recipe import COVIDNET_RECIPE
from baselines.pepx_points import builder, published_size
from baselines.published import percent
from baselines.registry import Baseline, register_baseline

TEST = "COVIDx8B test, 200 images a class; every positive from one source, every negative from another"

register_baseline(
    Baseline(
        name="covidnet_cxr2",
        title="COVID-Net CXR-2",
        construct=builder("covidnet_cxr2"),
        recipe=COVIDNET_RECIPE.model_copy(update={"learning_rate": 2e-4, "epochs": 100, "early_stopping": 100}),
        paper_size=480,
        paper_classes=2,
        published={
            **published_size("covidnet_cxr2"),
            "accuracy": percent(96.3, 385, 400, TEST),
            "sensitivity[covid]": percent(95.5, 191, 200, TEST),
            "ppv[covid]": percent(97.0, 191, 197, TEST),
        },
        note="calibrated reconstruction",
        reconstruction=True,
    )
)
