"""What can go wrong while a network is trained; a search records the reason and goes on with the next candidate."""

from __future__ import annotations

from search_spaces.errors import ToolkitError


class TrainingError(ToolkitError):
    """A network could not be trained; ``reason`` is what a trial's record keeps."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class DivergedError(TrainingError):
    """The training loss or the validation scores are no finite numbers any more."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "diverged")
