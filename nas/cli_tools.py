"""The other commands: what surrounds the three jobs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from nas.cli_options import (
    Classes,
    Crop,
    DataRoot,
    Device,
    Imports,
    Json,
    Log,
    ModelSpec,
    Out,
    Quiet,
    Seed,
    Splits,
    Weights,
    emit,
    load,
    names,
    refuse,
    say,
    text,
)
from search_spaces.errors import InputError, ToolkitError


def generate(
    run: Annotated[Path, typer.Argument(help="Run directory of a search by the generator.")],
    n: Annotated[int, typer.Option("--n", help="How many architectures.")] = 10,
    budget: Annotated[str | None, typer.Option(help="Another budget than the search's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for one KEY.json each.")] = None,
    as_json: Json = False,
) -> None:
    """More architectures from what a search's generator has learnt."""
    from nas.jobs.generate import generate as run_job
    from nas.report import formatting as fmt

    rows = run_job(run, n=n, budget=budget, out=out)
    lines = (f"{row['key']}  {fmt.flops(row['flops']):>11}  {fmt.si(row['parameters']):>6} parameters" for row in rows)
    say(rows, as_json, *lines)


def cost(
    name: Annotated[
        str, typer.Argument(help="ARCHITECTURE.json, a baseline, a published design, a space, or package.module:factory.")
    ],
    image_size: Annotated[int | None, typer.Option(help="Pixels a side; default: the design's own paper size.")] = None,
    channels: Annotated[int | None, typer.Option(help="Input channels of a factory's module (1).")] = None,
    classes: Annotated[int | None, typer.Option(help="Classes of a baseline or a space.")] = None,
    latency: Annotated[bool, typer.Option("--latency", help="Also build it and measure milliseconds for one image.")] = False,
    device: Annotated[str | None, typer.Option(help="Where to measure: auto, cpu or cuda (cpu).")] = None,
    imports: Imports = None,
    as_json: Json = False,
) -> None:
    """Parameters, FLOPs and memory, per layer and in total."""
    from nas.jobs.cost import cost as run

    refuse({"--device": not latency and device}, "it says where --latency is measured; add that")
    load(imports)
    table = run(name, image_size=image_size, in_channels=channels, classes=classes, latency=latency, device=device or "cpu")
    if as_json:
        print(json.dumps(table, indent=1))
        return
    from nas.report.cost import print_cost

    print_cost(table)


def report(
    directory: Annotated[Path, typer.Argument(help="Directory of a search, an audit or a benchmark.")],
    verify: Annotated[bool, typer.Option("--verify", help="Check every file against its checksum instead.")] = False,
    as_json: Json = False,
) -> None:
    """Write a page anew, or check every file."""
    from nas.jobs import report as job

    if not verify:
        page = job.rewrite(directory)
        say({"page": str(page)}, as_json, f"page: {page}")
        return
    damaged = job.verify(directory)
    lines = [f"damaged: {line}" for line in damaged] or [f"every recorded file of {directory} is whole"]
    say({"directory": str(directory), "damaged": damaged}, as_json, *lines)
    if damaged:
        raise ToolkitError(
            f"{len(damaged)} files of {directory} are damaged or missing; restore them, or delete their folders and --resume"
        )


