"""The three jobs on the command line: ``nas search``, ``nas audit``, ``nas benchmark``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nas.cli_options import (
    Classes,
    Crop,
    Data,
    DataRoot,
    Device,
    Json,
    Out,
    Seed,
    command,
    emit,
    merge,
    names,
    parse_duration,
    read_config,
    text,
)
from search_spaces.errors import InputError

EXIT = {"pass": 0, "fail": 3, "undecided": 4}


def search(
    config: Annotated[Path | None, typer.Argument(help="TOML file with any of these options as keys.")] = None,
    data: Data = None,
    classes: Classes = None,
    data_root: DataRoot = None,
    crop: Crop = None,
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
    control: Annotated[
        str | None, typer.Option(help="random: also train as many candidates by random search, and compare.")
    ] = None,
    answer_findings: Annotated[
        bool, typer.Option("--answer-findings", help="Retrain a failing finalist by the options that its verdict names.")
    ] = False,
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
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: Json = False,
) -> None:
    """Search for a small network; without options: the phantom preset."""
    from nas.jobs.search import search as run
    from nas.report.live import make_progress
    from nas.report.terminal import print_search

    line = {
        "data": tuple(data or ()), "classes": names(classes), "data_root": text(data_root), "crop": crop, "space": space,
        "prototype": prototype and _prototype(prototype, space), "budget": budget, "image_size": image_size, "trials": trials,
        "time": time and parse_duration(time), "epochs": epochs, "sampler": sampler, "objective": objective,
        "require": tuple(require or ()), "finalists": finalists, "answer_findings": answer_findings or None, "control": control, "final_seeds": final_seeds, "workers": workers,
        "device": device, "imports": tuple(imports or ()), "seed": seed,
    }  # fmt: skip
    values = merge(read_config(config) if config else {}, line)
    for name in ("out", "storage", "study", "engine"):
        if name in values:
            raise InputError(f"{name} belongs on the command line (--{name}), not in {config}")
    if not values.get("data") and not resume:
        print("no --data: searching on the built-in phantom; your own images: nas search --data folder:PATH", file=sys.stderr)
    with make_progress(quiet=quiet, trials=None if resume else values.get("trials", 10)) as progress:
        record = run(
            out=out, resume=resume, storage=storage, study=study, engine=engine, progress=progress, command=command(), **values
        )  # fmt: skip
    emit(record, as_json, lambda: print_search(record, profile=profile))


def audit(
    model: Annotated[
        str | None,
        typer.Argument(help="A run or candidate directory, a baseline's directory, a .onnx file, or package.module:factory."),
    ] = None,
    data: Data = None,
    classes: Classes = None,
    data_root: DataRoot = None,
    image: Annotated[Path | None, typer.Option(help="Audit the decision about this one image instead.")] = None,
    level: Annotated[str, typer.Option(help="full or screen.")] = "full",
    model_spec: Annotated[
        Path | None, typer.Option(help="What a foreign model expects (TOML: classes, image_size, channels, mean, std).")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights for package.module:factory (.safetensors).")] = None,
    seed: Seed = None,
    device: Device = None,
    out: Out = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Audit the auditor: plant shortcuts, train honest and cheating models, report.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="With --self-test: a few minutes.")] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever the verdict.")] = False,
    as_json: Json = False,
) -> None:
    """Cross-examine a model. Exit code 0: pass, 3: fail, 4: undecided."""
    from nas.jobs.audit import audit as run
    from nas.report.terminal import print_audit

    if self_test:
        _self_test(quick, out, as_json)
        return
    if model is None:
        raise InputError("nothing to audit; name a run, a candidate's directory, a .onnx file or package.module:factory")
    if level not in ("full", "screen"):
        raise InputError(f"--level must be full or screen, but got {level!r}")
    if image is not None:
        _decision(model, image, data, data_root, model_spec, weights, seed, device, out, as_json)
        return
    record = run(
        model, data or None, classes=names(classes), level=_level(level), model_spec=model_spec, weights=weights, data_root=text(data_root),
        seed=seed or 0, device=device or "auto", out=out or _beside(model), command=command(),
    )  # fmt: skip
    emit(record, as_json, lambda: print_audit(record))
    if not exit_zero:
        raise typer.Exit(EXIT[record.verdict])


def _decision(
    model: str,
    image: Path,
    data: list[str] | None,
    data_root: Path | None,
    model_spec: Path | None,
    weights: Path | None,
    seed: int | None,
    device: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    from nas.jobs.audit_image import audit_image
    from nas.report.decision import decision_text

    answer = audit_image(
        model, image, data or None, model_spec=model_spec, weights=weights, data_root=text(data_root), seed=seed or 0,
        device=device or "auto", out=out or _beside(model) / image.stem,
    )  # fmt: skip
    print(json.dumps(answer.record(), indent=1) if as_json else decision_text(answer.record()))


def _self_test(quick: bool, out: Path | None, as_json: bool) -> None:
    from nas.inquisitor.self_test import self_test

    def show(model: str, share: float) -> None:
        print(f"{share:5.0%} {model}", file=sys.stderr)

    card = self_test(quick, out=out, progress=show)
    print(json.dumps(card.record, indent=1) if as_json else card.table())


def _level(text: str) -> Literal["screen", "full"]:
    return "screen" if text == "screen" else "full"


def _beside(model: str) -> Path:
    """Where an audit goes by default: into the run or candidate it is about, else into ``audits/``."""
    path = Path(model)
    return path / "audit" if path.is_dir() else Path("audits") / (path.stem.replace(":", "-") or "model")


def benchmark(
    models: Annotated[
        list[str] | None, typer.Argument(help="Run or candidate directories; they are trained anew, like the baselines.")
    ] = None,
    data: Data = None,
    classes: Classes = None,
    data_root: DataRoot = None,
    crop: Crop = None,
    baselines: Annotated[str | None, typer.Option(help="all, or names from: nas list baselines.")] = None,
    folds: Annotated[int | None, typer.Option(help="Folds inside the non-test part (5).")] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings of each model on each fold (1).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs; default: the recipe's own, with early stopping.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Pixels a side.")] = None,
    recipe: Annotated[str | None, typer.Option(help="shared: one for all; paper: each its own.")] = None,
    pretrained: Annotated[str | None, typer.Option(help="none, shared, imagenet or imagenet:WEIGHTS_FOLDER.")] = None,
    audit_level: Annotated[str | None, typer.Option("--audit", help="none, screen or full.")] = None,
    leave_one_source_out: Annotated[
        bool, typer.Option("--leave-one-source-out", help="Also train without each source and test on it.")
    ] = False,
    survey: Annotated[
        bool, typer.Option("--survey", help="Print the survey's tables and questions with our measurements beside them.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Processes.")] = None,
    device: Device = None,
    imports: Annotated[
        list[str] | None, typer.Option("--import", help="Python module with your own plug-ins; repeat for more.")
    ] = None,
    seed: Seed = None,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the benchmark in --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: Json = False,
) -> None:
    """Train candidates and published systems alike, and compare them."""
    from nas.engine.context import import_plugins
    from nas.jobs.benchmark import benchmark as run
    from nas.report.live import make_progress
    from nas.report.terminal import print_benchmark

    line = {
        "classes": names(classes), "data_root": text(data_root), "crop": crop, "folds": folds, "seeds": seeds,
        "epochs": epochs, "image_size": image_size, "recipe": recipe, "pretraining": pretrained, "audit": audit_level,
        "leave_one_source_out": leave_one_source_out or None, "survey": survey or None, "workers": workers, "device": device,
        "imports": tuple(imports or ()), "seed": seed,
    }  # fmt: skip
    import_plugins(tuple(imports or ()))
    with make_progress(quiet=quiet) as progress:
        record = run(
            models or (), data or None, baselines=baselines, out=out, resume=resume, progress=progress, command=command(),
            **merge({}, line),
        )  # fmt: skip
    emit(record, as_json, lambda: print_benchmark(record))


def _prototype(name: str, space: str | None) -> dict[str, Any]:
    from nas.jobs.listing import prototype

    return prototype(name, space)
