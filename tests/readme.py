"""Runs the README's code blocks, so that it cannot drift: ``python -m tests.readme [--only tests|examples]``.

Blocks of ``bash`` and ``python`` run in order in one scratch directory; a block whose fence says ``no-run`` (it needs a cluster or
someone's own data) is only checked for syntax. The block that runs pytest is the README's test command and runs in the checkout.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block; ``file`` is where a ``python file=NAME`` block is to be saved."""

    language: str
    run: bool
    file: str | None
    text: str

    @property
    def is_test_command(self) -> bool:
        return self.language == "bash" and "pytest" in self.text


def blocks(readme: Path) -> list[Block]:
    """The README's bash, python and toml blocks, in order."""
    found = []
    for language, flags, text in _FENCE.findall(readme.read_text(encoding="utf-8")):
        if language in ("bash", "python", "toml"):
            file = re.search(r"file=(\S+)", flags)
            found.append(Block(language, "no-run" not in flags, file.group(1) if file else None, text))
    return found


def check_syntax(block: Block) -> None:
    """Raise where the block is not valid in its language."""
    if block.language == "python":
        compile(block.text, "README.md", "exec")
    elif block.language == "bash":
        subprocess.run(["bash", "-n", "-c", block.text], check=True)


def execute(block: Block, directory: Path) -> None:
    """Run a block; installing is left out (the environment has the checkout installed already)."""
    if block.file is not None:
        (directory / block.file).write_text(block.text, encoding="utf-8")
        if block.language == "python":
            compile(block.text, block.file, "exec")
        return
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}  # as a user would: none is set
    if block.language == "python":
        subprocess.run([sys.executable, "-c", block.text], cwd=directory, env=environment, check=True)
    elif block.language == "bash":
        text = re.sub(r"pip install [^&\n]*(&&)?", "", block.text).strip()
        where = ROOT if block.is_test_command else directory
        if text:
            subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=where, env=environment, check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=["tests", "examples"])
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as scratch:
        for block in blocks(ROOT / "README.md"):
            check_syntax(block)
            if not block.run or ((only == "tests") != block.is_test_command and only is not None):
                continue
            title = block.file or block.text.strip().splitlines()[0]
            print(f"--- README: {title}", flush=True)
            started = time.monotonic()
            execute(block, Path(scratch))
            print(f"--- {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
