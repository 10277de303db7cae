"""Image edits with masks and donors, batched on the device: used by training (augmentation) and by the audit.

One convention for all: images are float (n, 1, H, W) in [0, 1]; masks and regions are bool (n, 1, H, W) (lung masks may
also come as (n, H, W)); donors stand row for row beside their recipients; randomness comes from an explicit
``torch.Generator``; the result has the images' shape, and pixels that an edit does not concern are left bit for bit.
"""

from nas.edits.augment import ANSWERS, Answer, answers_to, apply_answers, get_answer
from nas.edits.donors import donor_partners, fill_lungs, geometry_features, match_donors, swap_background
from nas.edits.fills import FILLS, Fill, get_fill
from nas.edits.frame import content_box, frame_region, swap_collimation, swap_frame
from nas.edits.geometry import OUTLINE_MARGIN, align, box_warp, inner_warp, silhouettes, swap_geometry
from nas.edits.lungs import elsewhere, only_lungs, remove_lungs
from nas.edits.markers import detect_markers, move_markers, random_patch, remove_markers, transplant
from nas.edits.masks import (
    LUNG_MARGIN,
    as_masks,
    bounding_box,
    bounds,
    boxes,
    dilate,
    erode,
    feathered,
    lung_region,
    ring,
    split_sides,
)
from nas.edits.style import match_histogram, match_shading, match_sharpness, sharpness, swap_style

__all__ = [
    "ANSWERS", "FILLS", "LUNG_MARGIN", "OUTLINE_MARGIN", "Answer", "Fill", "align", "answers_to", "apply_answers", "as_masks", "bounding_box",
    "bounds", "box_warp", "boxes", "content_box", "detect_markers", "dilate",
    "donor_partners", "elsewhere", "erode", "feathered", "fill_lungs", "frame_region", "geometry_features",
    "get_answer", "get_fill", "inner_warp", "lung_region", "match_donors", "match_histogram", "match_shading",
    "match_sharpness", "move_markers", "only_lungs", "random_patch", "remove_lungs", "remove_markers",
    "ring", "sharpness", "silhouettes", "split_sides", "swap_background",
    "swap_collimation", "swap_frame", "swap_geometry", "swap_style", "transplant",
]  # fmt: skip
