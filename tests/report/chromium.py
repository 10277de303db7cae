"""Headless Chromium for the checks of pages: scripts, not tests, since a browser is no dependency of ours."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic", "--enable-logging=stderr", "--v=0",
)  # fmt: skip


def dump(url: str, *, milliseconds: int = 4000) -> tuple[str, list[str]]:
    """The page's DOM after its scripts ran, and what it said on the console."""
    browser = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if browser is None:
        raise SystemExit("no Chromium on the path; install it (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as profile:
        ran = subprocess.run(
            [browser, *FLAGS, f"--user-data-dir={profile}", f"--virtual-time-budget={milliseconds}", "--dump-dom", url],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    return ran.stdout, [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


def probe(page: Path, widths: tuple[int, ...]) -> Path:
    """A page beside ``page`` that opens it in frames of the given widths and writes down how wide each became."""
    frames = "".join(
        f'<iframe id="w{width}" src="{page.name}" style="width:{width}px;height:800px"></iframe>' for width in widths
    )
    script = (
        "onload=()=>{for(const f of document.querySelectorAll('iframe')){const d=f.contentDocument.documentElement;"
        "const o=document.createElement('p');o.textContent='RESULT '+f.id+' '+d.scrollWidth+' '+f.contentWindow.innerWidth;document.body.append(o)}}"
    )
    path = page.with_name(f"probe-{page.stem}.html")
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{frames}<script>{script}</script>", encoding="utf-8")
    return path
