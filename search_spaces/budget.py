"""A budget: hard bounds on what a network may cost, checked before anything is built."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from math import inf
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from search_spaces.errors import InputError

if TYPE_CHECKING:
    from search_spaces.cost import Figures

_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_NAMES = {"flops": "flops", "macs": "flops", "params": "parameters", "parameters": "parameters", "memory": "memory"}
BOUNDS = ("flops", "parameters", "memory")


@dataclass(frozen=True, slots=True)
class Budget:
    """Upper (and, if wanted, lower) bounds; ``None`` leaves a figure free.

    Args:
        flops: most multiply–accumulates for one image.
        parameters: most trainable parameters.
        memory: most bytes of activations alive at once, float32, one image.
        min_flops, min_parameters, min_memory: lower bounds of the same figures.
        image_size: pixels a side at which the bounds hold; ``None`` takes the space's own size.

    Raises:
        InputError: a bound is not positive, or a lower bound lies above its upper one.
    """

    flops: float | None = None
    parameters: float | None = None
    memory: float | None = None
    min_flops: float | None = None
    min_parameters: float | None = None
    min_memory: float | None = None
    image_size: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if not (isinstance(value, Real) and 0 < float(value) < float("inf")):
                raise InputError(f"budget {field.name}={value!r} must be a positive number; leave it out for no bound")
            object.__setattr__(self, field.name, int(value) if isinstance(value, Integral) else float(value))  # also numpy's
        if self.image_size is not None:
            if int(self.image_size) != self.image_size:
                raise InputError(f"budget image_size={self.image_size!r} must be a whole number of pixels")
            object.__setattr__(self, "image_size", int(self.image_size))
        for name in BOUNDS:
            low, high = getattr(self, f"min_{name}"), getattr(self, name)
            if low is not None and high is not None and low > high:
                raise InputError(f"budget min_{name}={low:g} lies above {name}={high:g}; lower the first or raise the second")

    @classmethod
    def parse(cls, text: str, image_size: int | None = None) -> Budget:
        """Read ``"40M"`` (FLOPs) or ``"flops=50M,params=2M,memory=64MiB,min_flops=10M"``.

        Raises:
            InputError: an unknown name, an unreadable number, or the same bound twice.
        """
        bounds: dict[str, float] = {}
        for item in text.split(","):
            name, _, number = item.strip().rpartition("=")
            field = _field(name.strip().lower() or "flops", text)
            if field in bounds:
                raise InputError(f"budget {text!r} names {field} twice; give each bound once")
            bounds[field] = _number(number.strip(), field, text)
        return cls(**bounds, image_size=image_size)

    @property
    def upper(self) -> dict[str, float]:
        """The upper bounds that are set, by name."""
        return {name: float(value) for name in BOUNDS if (value := getattr(self, name)) is not None}

    @property
    def lower(self) -> dict[str, float]:
        """The lower bounds that are set, by the figure's name."""
        return {name: float(value) for name in BOUNDS if (value := getattr(self, f"min_{name}")) is not None}

    def admits(self, cost: Figures) -> bool:
        """Whether ``cost`` keeps every bound; an infinite cost, the mark of an invalid combination, never does."""
        return self.admits_figures(cost.flops, cost.parameters, cost.memory)

    def admits_figures(self, flops: float, parameters: float, memory: float) -> bool:
        """``admits`` for bare figures."""
        return (
            under(self, (flops, parameters, memory))
            and (self.min_flops is None or flops >= self.min_flops)
            and (self.min_parameters is None or parameters >= self.min_parameters)
            and (self.min_memory is None or memory >= self.min_memory)
        )

    def violations(self, cost: Figures) -> dict[str, float]:
        """Every broken bound with its excess: 0.25 is a quarter over the upper bound, or under the lower one."""
        excess = {}
        for name in BOUNDS:
            value = float(getattr(cost, name))
            high, low = getattr(self, name), getattr(self, f"min_{name}")
            if value == inf or (high is not None and value > high):
                excess[name] = value / (high or 1) - 1
            if low is not None and value < low:
                excess[f"min_{name}"] = 1 - value / low
        return excess

    def use(self, cost: Figures) -> float:
        """The largest share of an upper bound that ``cost`` uses; 0 where none is set."""
        return max((getattr(cost, name) / high for name, high in self.upper.items()), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """The bounds that are set, as plain data."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Budget:
        """The inverse of ``to_json``; an unknown key raises ``InputError``."""
        known = {field.name for field in fields(cls)}
        if not isinstance(data, dict) or set(data) - known:
            raise InputError(f"budget {data!r} must be a mapping with keys among {', '.join(sorted(known))}")
        return cls(**data)

    def __str__(self) -> str:
        parts = [f"{name} ≤ {shown(value)}" for name, value in self.upper.items()]
        parts += [f"{name} ≥ {shown(value)}" for name, value in self.lower.items()]
        size = f" at {self.image_size} px" if self.image_size else ""
        return (", ".join(parts) or "no bound") + size


def under(budget: Budget, figures: tuple[float, float, float]) -> bool:
    """Whether the figures are finite and keep the upper bounds."""
    return (
        (figures[0] < inf if budget.flops is None else figures[0] <= budget.flops)
        and (figures[1] < inf if budget.parameters is None else figures[1] <= budget.parameters)
        and (figures[2] < inf if budget.memory is None else figures[2] <= budget.memory)
    )


def shown(figure: float) -> str:
    """A figure as messages write it: whole, with thousands set apart; six digits of a fraction that is small enough to matter."""
    return f"{figure:,.0f}" if figure >= 1000 or float(figure).is_integer() else f"{figure:.6g}"


def _field(name: str, text: str) -> str:
    minimum = name.startswith("min_")
    known = _NAMES.get(name.removeprefix("min_"))
    if known is None:
        raise InputError(f"budget {text!r}: unknown bound {name!r}; known: flops, params, memory, each also with min_")
    return f"min_{known}" if minimum else known


def _number(number: str, field: str, text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?)\s*([a-z]*)", number.lower())
    scales = _DECIMAL | _BINARY if field.endswith("memory") else _DECIMAL
    if match is None or match[2] not in scales:
        raise InputError(f"budget {text!r}: cannot read {number!r} as {field}; write for example 40M or memory=64MiB")
    value = float(match[1]) * scales[match[2]]
    return int(value) if value.is_integer() else value
