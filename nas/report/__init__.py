"""Reports: pages, tables in the terminal, CSV and LaTeX, the model card; reads records, runs nothing.

What a person needs at once (``nas.report.live``) comes without the pages, which are imported when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.report.notebook import html as html
    from nas.report.page import PAGE_NAME as PAGE_NAME
    from nas.report.page import render_page as render_page
    from nas.report.page import write_page as write_page

__all__ = ["PAGE_NAME", "html", "render_page", "write_page"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("nas.report.notebook" if name == "html" else "nas.report.page"), name)
    raise AttributeError(f"module 'nas.report' has no attribute {name!r}")
