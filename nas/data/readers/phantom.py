"""``phantom`` or ``phantom:n=600,shortcut=marker@0.8``: the procedural radiographs, made on the spot."""

from __future__ import annotations

import inspect
from typing import Any

from nas.data.dataset import Dataset
from nas.data.listing import clean
from nas.data.readers.base import Reader, readers
from search_spaces.errors import InputError

MAX_IMAGES = 1_000_000


def generate(options: str, image_size: int) -> Dataset:
    """The phantom with ``key=value`` options of ``nas.data.phantom.phantom`` (numbers, names, ``a+b`` for several classes)."""
    from nas.data.phantom import phantom

    known = inspect.signature(phantom).parameters
    values: dict[str, Any] = {"image_size": image_size}
    for word in filter(None, (part.strip() for part in options.split(","))):
        key, equals, text = word.partition("=")
        if not equals and "@" in key and "shortcut" in values:
            values["shortcut"] += f",{key}"  # shortcut=marker@0.8,frame@0.5
            continue
        if key not in known or not equals:
            raise InputError(f"phantom option {clean(word)!r} is unknown; known: {', '.join(f'{name}=…' for name in known)}")
        values[key] = _value(key, text, known[key].default)
    if not 1 <= int(values.get("n", 1)) <= MAX_IMAGES:
        raise InputError(f"phantom n={values['n']} is out of range; choose 1 to {MAX_IMAGES} images")
    if values["image_size"] != image_size:
        raise InputError(
            f"phantom option image_size={values['image_size']} differs from the image size that is asked for, {image_size}; "
            "leave the option out and choose with --image-size"
        )
    return phantom(**values)


def _value(key: str, text: str, default: object) -> Any:
    if isinstance(default, int):
        if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 12:
            raise InputError(f"phantom option {key}={clean(text)!r} must be a whole number")
        return int(text)
    if isinstance(default, float):
        try:
            return float(text)
        except ValueError:
            raise InputError(f"phantom option {key}={clean(text)!r} must be a number") from None
    return tuple(text.split("+")) if isinstance(default, tuple) else text


readers.register("phantom")(
    Reader("phantom", "procedural chest X-rays with known lesions and planted shortcuts", generate=generate)
)
