"""Cross-fitting: where images are few, each is answered by a network that saw neither it nor its group in training.

K networks of one recipe answer for one fold each; effects of edits are pooled over all out-of-fold images. Donors come from the
recipient's own fold: a network may know a training image by heart, background included.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.inquisitor.engine import Engine, Exhibits, margins, spread
from search_spaces.errors import InputError


class CrossFitted(nn.Module):
    """Networks of one recipe, and which of them may answer for each row of a data set.

    Attributes:
        models: float (n, 1, H, W) in [0, 1] → logits (n, classes), one a fold.
        fold: int64 (rows of the data set,), the number of the network that never saw the row; −1 where there is none.
    """

    def __init__(self, models: Sequence[nn.Module], fold: NDArray[np.int64]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.fold = fold

    def forward(self, images: Tensor) -> Tensor:
        """No image says by itself which network may answer for it."""
        raise NotImplementedError("a cross-fitted model answers for rows of its data set only; call its networks instead")


class FoldEngine(Engine):
    """An engine that hands each image to the network of its fold.

    Logits are the networks' own: they decide, and say how sure they are. Networks differ in the scale and offset of their
    log-odds, though, so where these are pooled each class's are standardised on the fold's clean images: minus their mean, over
    their spread. Within a fold no order changes, and every effect is in units of its own network's σ.
    """

    def __init__(
        self, model: CrossFitted, device: str | torch.device = "cpu", pixels: int | None = None, workers: int = 1
    ) -> None:
        super().__init__(model, device, pixels, workers)
        self.fold = model.fold
        self._scales: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}  # mean and σ of each class's log-odds

    def strata(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.fold[rows]

    def clean_logits(self, shown: Exhibits) -> NDArray[np.float32]:
        """Logits of the images under audit; every network's log-odds are standardised on its fold's share of them from here on.

        Raises:
            InputError: an image belongs to no fold.
        """
        folds = self.strata(shown.rows)
        if (folds < 0).any():
            raise InputError(f"{int((folds < 0).sum())} images belong to no fold; audit the rows that were cross-fitted")
        logits = super().clean_logits(shown)
        for number in np.unique(folds):
            own = margins(logits[folds == number])
            self._scales[number] = own.mean(axis=0), spread(own)
        return logits

    def comparable(self, odds: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        folds, found = self.strata(rows), np.empty_like(odds)
        for number in np.unique(folds):
            mean, sigma = self._scales[number]
            found[folds == number] = (odds[folds == number] - mean) / sigma
        return found

    def answer(self, model: nn.Module, images: Tensor, rows: NDArray[np.int64] | None) -> Tensor:
        assert isinstance(model, CrossFitted)
        if rows is None:
            raise ValueError("a cross-fitted audit needs to know which row of the data set each edited image shows")
        folds = self.strata(rows)
        logits: Tensor | None = None
        for number in np.unique(folds):
            here = torch.from_numpy(np.flatnonzero(folds == number)).to(self.device)
            found = model.models[number](images[here])
            logits = found.new_empty(len(images), found.shape[1]) if logits is None else logits
            logits[here] = found
        return model.models[0](images) if logits is None else logits
