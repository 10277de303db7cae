"""One training step: forward, loss, backward, optimiser; on CUDA captured once as a graph and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.recipe import Recipe
from nas.evaluation.device import Precision, mixed_precision, usual_precision
from nas.evaluation.profile import Account
from search_spaces.errors import first_line

WARM_UP_STEPS = 3  # eager steps before capture: lazy initialisation of kernels and of the optimiser's state


class TrainingStep:
    """The eager step.

    Attributes:
        loss_sum: sum of the steps' losses, a float32 scalar on the device: reading it is left to the end of the epoch.
    """

    def __init__(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, recipe: Recipe, device: torch.device, precision: Precision | None = None,
    ) -> None:  # fmt: skip
        self.model, self.optimiser, self.device = model, optimiser, device
        self.precision = precision or usual_precision(device)
        self.loss_sum = torch.zeros((), device=device)
        self._weights = None if recipe.class_weights is None else torch.tensor(recipe.class_weights, device=device)
        self._smoothing, self._clip = recipe.label_smoothing, recipe.gradient_clip
        self._parameters = [p for group in optimiser.param_groups for p in group["params"]]

    def begin(self) -> None:
        """Before an epoch's first step."""
        self.loss_sum.zero_()

    def __call__(self, images: Tensor, labels: Tensor, account: Account) -> None:
        """Take one step on float images (n, 1, H, W) and labels int64 (n,)."""
        loss = self.loss(images, labels)
        account.mark("forward")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        account.mark("backward")
        self._update()
        self.loss_sum += loss.detach()
        account.mark("optimiser")

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy under the recipe's weights and smoothing; in the chosen precision inside the network."""
        with mixed_precision(self.device, self.precision):
            logits = self.model(images)
        return functional.cross_entropy(logits.float(), labels, weight=self._weights, label_smoothing=self._smoothing)

    def _update(self) -> None:
        if self._clip:
            clip_gradients(self._parameters, self._clip)
        self.optimiser.step()


class GraphStep(TrainingStep):
    """The same step as one CUDA graph: hundreds of small launches become one.

    The first steps run eagerly and count as training. A model that cannot be captured goes on eagerly, and
    ``fallback`` says why.

    A graph knows weights by their addresses. What moves them between epochs (``Module.to`` gives a recurrent layer new memory
    each time, and user code may do as it likes) would leave it training memory that nobody reads, so it is captured anew then.
    """

    def __init__(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, recipe: Recipe, device: torch.device, precision: Precision | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, optimiser, recipe, device, precision)
        self.fallback = ""
        self._done = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._images: Tensor | None = None
        self._labels: Tensor | None = None
        self._captured: list[int] = []
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None  # where graphs are warmed up and captured

    def begin(self) -> None:
        super().begin()
        if self._graph is not None and self._addresses() != self._captured:
            self._graph = None  # the next step captures it anew

    def _addresses(self) -> list[int]:
        return [tensor.data_ptr() for tensor in chain(self.model.parameters(), self.model.buffers())]

    def __call__(self, images: Tensor, labels: Tensor, account: Account) -> None:
        if self._graph is None and not self.fallback and self._done >= WARM_UP_STEPS:
            self.capture(images, labels)
        self._done += 1
        if self._graph is None or self._images is None or self._labels is None:
            with self._beside():
                super().__call__(images, labels, account)
            return
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._graph.replay()
        account.mark("forward")  # forward, backward and optimiser are one launch; the account cannot part them

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """Run on the side stream, in order with the main one; the host waits for neither."""
        if self._side is None:
            yield
            return
        main = torch.cuda.current_stream(self.device)
        self._side.wait_stream(main)
        with torch.cuda.stream(self._side):
            yield
        main.wait_stream(self._side)

    def capture(self, images: Tensor, labels: Tensor) -> None:
        """Record one step on static copies of the batch; nothing is computed and no weight moves while recording."""
        self._images, self._labels = images.clone(), labels.clone()
        graph = torch.cuda.CUDAGraph()
        self.optimiser.zero_grad(set_to_none=True)  # so that the recorded backward pass writes, not adds, gradients
        try:
            with torch.cuda.graph(graph, stream=self._side):
                loss = self.loss(self._images, self._labels)
                loss.backward()
                self._update()
                self.loss_sum += loss.detach()
        except RuntimeError as error:  # an operator that synchronises, allocates outside the pool, or decides on data
            self.fallback = f"the step could not be captured as a CUDA graph: {first_line(error)}"
            self.optimiser.zero_grad(set_to_none=True)
            return
        self._graph, self._captured = graph, self._addresses()


def make_step(
    model: nn.Module, optimiser: torch.optim.Optimizer, recipe: Recipe, device: torch.device, capture: bool = True,
    precision: Precision | None = None,
) -> TrainingStep:  # fmt: skip
    """The fastest step that the device has."""
    kind = GraphStep if device.type == "cuda" and capture else TrainingStep
    return kind(model, optimiser, recipe, device, precision)


def clip_gradients(parameters: list[nn.Parameter], largest: float) -> None:
    """Scale all gradients down to a common norm of at most ``largest``, without a host synchronisation."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if (
        norm.device.type == "cpu" and float(norm) <= largest
    ):  # reading it costs nothing here, and mostly there is nothing to scale
        return
    torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))
