"""What a baseline costs at any size, in a fraction of a second: shapes only, no weights and no arithmetic.

The network is built on torch's meta device, where torch's own counter sees every matrix product (an LSTM is taken apart into
its steps there). ``search_spaces.counting`` is the referee for built networks; the tests hold the two together.
"""

from __future__ import annotations

from typing import NamedTuple

from baselines.registry import Baseline


class Size(NamedTuple):
    """Multiply–accumulates of convolutions, linear layers and LSTMs for one image, and trainable parameters."""

    flops: int
    parameters: int
    image_size: int
    classes: int


def size_of(baseline: Baseline, image_size: int | None = None, classes: int | None = None) -> Size:
    """The baseline's size, by default at its paper's image size and number of classes.

    Raises:
        InputError: an image size that the network cannot take. On the meta device a product that torch's counter does not know
            (a matrix by a vector) counts as nothing; ``count`` refuses what it does not know.
    """
    side = baseline.paper_size if image_size is None else image_size
    outputs = baseline.paper_classes if classes is None else classes
    try:
        return Size(*_by_shapes(baseline, side, outputs), side, outputs)
    except Exception:  # it reads values while it is built or run, and a tensor that is a shape has none: built in earnest
        from search_spaces.counting import count

        counted = count(baseline.build(outputs, baseline.paper_channels, side), side)
        return Size(counted.flops, counted.parameters, side, outputs)


def _by_shapes(baseline: Baseline, side: int, classes: int) -> tuple[int, int]:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = baseline.build(classes, baseline.paper_channels, side).eval()
        image = torch.empty(1, 1, side, side)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return counter.get_total_flops() // 2, parameters  # torch counts a multiply–accumulate twice
