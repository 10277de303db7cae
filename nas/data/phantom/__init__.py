"""The phantom: chest X-rays made by a procedure, the embedded default data set and the ground truth of the audit's tests."""

from nas.data.phantom.generate import CLASSES, phantom
from nas.data.phantom.shortcuts import KINDS, Shortcut, parse_shortcuts

__all__ = ["CLASSES", "KINDS", "Shortcut", "parse_shortcuts", "phantom"]
