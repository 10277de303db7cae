"""The command ``nas``: parse, call, print. Everything that loads torch is imported inside a command."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nas.cli_options import merge, names, parse_duration, read_config
from search_spaces.errors import InputError, ToolkitError

app = typer.Typer(
    name="nas",
    help="Search, audit and benchmark chest X-ray classifiers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Look at data, or make phantom data.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="Data SPEC: READER:PATH, a bare PATH, or phantom[:key=value,…]; repeat to join several."),
]
Classes = Annotated[
    str | None, typer.Option(help="Classes to keep, in order: covid,pneumonia,normal; merge with abnormal=covid+pneumonia.")
]
DataRoot = Annotated[Path | None, typer.Option(help="Refuse files of a data set that lie outside this folder.")]
Seed = Annotated[int | None, typer.Option(help="Seed of every random stream (0).")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
Out = Annotated[Path | None, typer.Option(help="Directory to write to.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output; progress goes to standard error.")
]

EXIT = {"pass": 0, "fail": 3, "undecided": 4}


@app.command()
def search(
    config: Annotated[Path | None, typer.Argument(help="TOML file with any of these options as keys.")] = None,
    data: Data = None,
    classes: Classes = None,
    data_root: DataRoot = None,
    crop: Annotated[str | None, typer.Option(help="none, top (COVID-Net's top crop) or square.")] = None,
    space: Annotated[str | None, typer.Option(help="Search space; see: nas list spaces.")] = None,
    prototype: Annotated[
        str | None, typer.Option(help="Start from a published design by name, or from an architecture's JSON file.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="40M, or flops=50M,params=2M,memory=64MiB.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Pixels a side.")] = None,
    trials: Annotated[int | None, typer.Option(help="Distinct candidates to train.")] = None,
    time: Annotated[str | None, typer.Option(help="Start no further trial after this time, for example 8h.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of a trial.")] = None,
    sampler: Annotated[str | None, typer.Option(help="generator, tpe, gp, nsga2, evolution or random.")] = None,
    objective: Annotated[str | None, typer.Option(help="log_loss, auroc or balanced_accuracy.")] = None,
    require: Annotated[
        list[str] | None, typer.Option(help="Requirement, for example 'sensitivity[covid]>=0.8'; repeat for more.")
    ] = None,
    finalists: Annotated[int | None, typer.Option(help="Members of the front to retrain and audit.")] = None,
    final_seeds: Annotated[int | None, typer.Option(help="Seeds each finalist is retrained with.")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Print where the time went, phase by phase.")] = False,
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage URL; default: a journal file in the run directory.")
    ] = None,
    study: Annotated[str, typer.Option(help="Name of the study.")] = "search",
    workers: Annotated[int | None, typer.Option(help="Worker processes on this machine.")] = None,
    engine: Annotated[str, typer.Option(help="local or ray.")] = "local",
    device: Device = None,
    imports: Annotated[
        list[str] | None, typer.Option("--import", help="Python module with your own plug-ins; repeat for more.")
    ] = None,
    seed: Seed = None,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the search in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Search for a small network; without options: the phantom preset."""
    from nas.jobs.search import search as run
    from nas.report.live import make_progress
    from nas.report.terminal import print_search

    line = {
        "data": tuple(data or ()), "classes": names(classes), "data_root": data_root and str(data_root), "crop": crop, "space": space,
        "prototype": prototype and _prototype(prototype, space), "budget": budget, "image_size": image_size, "trials": trials,
        "time": time and parse_duration(time), "epochs": epochs, "sampler": sampler, "objective": objective,
        "require": tuple(require or ()), "finalists": finalists, "final_seeds": final_seeds, "workers": workers,
        "device": device, "imports": tuple(imports or ()), "seed": seed,
    }  # fmt: skip
    values = merge(read_config(config) if config else {}, line)
    for name in ("out", "storage", "study", "engine"):
        if name in values:
            raise InputError(f"{name} belongs on the command line (--{name}), not in {config}")
    if not values.get("data") and not resume:
        print("no --data: searching on the built-in phantom; your own images: nas search --data folder:PATH", file=sys.stderr)
    with make_progress(quiet=False) as progress:
        record = run(
            out=out, resume=resume, storage=storage, study=study, engine=engine, progress=progress, command=_command(), **values
        )  # fmt: skip
    _emit(record, as_json, lambda: print_search(record, profile=profile))


