"""The command ``nas``: parse, call, print. Everything that loads torch is imported inside a command."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from nas import cli_jobs, cli_tools
from search_spaces.errors import ToolkitError

# Idle OpenMP threads sleep instead of spinning: on a machine that does anything else, spinning makes small networks many times
# slower. Read when torch is loaded, hence here; whoever has set it keeps their choice.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

INTERRUPTED = 130
_RESUME = "everything finished so far is saved: go on with the same command"  # and the options that it lacks
_AGAIN = "no result is saved: give the same command again"
_AFTER = {"search": _RESUME, "benchmark": _RESUME, "worker": "its trial goes back to the study: the same command joins again"}
_SELF_TEST = {
    True: "the models audited so far are saved: go on with the same command",
    False: "no result is saved: with --out DIR, a self-test can be stopped and goes on by the same command",
}

app = typer.Typer(
    name="nas",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for job in (cli_jobs.search, cli_jobs.audit, cli_jobs.benchmark):
    app.command()(job)
for tool in (cli_tools.generate, cli_tools.predict, cli_tools.cost, cli_tools.export, cli_tools.report, cli_tools.worker):
    app.command()(tool)
app.command("list")(cli_tools.list_)


def _version(wanted: bool) -> None:
    if wanted:
        from nas.versions import toolkit_version

        print(f"pepx-nas {toolkit_version()}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Search, audit and benchmark chest X-ray classifiers. Research software, not a medical device."""


data_app = typer.Typer(help="Look at data, or make phantom data.", no_args_is_help=True)
data_app.command("inspect")(cli_tools.inspect)
data_app.command("phantom")(cli_tools.write_phantom)
app.add_typer(data_app, name="data")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command; errors end it with one line and their exit code. Whoever calls this in their own process keeps their handler."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        _run()
    finally:
        signal.signal(signal.SIGTERM, before)


def _run() -> NoReturn:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # a file name that is no UTF-8 is printed as the bytes that it is
    try:
        code = app(standalone_mode=False)
    except ToolkitError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if _is_usage_error(error):
            if message := error.format_message():  # type: ignore[attr-defined]  # empty: help was asked for by saying nothing
                print(f"error: {message}", file=sys.stderr)
            sys.exit(2)
        raise
    if code == INTERRUPTED:  # typer turns the interrupt of a running command into this code
        print(f"interrupted; {_how_to_go_on(sys.argv[1:])}", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _how_to_go_on(words: list[str]) -> str:
    """What an interruption of this command line leaves behind."""
    given = {word.partition("=")[0] for word in words}
    if "--self-test" in given:
        return _SELF_TEST["--out" in given]
    after = _AFTER.get(next(iter(words), ""), _AGAIN)
    lacking = [text for text in ("--resume", "--out DIR") if text.split()[0] not in given]
    return f"{after} and {' '.join(lacking)}" if after is _RESUME and lacking else after


def _is_usage_error(error: Exception) -> bool:
    """Whether the command line itself was wrong (typer's vendored or installed click raises these)."""
    return any(kind.__name__ in ("UsageError", "ClickException") for kind in type(error).__mro__)
