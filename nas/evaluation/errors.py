"""What can go wrong while a network is trained; a search records the reason and goes on with the next candidate."""

from __future__ import annotations

import torch

from search_spaces.errors import ToolkitError


class TrainingError(ToolkitError):
    """A network could not be trained; ``reason`` says why in a word or two."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class DivergedError(TrainingError):
    """The training loss or the validation scores are no finite numbers any more."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "diverged")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; the CPU's allocator raises a plain ``RuntimeError``."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
