"""What the commands share: options, configuration files, durations, printing."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.files import read_toml
from search_spaces.errors import InputError

DATA, FINALISTS, MACHINE, OUTPUT = "The images", "The finalists", "Where it runs", "What it writes"  # headings in --help


def option(help: str, panel: str, *flags: str, least: int | None = None) -> Any:
    """An option under one of the headings of ``--help``; ``flags`` where its name is not the parameter's."""
    return typer.Option(*flags, help=help, rich_help_panel=panel, min=least)


Data = Annotated[
    list[str] | None,
    option("Data SPEC: READER:PATH, a bare PATH, or phantom[:key=value,…]; repeat to join several.", DATA, "--data"),
]
Classes = Annotated[
    str | None, option("Classes to keep, in order: covid,pneumonia,normal; merge with abnormal=covid+pneumonia.", DATA)
]
DataRoot = Annotated[Path | None, option("Refuse files of a data set that lie outside this folder.", DATA)]
Crop = Annotated[
    str | None,
    option("none, square, pad, lungs, covidnet, covidnet-sixth, top=SHARE, or several by +, as top=SHARE+lungs+pad.", DATA),
]
Splits = Annotated[str | None, option("keep the parts that the data bring, or deal all images fresh (keep).", DATA)]
ModelSpec = Annotated[
    Path | None,
    option("What a foreign model expects (TOML: classes, image_size, crop, channels, mean, std).", "A foreign model"),
]
Weights = Annotated[Path | None, option("Weights for package.module:factory (.safetensors).", "A foreign model")]
Workers = Annotated[int | None, option("Worker processes on this machine (1).", MACHINE)]
Device = Annotated[str | None, option("auto, cpu or cuda (auto).", MACHINE)]
Imports = Annotated[list[str] | None, option("Python module with your own plug-ins; repeat for more.", MACHINE, "--import")]
Seed = Annotated[int | None, option("Seed of every random stream, 0 or more (0).", MACHINE, least=0)]
Out = Annotated[Path | None, option("Directory to write to.", OUTPUT)]
Resume = Annotated[bool, option("Go on with what --out holds.", OUTPUT, "--resume")]
Quiet = Annotated[bool, option("No progress, for batch systems.", OUTPUT, "--quiet")]
Log = Annotated[Path | None, option("Also append progress to this file, a line an event.", OUTPUT, "--log")]
Json = Annotated[bool, option("Print one JSON document on standard output; progress goes to standard error.", OUTPUT, "--json")]

LINE_ONLY = ("out", "resume", "storage", "study", "engine", "profile", "quiet", "log", "json")  # no settings of a search

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
    """A comma-separated list; None stays None, and an empty one raises ``InputError``: it would be ignored."""
    found = None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
    if found == ():
        raise InputError(f"classes {text!r} name none; name them as covid,pneumonia,normal, or leave the option out for all")
    return found


def read_config(path: Path) -> dict[str, Any]:
    """A TOML configuration as plain values; its keys are a search's settings and its options, with ``-`` or ``_``.

    Raises:
        InputError: a key that is unknown, belongs on the command line, or stands there twice.
    """
    from nas.engine.settings import SearchSettings

    values: dict[str, Any] = {}
    for key, value in read_toml(path).items():
        name = "imports" if key == "import" else key.replace("-", "_")
        if name in LINE_ONLY:
            raise InputError(f"{key} belongs on the command line (--{key}), not in {path}")
        if name not in SearchSettings.model_fields:
            raise InputError(f"unknown setting {key!r} in {path}; known: {', '.join(SearchSettings.model_fields)}")
        if name in values:
            raise InputError(f"{path} has {name!r} twice, the second time as {key!r}; leave one of them")
        values[name] = value
    if isinstance(values.get("time"), str):
        values["time"] = parse_duration(values["time"])
    return values


def merge(config: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    """The command line over the configuration file; what neither names is left to the preset."""
    return {**config, **{key: value for key, value in line.items() if value is not None and value != ()}}


def refuse(given: dict[str, Any], why: str) -> None:
    """Raise ``InputError`` where one of these options was given."""
    names = [name for name, value in given.items() if value]
    if names:
        raise InputError(f"{', '.join(names)} would be ignored: {why}")


def emit(record: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print a record as one JSON document, or show it to a person."""
    if as_json:
        print(record.to_json())
    else:
        show()


def say(facts: Any, as_json: bool, *lines: str) -> None:
    """Print facts as one JSON document, or the lines that say the same to a person."""
    print(json.dumps(facts, indent=1) if as_json else "\n".join(lines))


def load(imports: list[str] | None) -> None:
    """Import the user's plug-in modules, so that their names are known."""
    if imports:
        from nas.engine.context import import_plugins

        import_plugins(tuple(imports))


def command() -> str:
    """The command, ready to be pasted into a shell, for the record; values of --storage may hold a password and are blanked."""
    from nas.engine.storage import redact

    return shlex.join(["nas", *(redact(word) if "://" in word else word for word in sys.argv[1:])])
