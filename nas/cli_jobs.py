"""The three jobs on the command line: ``nas search``, ``nas audit``, ``nas benchmark``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from nas.cli_options import (
    DATA,
    FINALISTS,
    MACHINE,
    OUTPUT,
    Classes,
    Crop,
    Data,
    DataRoot,
    Device,
    Imports,
    Json,
    Log,
    ModelSpec,
    Out,
    Quiet,
    Resume,
    Seed,
    Splits,
    Weights,
    Workers,
    command,
    emit,
    load,
    merge,
    names,
    option,
    parse_duration,
    read_config,
    refuse,
    say,
    text,
)
from search_spaces.errors import InputError

SPACE, SEARCH, AUDIT, PROTOCOL = "What may be built", "The search", "The audit", "The protocol"
EXIT = {"pass": 0, "fail": 3, "undecided": 4}


def search(
    config: Annotated[
        Path | None,
        typer.Argument(
            help="TOML file with these options as keys; what a search writes, its storage and its engine stay on the command line."
        ),
    ] = None,
    data: Data = None,
    classes: Classes = None,
    data_root: DataRoot = None,
    crop: Crop = None,
    splits: Splits = None,
    image_size: Annotated[int | None, option("Pixels a side (96; phantom: 64).", SPACE)] = None,
    space: Annotated[str | None, option("Search space; see: nas list spaces.", SPACE)] = None,
    prototype: Annotated[
        str | None, option("Start from a published design by name, or from an architecture's JSON file.", SPACE)
    ] = None,
    budget: Annotated[str | None, option("40M, or flops=50M,params=2M,memory=64MiB (50M; phantom: 8M).", SPACE)] = None,
    trials: Annotated[int | None, option("Distinct candidates to train (20; phantom: 10).", SEARCH)] = None,
    time: Annotated[
        str | None, option("Start no further trial after this time, for example 8h; a control gets half of it.", SEARCH)
    ] = None,
    epochs: Annotated[int | None, option("Epochs of a trial (8; phantom: 4).", SEARCH)] = None,
    sampler: Annotated[str | None, option("generator, tpe, gp, nsga2, evolution or random.", SEARCH)] = None,
    objective: Annotated[str | None, option("log_loss, auroc or balanced_accuracy.", SEARCH)] = None,
    pretrained: Annotated[str | None, option("none, or shared: train every candidate on phantom images first.", SEARCH)] = None,
    control: Annotated[
        str | None, option("random: also train as many candidates by random search, and compare.", SEARCH)
    ] = None,
    require: Annotated[
        list[str] | None,
        option(r"What a winner must reach, for example 'sensitivity\[covid]>=0.8'; repeat for more.", FINALISTS),
    ] = None,
    finalists: Annotated[int | None, option("Members of the front to retrain and audit (2; phantom: 1).", FINALISTS)] = None,
    final_seeds: Annotated[int | None, option("Seeds each finalist is retrained with (2).", FINALISTS)] = None,
    answer_findings: Annotated[
        bool, option("Retrain a failing finalist by the options that its verdict names.", FINALISTS, "--answer-findings")
    ] = False,
    storage: Annotated[str | None, option("Optuna storage URL; default: a journal file in the run directory.", MACHINE)] = None,
    study: Annotated[str, option("Name of the study.", MACHINE)] = "search",
    workers: Workers = None,
    engine: Annotated[str, option("local or ray.", MACHINE)] = "local",
    device: Device = None,
    imports: Imports = None,
    seed: Seed = None,
    out: Out = None,
    resume: Resume = False,
    profile: Annotated[bool, option("Print where the time went, phase by phase.", OUTPUT, "--profile")] = False,
    quiet: Quiet = False,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Search for a small network; without options: the phantom preset."""
    from nas.engine.settings import SearchSettings, parse_settings, preset
    from nas.jobs.search import search as run
    from nas.report.live import make_progress
    from nas.report.terminal import print_search

    line = {
        "data": tuple(data or ()), "classes": names(classes), "data_root": text(data_root), "crop": crop, "splits": splits, "space": space,
        "prototype": prototype, "budget": budget, "image_size": image_size, "trials": trials,
        "time": time and parse_duration(time), "epochs": epochs, "sampler": sampler, "objective": objective,
        "require": tuple(require or ()), "finalists": finalists, "answer_findings": answer_findings or None, "control": control,
        "final_seeds": final_seeds, "workers": workers,
        "device": device, "imports": tuple(imports or ()), "seed": seed, "pretrained": pretrained,
    }  # fmt: skip
    values = merge(read_config(config) if config else {}, line)
    by_name = ("prototype",) if isinstance(values.get("prototype"), str) else ()
    parse_settings(
        {key: value for key, value in values.items() if key not in by_name}
    )  # bad ones raise before anything is made of them
    if not values.get("data") and not resume:
        print("no --data: searching on the built-in phantom; your own images: nas search --data folder:PATH", file=sys.stderr)
    wanted = {**preset(values), **values}.get("trials", SearchSettings().trials)
    with make_progress(quiet=quiet, log=log, trials=None if resume else wanted) as progress:
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
    image: Annotated[Path | None, option("Audit the decision about this one image instead.", AUDIT)] = None,
    mask: Annotated[Path | None, option("With --image: its lung mask as a picture, lungs brighter.", AUDIT)] = None,
    level: Annotated[str, option("full or screen.", AUDIT)] = "full",
    cross_fit: Annotated[
        int | None,
        option("Few images: train a candidate's architecture anew on K folds, pool over out-of-fold images.", AUDIT),
    ] = None,
    exit_zero: Annotated[bool, option("Exit 0 whatever the verdict.", AUDIT, "--exit-zero")] = False,
    self_test: Annotated[
        bool,
        option(
            "Audit the auditor: plant shortcuts, train honest and cheating models, report. With --out it may be stopped: the same command goes on.",
            AUDIT,
            "--self-test",
        ),
    ] = False,
    quick: Annotated[bool, option("With --self-test: a few minutes.", AUDIT, "--quick")] = False,
    model_spec: ModelSpec = None,
    weights: Weights = None,
    device: Device = None,
    imports: Imports = None,
    seed: Seed = None,
    out: Out = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Cross-examine a model. Exit code 0: pass, 3: fail, 4: undecided."""
    from nas.jobs.audit import audit as run
    from nas.report.terminal import print_audit

    progress = None if quiet else _show
    if quick and not self_test:
        raise InputError("--quick shortens --self-test; give both, or --level screen for a short audit of a model")
    if self_test:
        from nas.inquisitor.self_test import self_test as test

        others = {
            "MODEL": model, "--data": data, "--classes": classes, "--image": image, "--mask": mask, "--level screen": level == "screen",
            "--cross-fit": cross_fit is not None, "--model-spec": model_spec, "--weights": weights, "--device": device,
            "--seed": seed is not None,
        }  # fmt: skip
        refuse(others, "--self-test audits models and images of its own, always the same; leave that out")
        card = test(quick, out=out, progress=progress)
        say(card.record, as_json, card.table())
        return
    if model is None:
        raise InputError("nothing to audit; name a run, a candidate's directory, a .onnx file or package.module:factory")
    load(imports)
    how: dict[str, Any] = {
        "model_spec": model_spec, "weights": weights, "data_root": text(data_root), "seed": seed or 0, "device": device or "auto",
    }  # fmt: skip
    if image is not None:
        from nas.jobs.audit_image import audit_image
        from nas.report.decision import decision_text

        others = {f"--level {level}": level != "full", "--cross-fit": cross_fit is not None}
        refuse(others, "--image asks everything about one decision of the model as it is; leave that out")
        where = out or _beside(model) / image.stem
        found = audit_image(model, image, data or None, mask=mask, classes=names(classes), out=where, **how).record()
        say(found, as_json, decision_text(found, where.parent))
        return
    refuse({"--mask": mask}, "it holds the lungs of one image; name that by --image FILE")
    record = run(
        model, data or None, classes=names(classes), level=cast(Literal["screen", "full"], level), out=out or _beside(model), cross_fit=cross_fit,
        command=command(), progress=progress, **how,
    )  # fmt: skip
    emit(record, as_json, lambda: print_audit(record))
    if not exit_zero:
        raise typer.Exit(EXIT[record.verdict])


def _show(doing: str, share: float) -> None:
    """A line of progress, apart from the answer."""
    print(f"{share:5.0%} {doing}", file=sys.stderr)


def _beside(model: str) -> Path:
    """Where an audit goes by default: into the run or candidate it is about, else into ``audits/``."""
    path = Path(model)
    return path / "audit" if path.is_dir() else Path("audits") / path.name.removesuffix(".onnx").replace(":", "-")


def benchmark(
    models: Annotated[
        list[str] | None, typer.Argument(help="Run or candidate directories; they are trained anew, like the baselines.")
    ] = None,
    data: Data = None,
    classes: Classes = None,
    data_root: DataRoot = None,
    crop: Crop = None,
    splits: Splits = None,
    image_size: Annotated[int | None, option("Pixels a side; default: the run's.", DATA)] = None,
    baselines: Annotated[str | None, option("all, none, or names from: nas list baselines.", PROTOCOL)] = None,
    folds: Annotated[int | None, option("Folds inside the non-test part (5).", PROTOCOL)] = None,
    seeds: Annotated[int | None, option("Trainings of each model on each fold (1).", PROTOCOL)] = None,
    epochs: Annotated[int | None, option("Epochs; default: the recipe's own, with early stopping.", PROTOCOL)] = None,
    recipe: Annotated[str | None, option("shared: one for all; paper: each its own.", PROTOCOL)] = None,
    pretrained: Annotated[str | None, option("none, shared, imagenet or imagenet:WEIGHTS_FOLDER.", PROTOCOL)] = None,
    audit_level: Annotated[str | None, option("none, screen or full.", PROTOCOL, "--audit")] = None,
    leave_one_source_out: Annotated[
        bool, option("Also train without each source and test on it.", PROTOCOL, "--leave-one-source-out")
    ] = False,
    survey: Annotated[
        bool, option("Print the survey's tables and questions with our measurements beside them.", PROTOCOL, "--survey")
    ] = False,
    workers: Workers = None,
    device: Device = None,
    precision: Annotated[
        str | None,
        option(
            "float32, bfloat16 or auto: bfloat16 on CUDA (auto). It halves large networks' time on CPUs that have it.", MACHINE
        ),
    ] = None,
    imports: Imports = None,
    seed: Seed = None,
    out: Out = None,
    resume: Resume = False,
    quiet: Quiet = False,
    log: Log = None,
    as_json: Json = False,
) -> None:
    """Train candidates and published systems alike, and compare them."""
    from nas.jobs.benchmark import benchmark as run
    from nas.report.live import make_progress
    from nas.report.terminal import print_benchmark

    line = {
        "classes": names(classes), "data_root": text(data_root), "crop": crop, "splits": splits, "folds": folds, "seeds": seeds,
        "epochs": epochs, "image_size": image_size, "recipe": recipe, "pretraining": pretrained, "audit": audit_level,
        "leave_one_source_out": leave_one_source_out or None, "survey": survey or None, "workers": workers, "device": device,
        "precision": precision, "imports": tuple(imports or ()), "seed": seed,
    }  # fmt: skip
    load(imports)
    with make_progress(quiet=quiet, log=log) as progress:
        record = run(
            models or (), data or None, baselines=baselines, out=out, resume=resume, progress=progress, command=command(),
            **merge({}, line),
        )  # fmt: skip
    emit(record, as_json, lambda: print_benchmark(record))
