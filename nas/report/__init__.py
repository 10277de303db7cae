"""Reports: pages, tables in the terminal, CSV and LaTeX, the model card; reads records, runs nothing."""

from nas.report import notebook as _notebook  # lets records show themselves
from nas.report.page import PAGE_NAME, render_page, write_page

__all__ = ["PAGE_NAME", "render_page", "write_page"]
