"""Which versions made a record."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("torch", "torchvision", "optuna", "numpy", "scikit-learn", "captum", "fvcore")


@cache
def toolkit_version() -> str:
    """The installed version of the toolkit."""
    return version("pepx-nas")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that figures depend on."""
    found = {"python": platform.python_version(), "pepx-nas": toolkit_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