@app.command()
def audit(
    model: Annotated[
        str | None,
        typer.Argument(help="A run or candidate directory, a baseline's directory, a .onnx file, or package.module:factory."),
    ] = None,
    data: Data = None,
    classes: Classes = None,
    data_root: DataRoot = None,
    level: Annotated[str, typer.Option(help="full or screen.")] = "full",
    model_spec: Annotated[
        Path | None, typer.Option(help="What a foreign model expects (TOML: classes, image_size, channels, mean, std).")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights for package.module:factory (.safetensors).")] = None,
    seed: Seed = None,
    device: Device = None,
    out: Out = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever the verdict.")] = False,
    as_json: Json = False,
) -> None:
    """Cross-examine a model. Exit code 0: pass, 3: fail, 4: undecided."""
    from nas.jobs.audit import audit as run
    from nas.report.terminal import print_audit

    if model is None:
        raise InputError("nothing to audit; name a run, a candidate's directory, a .onnx file or package.module:factory")
    if level not in ("full", "screen"):
        raise InputError(f"--level must be full or screen, but got {level!r}")
    record = run(
        model, data or None, classes=names(classes), level=_level(level), model_spec=model_spec, weights=weights, data_root=data_root and str(data_root),
        seed=seed or 0, device=device or "auto", out=out or _beside(model), command=_command(),
    )  # fmt: skip
    _emit(record, as_json, lambda: print_audit(record))
    if not exit_zero:
        raise typer.Exit(EXIT[record.verdict])


def _level(text: str) -> Literal["screen", "full"]:
    return "screen" if text == "screen" else "full"


def _beside(model: str) -> Path:
    """Where an audit goes by default: into the run or candidate it is about, else into ``audits/``."""
    path = Path(model)
    return path / "audit" if path.is_dir() else Path("audits") / (path.stem.replace(":", "-") or "model")


@app.command()
def benchmark(
    models: Annotated[list[str] | None, typer.Argument(help="Run or candidate directories; they are trained anew, like the baselines.")] = None,
    data: Data = None,
    classes: Classes = None,
    data_root: DataRoot = None,
    crop: Annotated[str | None, typer.Option(help="none, square, pad, covidnet, top=SHARE.")] = None,
    baselines: Annotated[str | None, typer.Option(help="all, or names from: nas list baselines.")] = None,
    folds: Annotated[int | None, typer.Option(help="Folds inside the non-test part (5).")] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings of each model on each fold (1).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs; default: the recipe's own, with early stopping.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Pixels a side.")] = None,
    recipe: Annotated[str | None, typer.Option(help="shared: one for all; paper: each its own.")] = None,
    pretrained: Annotated[str | None, typer.Option(help="none, shared, imagenet or imagenet:WEIGHTS_FOLDER.")] = None,
    audit_level: Annotated[str | None, typer.Option("--audit", help="none, screen or full.")] = None,
    leave_one_source_out: Annotated[bool, typer.Option("--leave-one-source-out", help="Also train without each source and test on it.")] = False,
    survey: Annotated[bool, typer.Option("--survey", help="Print the survey's tables and questions with our measurements beside them.")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes.")] = None,
    device: Device = None,
    imports: Annotated[list[str] | None, typer.Option("--import", help="Python module with your own plug-ins; repeat for more.")] = None,
    seed: Seed = None,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the benchmark in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Train candidates and published systems alike, and compare them."""
    from nas.engine.context import import_plugins
    from nas.jobs.benchmark import benchmark as run
    from nas.report.live import make_progress
    from nas.report.terminal import print_benchmark

    line = {
        "classes": names(classes), "data_root": data_root and str(data_root), "crop": crop, "folds": folds, "seeds": seeds,
        "epochs": epochs, "image_size": image_size, "recipe": recipe, "pretraining": pretrained, "audit": audit_level,
        "leave_one_source_out": leave_one_source_out or None, "survey": survey or None, "workers": workers, "device": device,
        "imports": tuple(imports or ()), "seed": seed,
    }  # fmt: skip
    import_plugins(tuple(imports or ()))
    with make_progress(quiet=False) as progress:
        record = run(
            models or (), data or None, baselines=baselines, out=out, resume=resume, progress=progress, command=_command(),
            **merge({}, line),
        )  # fmt: skip
    _emit(record, as_json, lambda: print_benchmark(record))


@app.command()
def generate(
    run: Annotated[Path, typer.Argument(help="Run directory of a search by the generator.")],
    n: Annotated[int, typer.Option("--n", help="How many architectures.")] = 10,
    budget: Annotated[str | None, typer.Option(help="Another budget than the search's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for one KEY.json each.")] = None,
    as_json: Json = False,
) -> None:
    """More architectures from what a search's generator has learnt."""
    from nas.jobs.generate import generate as run_job

    rows = run_job(run, n=n, budget=budget, out=out)
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['key']}  {row['flops'] / 1e6:8.2f} MFLOPs  {row['parameters'] / 1e6:7.3f} M parameters")


@app.command()
def cost(
    name: Annotated[
        str, typer.Argument(help="ARCHITECTURE.json, a baseline, a published design, a space, or package.module:factory.")
    ],
    image_size: Annotated[int | None, typer.Option(help="Pixels a side; default: the design's own paper size.")] = None,
    channels: Annotated[int | None, typer.Option(help="Input channels of a factory's module (1).")] = None,
    classes: Annotated[int | None, typer.Option(help="Classes of a baseline or a space.")] = None,
    as_json: Json = False,
) -> None:
    """Parameters, FLOPs and memory, per layer and in total."""
    from nas.jobs.cost import cost as run

    table = run(name, image_size=image_size, in_channels=channels, classes=classes)
    if as_json:
        print(json.dumps(table, indent=1))
        return
    from nas.report.terminal import print_cost

    print_cost(table)


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="Directory of a search, an audit or a benchmark.")],
    verify: Annotated[bool, typer.Option("--verify", help="Check every file against its checksum instead.")] = False,
) -> None:
    """Write a page anew, or check every file."""
    from nas.jobs import report as job

    if not verify:
        print(f"page: {job.rewrite(directory)}")
        return
    damaged = job.verify(directory)
    for line in damaged:
        print(f"damaged: {line}")
    if damaged:
        raise ToolkitError(
            f"{len(damaged)} files of {directory} are damaged or missing; restore them, or delete their folders and --resume"
        )
    print(f"every recorded file of {directory} is whole")


