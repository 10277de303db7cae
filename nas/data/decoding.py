"""Listings to pixels: every row decoded once, in parallel, into the cache or into memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.data.arrays import stream
from nas.data.cache import (
    MASK_EMPTY,
    MASK_FITS,
    MASK_NONE,
    MASK_RESIZED,
    MASK_UNAVAILABLE,
    MASK_UNREADABLE,
    ROW_DTYPE,
    Decoded,
    Store,
    cheap_identity,
    content_identity,
)
from nas.data.decode import UnavailableError, UnreadableError, bombs_are_errors, grey_from_array, read_image, read_mask
from nas.data.duplicates import look, near_duplicates
from nas.data.listing import ArrayRow, Row
from nas.data.preprocessing import Preprocessing, Window

Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class Failure:
    """A row that could not be decoded; ``passing`` when the reason lies not in the file but in this machine."""

    file: str
    reason: str
    passing: bool


Result = tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[Any, ...]] | Failure  # pixels, packed mask, ``ROW_DTYPE`` record


def decode(rows: Sequence[Row], settings: Preprocessing, cache: Path | None, progress: Progress | None = None) -> Decoded:
    """All rows as pixels; from the cache where they are there, else decoded and (with ``cache``) kept.

    Kept and remembered is only what the files themselves decide, not what this machine cannot read.
    """
    if cache is None:
        return _in_memory(rows, settings, progress)
    store = Store(cache)
    cheap = cheap_identity(rows, settings)
    found = store.find(cheap)
    if found is not None:
        return found
    name = content_identity(rows, settings)
    found = store.open(name)
    if found is None:
        with store.building(settings.image_size) as writer:
            unreadable: list[tuple[str, str]] = []
            passing = False
            for result in _results(rows, settings, progress):
                passing |= _passing(result)
                if isinstance(result, Failure):
                    unreadable.append((result.file, result.reason))
                else:
                    writer.add(*result)
            if passing:
                return store.lend(writer, unreadable)
            found = store.keep(writer, name, unreadable)
    store.remember(cheap, name)
    return found


def _passing(result: Result) -> bool:
    """Whether this machine, not the files, is why an image or its mask could not be read."""
    return result.passing if isinstance(result, Failure) else result[2][3] == MASK_UNAVAILABLE


def _in_memory(rows: Sequence[Row], settings: Preprocessing, progress: Progress | None) -> Decoded:
    size = settings.image_size
    images = np.empty((len(rows), 1, size, size), dtype=np.uint8)
    masks = np.empty((len(rows), (size * size + 7) // 8), dtype=np.uint8)
    records: list[tuple[Any, ...]] = []
    unreadable: list[tuple[str, str]] = []
    for result in _results(rows, settings, progress):
        if isinstance(result, Failure):
            unreadable.append((result.file, result.reason))
        else:
            images[len(records), 0], masks[len(records)] = result[0], result[1]
            records.append(result[2])
    n = len(records)
    table = np.array(records, dtype=ROW_DTYPE)
    near = np.array(near_duplicates(images[:n], table["look"]), dtype=np.int64).reshape(-1, 2)
    return Decoded(images[:n], masks[:n], table, near, tuple(unreadable))


def _results(rows: Sequence[Row], settings: Preprocessing, progress: Progress | None) -> Iterator[Result]:
    with bombs_are_errors():
        for done, result in enumerate(_runs(rows, settings), start=1):
            yield result
            if progress is not None and (done % 50 == 0 or done == len(rows)):
                progress(done, len(rows))


def _runs(rows: Sequence[Row], settings: Preprocessing) -> Iterator[Result]:
    """Files through the thread pool, rows of array archives streamed; in the order of the listing."""

    def kind(pair: tuple[int, Row]) -> tuple[str, str]:
        image = pair[1].image
        return (str(image.archive), image.key) if isinstance(image, ArrayRow) else ("", "")

    for (archive, key), run in groupby(enumerate(rows), kind):
        if archive:
            yield from _arrays(Path(archive), key, list(run), settings)
        else:
            yield from _files(run, settings)


def _files(run: Iterator[tuple[int, Row]], settings: Preprocessing) -> Iterator[Result]:
    """Pillow decodes and resizes without the interpreter's lock; a bounded window keeps memory flat."""
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        window: deque[Future[Result]] = deque()
        for index, row in run:
            window.append(pool.submit(_file, index, row, settings))
            if len(window) > 4 * workers:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()


def _file(index: int, row: Row, settings: Preprocessing) -> Result:
    assert isinstance(row.image, Path)
    try:
        image, _ = read_image(row.image, invert=row.invert)
    except UnreadableError as error:
        return _failure(row, error)
    window = settings.window(image)
    state, mask = _mask(row, image.size, settings, window)
    return _result(index, image, settings, window, state, mask)


def _failure(row: Row, error: UnreadableError) -> Failure:
    return Failure(row.file or str(row.image), str(error), isinstance(error, UnavailableError))


def _mask(row: Row, size: tuple[int, int], settings: Preprocessing, window: Window) -> tuple[int, NDArray[np.bool_] | None]:
    if row.mask is None:
        return MASK_NONE, None
    try:
        image, other = read_mask(row.mask, size)
    except UnreadableError as error:
        return (MASK_UNAVAILABLE if isinstance(error, UnavailableError) else MASK_UNREADABLE), None
    mask = settings.mask(image, window)
    if not mask.any():
        return MASK_EMPTY, None
    return (MASK_RESIZED if other else MASK_FITS), mask


def _arrays(archive: Path, key: str, run: list[tuple[int, Row]], settings: Preprocessing) -> Iterator[Result]:
    wanted = [row.image.index for _, row in run if isinstance(row.image, ArrayRow)]
    for (index, row), values in zip(run, stream(archive, key, wanted), strict=True):
        try:
            image = grey_from_array(values)
            yield _result(index, image, settings, settings.window(image), MASK_NONE, None)
        except UnreadableError as error:
            yield _failure(row, error)


def _result(
    index: int, image: Image.Image, settings: Preprocessing, window: Window, state: int, mask: NDArray[np.bool_] | None
) -> Result:
    pixels = settings.pixels(image, window)
    full = np.zeros_like(pixels, dtype=np.bool_) if mask is None else mask
    digest = sha256(pixels.tobytes()).hexdigest()[:16].encode()
    return (
        pixels,
        np.packbits(full.reshape(-1)),
        (index, image.height, image.width, state, window.no_lungs, look(pixels), digest),
    )