def worker(
    storage: Annotated[str, typer.Option(help="The search's storage URL.")],
    study: Annotated[str, typer.Option(help="The search's study.")] = "search",
    out: Annotated[
        Path | None, typer.Option(help="The run directory as this machine sees it; default: where the search said it is.")
    ] = None,
    quiet: Quiet = False,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Join a running search from any machine that reaches its storage and its run directory; stop it at will."""
    from nas.jobs.worker import worker as run
    from nas.report.live import make_progress

    with make_progress(quiet=quiet, log=log) as progress:
        done = run(storage, study, directory=out, progress=progress, dedicated=True)
    say({"trials": done}, as_json, f"ran {done} trials; the search has what it wants, or no time is left")


def list_(
    kind: Annotated[str, typer.Argument(help="spaces, baselines, samplers, readers or audits.")],
    imports: Imports = None,
    as_json: Json = False,
) -> None:
    """List what is installed of one kind, plug-ins included."""
    from nas.jobs.listing import listing

    load(imports)
    rows = listing(kind)
    say(rows, as_json, *(f"{row['name']:<22}{row['description']}" for row in rows))


def inspect(
    spec: Annotated[list[str], typer.Argument(help="One or several data SPECs.")],
    classes: Classes = None,
    data_root: DataRoot = None,
    crop: Crop = None,
    splits: Splits = None,
    image_size: Annotated[int, typer.Option(help="Pixels a side.")] = 96,
    imports: Imports = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Count, check and warn: classes, sources, masks, confounding, duplicates; with --out also a contact sheet."""
    from nas.jobs.inspect import inspect as run
    from nas.report.terminal import print_data

    load(imports)
    summary = run(
        spec, classes=names(classes), image_size=image_size, root=text(data_root), crop=crop or "none", splits=splits or "keep",
        imports=imports or (), out=out,
    )  # fmt: skip
    emit(summary, as_json, lambda: print_data(summary))
    if not as_json:
        print(f"contact sheet: {out / 'contact_sheet.png'}" if out else "a contact sheet to look at: add --out DIR")


def write_phantom(
    out: Annotated[Path, typer.Option(help="Folder to write images, masks and metadata.csv to.")],
    n: Annotated[int, typer.Option(help="Images.")] = 600,
    image_size: Annotated[int, typer.Option(help="Pixels a side.")] = 128,
    shortcut: Annotated[str | None, typer.Option(help="A planted shortcut, for example marker@0.8.")] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Write phantom chest X-rays as PNG files with a table, to try the toolkit with."""
    from nas.jobs.inspect import write_phantom as write

    path = write(out, n=n, image_size=image_size, shortcut=shortcut, seed=seed or 0)
    say({"images": n, "table": str(path)}, as_json, f"wrote {n} images; look at them with: nas data inspect table:{path}")


def predict(
    model: Annotated[str, typer.Argument(help="A run or candidate directory, a baseline's directory, or a .onnx file.")],
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Also draw what carried each answer, one picture an image.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Also write the answers to this CSV file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures of --evidence (evidence).")] = None,
    model_spec: ModelSpec = None,
    weights: Weights = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Probabilities for images; research software, not a medical device."""
    from nas.jobs.predict import predict as run

    refuse({"--out": not evidence and out}, "it is the folder for the pictures of --evidence; add that")
    result = run(
        model, images, evidence=(out or Path("evidence")) if evidence else None, csv_file=csv, device=device or "auto", model_spec=model_spec, weights=weights
    )  # fmt: skip
    emit(result, as_json, lambda: print(result.to_csv(), end=""))
    if not as_json:
        for note in result.notes:
            print(note, file=sys.stderr)
    if result.failed:  # the others are answered, but a script must not take that for all of them
        asked = len(result.failed) + len(result.predictions)
        raise InputError(f"{len(result.failed)} of {asked} files have no answer; the reasons stand beside them")


def export(
    model: Annotated[str, typer.Argument(help="A run or candidate directory, or a baseline's directory.")],
    out: Annotated[Path, typer.Option(help="File to write (.onnx; .pt2 for torch); for source, a directory.")],
    format_: Annotated[str, typer.Option("--format", help="onnx, torch or source.")] = "onnx",
    model_spec: ModelSpec = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Take a model out of the toolkit; the export is checked against the model before it is handed over."""
    from nas.jobs.export import export as run

    result = run(model, format_, out, model_spec=model_spec, weights=weights)
    text = f"wrote {', '.join(result.files)}; logits differ by at most {result.max_difference:.1e}"
    emit(result, as_json, lambda: print("\n".join(filter(None, (text, result.before)))))
