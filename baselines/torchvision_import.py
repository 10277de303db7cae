"""The one door through which torchvision is imported, lazily.

torch and torchvision are released in pairs. A torchvision wheel whose compiled operators do not load beside the
installed torch (a CPU-only torch next to the GPU build of torchvision is the common case) fails at import with
"operator torchvision::nms does not exist", because its Python side attaches shape rules to two operators that were never
declared. The toolkit uses no compiled operator of torchvision, so where the extension is absent the two schemas are
declared here, without an implementation, and the import goes through; calling them still fails, as it should.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch

from search_spaces.errors import ToolkitError, first_line

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[torch.library.Library] = []  # torch forgets a schema when its library object is collected


def import_torchvision() -> ModuleType:
    """``torchvision``, with the missing operator schemas declared first when, and only when, its extension is absent.

    Raises:
        ToolkitError: torchvision is not installed, or does not import for another reason.
    """
    if "torchvision" in sys.modules:
        return sys.modules["torchvision"]
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        raise ToolkitError("torchvision is not installed; install the release that pairs with torch " + torch.__version__)
    if not extension_loads(Path(spec.submodule_search_locations[0])):
        declare_missing_operators()
    try:
        return importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        reason = first_line(error)
        raise ToolkitError(
            f"torchvision does not import beside torch {torch.__version__} ({reason}); install its pair"
        ) from error


def torchvision_models() -> ModuleType:
    """``torchvision.models``."""
    import_torchvision()
    return importlib.import_module("torchvision.models")


def extension_loads(package: Path) -> bool:
    """Whether the compiled operators that lie in the package's folder load beside the installed torch."""
    finder = importlib.machinery.FileFinder(
        str(package), (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    )
    found = finder.find_spec("_C")
    if found is None or found.origin is None:
        return False
    try:
        torch.ops.load_library(found.origin)
    except (ImportError, OSError):
        return False
    return True


def declare_missing_operators() -> list[str]:
    """Declare each of the two schemas that torch does not know yet; returns the names that were declared."""
    missing = [name for name in _SCHEMAS if not operator_known(name)]
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in missing:
            library.define(_SCHEMAS[name])
        _declared.append(library)
    return missing


def operator_known(name: str) -> bool:
    """Whether torch has a schema for ``torchvision::name``."""
    return hasattr(torch.ops.torchvision, name)
