"""Reports: pages, tables in the terminal, CSV and LaTeX, the model card; reads records, runs nothing."""

from nas.report.notebook import html
from nas.report.page import PAGE_NAME, render_page, write_page

__all__ = ["PAGE_NAME", "html", "render_page", "write_page"]
