"""COVID-Net CXR-Small (public code ``lindawangg/COVID-Net``, 2020).

Published: 224×224, stage depths 3-4-6-3, flattened map, two hidden layers of 1,024; 117.4 M parameters, 2.26 G
multiply–accumulates; 214 of 231 test images right, COVID-19 27 of 31; recipe (see ``covidnet_recipe``).
Reconstructed: the widths inside the PEPX blocks, calibrated to 117.62 M with the moving statistics of the normalisation
(117.54 M trainable) and 2.235 G (``search_spaces.published``).
"""

from __future__ import annotations

from baselines.covidnet_recipe import COVIDNET_RECIPE
from baselines.pepx_points import builder, published_size
from baselines.published import percent
from baselines.registry import Baseline, register_baseline

TEST = "COVIDx2 test, 231 images, 31 of them COVID-19"

register_baseline(
    Baseline(
        name="covidnet_small",
        title="COVID-Net CXR-Small",
        construct=builder("covidnet_small"),
        recipe=COVIDNET_RECIPE,
        paper_size=224,
        published={
            **published_size("covidnet_small"),
            "accuracy": percent(92.6, 214, 231, TEST),
            "sensitivity[covid]": percent(87.1, 27, 31, TEST),
            "ppv[covid]": percent(96.4, 27, 28, TEST),
        },
        note="calibrated reconstruction",
        reconstruction=True,
    )
)
