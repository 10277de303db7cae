"""Costs as compiled formulas: what is computed about one kind of block is written down once and becomes a function.

A calculation is run with *unknown* numbers; each arithmetic step on them becomes a line of a program, each distinct step
once. The same lines then serve whole numbers and arrays of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from search_spaces.errors import InputError


class Formula(NamedTuple):
    """A calculation for single numbers, and the same for int64 arrays, one entry a block; both return a tuple."""

    one: Callable[..., tuple[int, ...]]
    many: Callable[..., tuple[Any, ...]]
    arguments: int


class Unknown:
    """A positive whole number that is not known yet: arithmetic on it adds a line to the program, unless it changes nothing."""

    __slots__ = ("_before", "_name", "_program")

    def __init__(self, program: dict[str, str], name: str, before: tuple[Unknown, Any] | None = None) -> None:
        self._program = program
        self._name = name
        self._before = before  # for a difference: what it was, and what was taken away

    def __str__(self) -> str:
        return self._name

    def _line(self, expression: str, before: tuple[Unknown, Any] | None = None) -> Unknown:
        return Unknown(self._program, self._program.setdefault(expression, f"v{len(self._program)}"), before)

    def _with(self, sign: str, other: Any) -> Unknown:
        return self._line(f" {sign} ".join(sorted([str(self), str(other)])))  # one line, whichever came first

    def __add__(self, other: Any) -> Any:
        if self._before and type(other) is int and _is(self._before[1], other):
            return self._before[0]
        return self if _is(other, 0) else self._with("+", other)

    def __sub__(self, other: Any) -> Any:
        return self if _is(other, 0) else self._line(f"{self} - {other}", (self, other))

    def __rsub__(self, other: Any) -> Any:
        return self._line(f"{other} - {self}")

    def __mul__(self, other: Any) -> Any:
        return 0 if _is(other, 0) else self if _is(other, 1) else self._with("*", other)

    __radd__, __rmul__ = __add__, __mul__

    def __floordiv__(self, other: Any) -> Any:
        if str(other) == str(self):
            return 1
        return self if _is(other, 1) else self._line(f"{self} // {other}")

    def __pow__(self, other: Any) -> Any:
        return self * self if _is(other, 2) else self._line(f"{self} ** {other}")

    def larger(self, other: Any) -> Any:
        """The larger of the two."""
        return self if str(other) == str(self) else self._line(f"larger({self}, {other})")

    def _must_be_known(self, *_: Any) -> Any:
        raise InputError(
            "a block's operations compare or round one of its numbers; compute with +, -, *, // and **, write larger(a, b) for "
            "the larger of two, and let blocks of different make differ in their spec by a word or by True and False"
        )

    __bool__ = __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _must_be_known
    __truediv__ = __rtruediv__ = __int__ = __index__ = __float__ = __round__ = _must_be_known
    __hash__ = None  # type: ignore[assignment]


def _is(number: Any, wanted: int) -> bool:
    return isinstance(number, int) and number == wanted  # False and True count as 0 and 1


def larger(first: Any, second: Any) -> Any:
    """The larger of two numbers, of which either may be unknown."""
    if isinstance(first, Unknown):
        return first.larger(second)
    if isinstance(second, Unknown):
        return second.larger(first)
    return first if first > second else second


def formula(calculation: Callable[..., Sequence[Any]], arguments: int) -> Formula:
    """``calculation`` of so many numbers as a formula.

    Raises:
        InputError: the calculation compares or branches on one of them.
    """
    program: dict[str, str] = {}
    names = [f"a{place}" for place in range(arguments)]
    results = calculation(*(Unknown(program, name) for name in names))
    lines = [f"    {name} = {expression}\n" for expression, name in _needed(program, results)]
    source = f"def calculate({', '.join(names)}):\n{''.join(lines)}    return {', '.join(map(str, results))},\n"
    return Formula(_compiled(re.sub(r"larger\((\w+), (\w+)\)", r"\1 if \1 > \2 else \2", source)), _compiled(source), arguments)


def _needed(program: dict[str, str], results: Sequence[Any]) -> list[tuple[str, str]]:
    """The lines that the results follow from, in order: what was simplified away may have left steps that nothing reads."""
    read, kept = set(map(str, results)), []
    for expression, name in reversed(program.items()):
        if name in read:
            kept.append((expression, name))
            read.update(re.findall(r"v\d+", expression))
    return kept[::-1]


def _compiled(source: str) -> Callable[..., tuple[Any, ...]]:
    namespace: dict[str, Any] = {"larger": np.maximum}
    exec(source, namespace)  # only names and whole numbers that were written above
    function: Callable[..., tuple[Any, ...]] = namespace["calculate"]
    return function
