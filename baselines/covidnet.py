"""COVID-Net CXR3-B, the journal model (Wang, Lin, Wong, Sci Rep 10:19549, 2020).

Published: input, stage depths 3-4-6-3 and widths, long-range connections, a flattened head without hidden layers; 11.75 M
parameters, 7.50 G multiply–accumulates at 480×480; 280 of 300 test images right; recipe (see ``covidnet_recipe``).
Reconstructed: the widths inside the PEPX blocks were never published; they are calibrated so that the totals come to 11.80 M
and 7.50 G (``search_spaces.published``). They match size, they are not the true widths.
Deviates: the published network starts from ImageNet weights of its ancestor; no such weights exist for these widths.
"""

from __future__ import annotations

from baselines.covidnet_recipe import COVIDNET_RECIPE
from baselines.pepx_points import builder, published_size
from baselines.published import percent
from baselines.registry import Baseline, register_baseline

TEST = "COVIDx3 test, 100 images a class"

register_baseline(
    Baseline(
        name="covidnet",
        title="COVID-Net (CXR3-B)",
        construct=builder("covidnet"),
        recipe=COVIDNET_RECIPE,
        paper_size=480,
        published={
            **published_size("covidnet"),
            "accuracy": percent(93.3, 280, 300, TEST),
            "sensitivity[covid]": percent(91.0, 91, 100, TEST),
            "ppv[covid]": percent(98.9, 91, 92, TEST),
        },
        note="calibrated reconstruction",
        reconstruction=True,
    )
)
