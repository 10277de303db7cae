"""What no test of ours can see: printed with every verdict, whatever it is."""

from __future__ import annotations

BLIND_SPOTS: tuple[str, ...] = (
    "in-lung devices and lines: a cue that lies over the lungs counts as lung evidence",
    "lung texture that only a scanner or a hospital writes: source identity inside the lungs",
    "age, sex and build as far as they show inside the lung region and no metadata names them",
    "label noise: labels that are wrong in the same way everywhere",
    "shortcuts that are the same in every source of these data",
)
