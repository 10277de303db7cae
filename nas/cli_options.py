"""What the commands share: options, configuration files, durations, printing."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from search_spaces.errors import InputError

Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="Data SPEC: READER:PATH, a bare PATH, or phantom[:key=value,…]; repeat to join several."),
]
Classes = Annotated[
    str | None, typer.Option(help="Classes to keep, in order: covid,pneumonia,normal; merge with abnormal=covid+pneumonia.")
]
DataRoot = Annotated[Path | None, typer.Option(help="Refuse files of a data set that lie outside this folder.")]
Crop = Annotated[str | None, typer.Option(help="none, square, pad, covidnet, covidnet-sixth, top=SHARE or top=SHARE+square.")]
Seed = Annotated[int | None, typer.Option(help="Seed of every random stream (0).")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
Out = Annotated[Path | None, typer.Option(help="Directory to write to.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output; progress goes to standard error.")
]
Imports = Annotated[list[str] | None, typer.Option("--import", help="Python module with your own plug-ins; repeat for more.")]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """``"8h"``, ``"90m"``, ``"1h30m"``, ``"45s"`` → seconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise InputError(f"duration {text!r} must read like 8h, 90m, 1h30m or 45s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def text(path: Path | None) -> str | None:
    """A path as text; None stays None."""
    return None if path is None else str(path)


def names(text: str | None) -> tuple[str, ...] | None:
    """A comma-separated list; None stays None."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def read_config(path: Path) -> dict[str, Any]:
    """A TOML configuration as plain values; its keys are those of the search's settings and of its command line."""
    try:
        if path.stat().st_size > 2**20:
            raise InputError(f"{path} has {path.stat().st_size} bytes; a configuration is at most 1 MiB")
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML ({error}); mend it") from error
    for key in ("data", "require", "imports"):
        if isinstance(values.get(key), str):
            values[key] = [values[key]]
    if isinstance(values.get("classes"), str):
        values["classes"] = names(values["classes"])
    if isinstance(values.get("time"), str):
        values["time"] = parse_duration(values["time"])
    return values


def merge(config: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    """The command line over the configuration file; what neither names is left to the preset."""
    return {**config, **{key: value for key, value in line.items() if value is not None and value != ()}}


def emit(record: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print a record as one JSON document, or show it to a person."""
    if as_json:
        print(record.to_json())
    else:
        show()


def command() -> str:
    """The command as it was typed, for the record; values of --storage may hold a password and are blanked."""
    from nas.engine.storage import redact

    return " ".join(["nas", *(redact(word) if "://" in word else word for word in sys.argv[1:])])
