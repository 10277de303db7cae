"""The errors of the toolkit that every room may raise.

Each message is one line that names the value, the rule it breaks and the remedy; each class says how a command ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def first_line(error: BaseException) -> str:
    """What an error of somebody else's says, in one line; one that says nothing is called by its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class ToolkitError(Exception):
    """Something failed that is not the caller's input; a command ends with exit code 1.

    Messages quote files, libraries and other people's data: whatever they hold, what is shown is one printable line.
    """

    exit_code = 1

    def __str__(self) -> str:
        return "".join(character if character.isprintable() else " " for character in super().__str__())


class InputError(ToolkitError):
    """Bad usage or bad input: the caller can mend it; a command ends with exit code 2."""

    exit_code = 2


class ArchitectureError(InputError):
    """An architecture (or its JSON) is no point of the space that it names."""


class OverBudgetError(ToolkitError):
    """A sampler that knows no budget proposed an architecture over it; ``violations`` maps each bound to its excess ratio."""

    def __init__(self, message: str, violations: Mapping[str, float]) -> None:
        super().__init__(message)
        self.violations = dict(violations)


class BudgetInfeasibleError(InputError):
    """No architecture of the space fits the budget; ``smallest`` maps each bound to the smallest reachable cost."""

    def __init__(self, message: str, smallest: Mapping[str, float]) -> None:
        super().__init__(message)
        self.smallest = dict(smallest)


class UncountedOperatorError(InputError):
    """A model uses operators that no rule counts; ``operators`` names them."""

    def __init__(self, message: str, operators: Iterable[str]) -> None:
        super().__init__(message)
        self.operators = tuple(operators)
