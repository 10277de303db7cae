"""One self-contained HTML file for a search, an audit or a benchmark: no request leaves it, and it runs nothing but its own script.

Names that come from data (classes, files, sources) are escaped by the template engine; a content security policy that
allows only our script's hash makes whatever slipped through inert.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nas.files import write_text
from nas.records import AuditRecord, BenchmarkRecord, SearchRecord
from nas.report import formatting as fmt
from nas.report.audit_page import audit_context
from nas.report.benchmark_page import benchmark_context
from nas.report.search_page import search_context

AnyRecord = SearchRecord | AuditRecord | BenchmarkRecord
PAGE_NAME = "index.html"


def write_page(record: AnyRecord, directory: Path) -> Path:
    """Write the record's page as ``index.html`` into ``directory`` (which also holds the record's pictures); returns its path.

    Raises:
        ToolkitError: the file cannot be written.
    """
    path = Path(directory) / PAGE_NAME
    write_text(path, render_page(record, Path(directory)))
    return path


def render_page(record: AnyRecord, directory: Path) -> str:
    """The page as text; pictures are looked for in ``directory``."""
    if isinstance(record, SearchRecord):
        name, context = "search.html", search_context(record, directory)
    elif isinstance(record, AuditRecord):
        name, context = "audit.html", audit_context(record, directory)
    else:
        name, context = "benchmark.html", benchmark_context(record, directory)
    return _environment().get_template(name).render(record=record, **_assets(), **context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("nas.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalise,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "date": fmt.date,
        "clean": fmt.clean,
        "verdict_text": fmt.verdict_text,
        "answer_text": fmt.answer_text,
    }
    return environment


def _finalise(value: Any) -> Any:
    """Plain text loses control and direction-changing characters (lines and tabs stay); nothing prints as nothing."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(fmt.clean(line) for line in value.split("\n"))
    return value


@cache
def _assets() -> dict[str, Markup | str]:
    """Style and script of the page, and the script's hash for the content security policy."""
    folder = files("nas.report") / "templates"
    script = (folder / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "style": Markup((folder / "page.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": digest,
    }
