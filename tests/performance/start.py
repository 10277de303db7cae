"""How soon a search trains, and how much memory it takes: on a data set of files, decoded once before.

    python -m tests.performance.start --images 5000 --image-size 96
    python -m tests.performance.start --images 30000 --image-size 224 --work FOLDER

Makes so many JPEG files with lung masks, starts ``nas search`` on them twice and interrupts it once the first trial has trained for some
seconds: the first start decodes, the second reads the cache. For each it prints the seconds until the first trial starts, and the
largest proportional and resident sizes of all its processes together, beside the images as uint8 and the masks as bits.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

MIB = 2**20


def make(folder: Path, images: int, size: int) -> Path:
    """Smooth noise of three classes, each image with two ellipses for lungs; a table that names them."""
    table = folder / f"{images}-{size}.csv"
    if table.exists():
        return table
    rng = np.random.default_rng(0)
    place = folder / f"{images}-{size}"
    place.mkdir(parents=True)
    mask = Image.new("1", (size, size))
    for left in (0.15, 0.55):
        ImageDraw.Draw(mask).ellipse((left * size, 0.2 * size, (left + 0.3) * size, 0.8 * size), fill=1)
    mask.save(place / "mask.png")
    rows = []
    for number in range(images):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8))
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(place / f"{number}.jpg", quality=80)
        rows.append({"file": f"{place.name}/{number}.jpg", "label": "abc"[number % 3], "mask": f"{place.name}/mask.png"})
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return table


def measured(table: Path, out: Path, cache: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """One start: seconds until the first trial starts, and memory while it trains."""
    command = [
        sys.executable, "-m", "nas", "search", "--data", f"table:{table}", "--image-size", str(asked.image_size),
        "--budget", asked.budget, "--trials", "1", "--out", str(out),
    ]  # fmt: skip
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment, start_new_session=True
    )
    assert process.stderr is not None
    seen: list[str] = []
    for line in process.stderr:
        seen.append(line)
        if "trial 0 starts" in line:
            break
    else:
        raise SystemExit(f"the search ended before its first trial:\n{''.join(seen[-5:])}")
    seconds, pss, rss = time.perf_counter() - started, 0, 0
    until = time.monotonic() + asked.train_seconds
    while time.monotonic() < until:
        sizes = [_sizes(pid) for pid in _family(process.pid)]
        pss, rss = max(pss, sum(size[0] for size in sizes)), max(rss, *(size[1] for size in sizes))
        time.sleep(0.2)
    for pid in _family(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    return {
        "seconds to the first trial": round(seconds, 2),
        "processes' PSS, MiB": round(pss / MIB),
        "largest process's peak RSS, MiB": round(rss / MIB),
    }


def _family(first: int) -> list[int]:
    """A process and its descendants; workers have sessions of their own."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [first]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _sizes(pid: int) -> tuple[int, int]:
    """Proportional size and peak resident size, bytes; 0 for a process that has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    pss = next((int(line.split()[1]) for line in rollup if line.startswith("Pss:")), 0)
    peak = next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)
    return 1024 * pss, 1024 * peak


def main() -> None:
    """Make the files, start twice, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--budget", default="8M")
    parser.add_argument("--train-seconds", type=float, default=20)
    parser.add_argument("--work", type=Path, help="where files are made and kept; by default a temporary folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        table = make(folder, asked.images, asked.image_size)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            runs = [measured(table, Path(place) / f"run{k}", Path(place) / "cache", asked) for k in range(2)]
    pixels = asked.images * asked.image_size**2
    found = {
        "images, MiB": round(pixels / MIB),
        "masks, MiB": round(pixels / 8 / MIB),
        "first start": runs[0],
        "cached start": runs[1],
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
