"""Open pages in headless Chromium at several widths: nothing may overflow, nothing may appear on the console.

python tests/report/browser_check.py [PAGE.html …]          without pages: the synthetic ones of the tests
"""

from __future__ import annotations

import functools
import http.server
import re
import sys
import tempfile
import threading
from pathlib import Path

from chromium import dump, probe
from report_factories import audit_record, benchmark_record, search_record, write_pictures

from nas.report import write_page

WIDTHS = (320, 390, 768, 1280)


def synthetic(folder: Path) -> list[Path]:
    """One page of each kind."""
    pages = []
    for record in (search_record(), audit_record(), benchmark_record()):
        write_pictures(folder / record.kind)
        pages.append(write_page(record, folder / record.kind))
    return pages


def check(page: Path) -> list[str]:
    """What is wrong with a page, in sentences."""
    handler = functools.partial(Quiet, directory=str(page.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        file = probe(page, WIDTHS)
        try:
            dom, console = dump(f"http://127.0.0.1:{server.server_port}/{file.name}")
        finally:
            file.unlink()
            server.shutdown()
    found = re.findall(r"RESULT w(\d+) (\d+) (\d+)", dom)
    problems = [f"console: {line}" for line in console]
    if len(found) != len(WIDTHS):
        problems.append(f"measured at {len(found)} of {len(WIDTHS)} widths")
    problems += [f"at {width} px it is {wide} px wide" for width, wide, inner in found if int(wide) > int(inner)]
    problems += [f"asked for {path}" for path in Quiet.asked - {f"/{page.name}", f"/{file.name}", "/favicon.ico"}]
    Quiet.asked.clear()
    return problems


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and remembers what was asked for."""

    asked: set[str] = set()  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.add(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Check and exit with 1 if anything is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        pages = [Path(name).resolve() for name in sys.argv[1:]] or synthetic(Path(folder))
        wrong = {page: check(page) for page in pages}
    for page, problems in wrong.items():
        print(
            page.parent.name,
            page.name,
            "; ".join(problems) or f"fits {', '.join(map(str, WIDTHS))} px, console silent, nothing fetched",
        )
    sys.exit(any(wrong.values()))


if __name__ == "__main__":
    main()