@app.command()
def worker(
    storage: Annotated[str, typer.Option(help="The search's storage URL.")],
    study: Annotated[str, typer.Option(help="The search's study.")] = "search",
    out: Annotated[
        Path | None, typer.Option(help="The run directory as this machine sees it; default: where the search said it is.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Join a running search from any machine that reaches its storage and its run directory; stop it at will."""
    from nas.jobs.worker import worker as run
    from nas.report.live import make_progress

    with make_progress(quiet=quiet) as progress:
        done = run(storage, study, directory=out, progress=progress)
    print(f"ran {done} trials; the search has what it wants, or no time is left", file=sys.stderr)


@data_app.command()
def inspect(
    spec: Annotated[list[str], typer.Argument(help="One or several data SPECs.")],
    classes: Classes = None,
    data_root: DataRoot = None,
    image_size: Annotated[int, typer.Option(help="Pixels a side.")] = 96,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Count, check and warn: classes, sources, masks, confounding, duplicates; with --out also a contact sheet."""
    from nas.jobs.inspect import inspect as run
    from nas.report.terminal import print_data

    summary = run(spec, classes=names(classes), image_size=image_size, root=data_root and str(data_root), out=out)
    _emit(summary, as_json, lambda: print_data(summary))


@data_app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="Folder to write images, masks and metadata.csv to.")],
    n: Annotated[int, typer.Option(help="Images.")] = 600,
    image_size: Annotated[int, typer.Option(help="Pixels a side.")] = 128,
    shortcut: Annotated[str | None, typer.Option(help="A planted shortcut, for example marker@0.8.")] = None,
    seed: Seed = None,
) -> None:
    """Write phantom chest X-rays as PNG files with a table, to try the toolkit with."""
    from nas.jobs.inspect import write_phantom

    path = write_phantom(out, n=n, image_size=image_size, shortcut=shortcut, seed=seed or 0)
    print(f"wrote {n} images; use them with: nas search --data table:{path}")


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="spaces, baselines, samplers, readers or audits.")], as_json: Json = False
) -> None:
    """List what is installed of one kind, plug-ins included."""
    from nas.jobs.listing import listing

    rows = listing(kind)
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['name']:<22}{row['description']}")


def _prototype(name: str, space: str | None) -> dict[str, Any]:
    from nas.jobs.listing import prototype

    return prototype(name, space)


def _emit(record: Any, as_json: bool, show: Callable[[], None]) -> None:
    if as_json:
        print(record.to_json())
    else:
        show()


def _command() -> str:
    """The command as it was typed, for the record; values of --storage may hold a password and are blanked."""
    from nas.engine.storage import redact

    return " ".join(["nas", *(redact(word) if "://" in word else word for word in sys.argv[1:])])


def main() -> None:
    """Run the command; errors end it with one line and their exit code."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        code = app(standalone_mode=False)
    except ToolkitError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print(
            "interrupted; everything finished so far is saved: run the same command again with --resume --out DIR",
            file=sys.stderr,
        )
        sys.exit(130)
    except Exception as error:
        if _is_usage_error(error):
            print(f"error: {error.format_message()}", file=sys.stderr)  # type: ignore[attr-defined]
            sys.exit(2)
        raise
    sys.exit(code if isinstance(code, int) else 0)


def _is_usage_error(error: Exception) -> bool:
    """Whether the command line itself was wrong (typer's vendored or installed click raises these)."""
    return any(kind.__name__ in ("UsageError", "ClickException") for kind in type(error).__mro__)
