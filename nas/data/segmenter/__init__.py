"""The lung segmenter that ships with the toolkit, for data without masks; torch is imported on first use only."""

from nas.data.segmenter.box import lung_box
from nas.data.segmenter.inference import REASONS, segment

__all__ = ["REASONS", "lung_box", "segment"]
