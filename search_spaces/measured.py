"""Peak activation memory, measured: every tensor that a forward pass makes is weighed from its birth to its death."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Weigher(TorchDispatchMode):
    """Sums the storages alive; views share theirs, parameters and buffers weigh nothing."""

    def __init__(self, weightless: set[int]) -> None:
        super().__init__()
        self._weightless = weightless
        self._holders: dict[int, int] = {}  # storage address → tensors alive that use it
        self.alive = self.peak = 0

    def weigh(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        address, size = storage.data_ptr(), storage.nbytes()
        if not size or address in self._weightless:
            return
        if address not in self._holders:
            self._holders[address] = 0
            self.alive += size
            self.peak = max(self.peak, self.alive)
        self._holders[address] += 1
        weakref.finalize(tensor, self._let_go, address, size)

    def _let_go(self, address: int, size: int) -> None:
        self._holders[address] -= 1
        if not self._holders[address]:
            del self._holders[address]
            self.alive -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        known = {id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and id(leaf) not in known:
                self.weigh(leaf)
        return out


def measured_memory(model: nn.Module, image: Tensor) -> int:
    """Bytes of activations alive at the peak of one forward pass in evaluation mode, ``image`` (n, c, s, s) among them.

    What an operator allocates for itself and frees before it returns (workspaces) is the backend's and not counted.
    """
    weightless = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    training = model.training
    model.eval()
    weigher = _Weigher(weightless)
    with torch.no_grad(), weigher:
        weigher.weigh(image)
        model(image)
    model.train(training)
    return weigher.peak
