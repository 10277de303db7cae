"""What is fuzzed, and with what: see ``tests/fuzz.py``."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

TEXT = st.text(max_size=40)
SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), TEXT, st.sampled_from([0, -1, 1, 2**31, 10**9, "", "a/b", "../x"])
)  # fmt: skip
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=8)


@dataclass(frozen=True)
class Target:
    """One thing to throw inputs at."""

    name: str
    inputs: st.SearchStrategy[Any]
    run: Callable[[Any], object]
    weight: int


# --- damage ------------------------------------------------------------------------------------------------------


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with up to three places changed, inserted, removed, or everything behind one cut off."""
    place = st.integers(0, max(len(content) - 1, 0))
    edit = st.tuples(st.sampled_from(["change", "insert", "remove", "cut"]), place, st.binary(min_size=1, max_size=8))
    return st.lists(edit, min_size=1, max_size=3).map(functools.partial(_damage, content))


def _damage(content: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    for kind, at, noise in edits:
        rest = {"change": content[at + len(noise) :], "insert": content[at:], "remove": content[at + len(noise) :], "cut": b""}
        content = content[:at] + (noise if kind in ("change", "insert") else b"") + rest[kind]
    return content


def altered(document: Any) -> st.SearchStrategy[Any]:
    """The JSON document with up to two nodes exchanged for anything, removed, or given a new neighbour."""
    paths = list(_paths(document))
    edit = st.tuples(st.sampled_from(paths), st.sampled_from(["exchange", "remove", "add"]), JSON, TEXT)
    return st.lists(edit, min_size=1, max_size=2).map(functools.partial(_alter, document))


def _paths(node: Any, path: tuple[Any, ...] = (), depth: int = 0) -> Any:
    yield path
    if depth < 6:
        items = node.items() if isinstance(node, dict) else enumerate(node[:3]) if isinstance(node, list) else ()
        for key, value in items:
            yield from _paths(value, (*path, key), depth + 1)


def _alter(document: Any, edits: list[tuple[tuple[Any, ...], str, Any, str]]) -> Any:
    document = copy.deepcopy(document)
    for path, kind, value, name in edits:
        if not path:
            document = value
            continue
        node = document
        try:
            for key in path[:-1]:
                node = node[key]
            if kind == "exchange":
                node[path[-1]] = value
            elif kind == "remove":
                del node[path[-1]]
            elif isinstance(node, dict):
                node[name] = value
        except (LookupError, TypeError):  # an earlier edit took that node away
            continue
    return document


class Files:
    """Fuzz one file of a sample that others lie beside."""

    def __init__(self, path: Path, use: Callable[[], object]) -> None:
        self.path, self.use = path, use
        self.content = path.read_bytes()

    def write(self, content: bytes) -> None:
        """Use the sample with this content in place of the file's own."""
        self.path.write_bytes(content)
        try:
            self.use()
        finally:
            self.path.write_bytes(self.content)

    def as_bytes(self, name: str, weight: int) -> Target:
        """A target of damaged bytes."""
        return Target(name, st.one_of(damaged(self.content), st.binary(max_size=200)), self.write, weight)

    def as_json(self, name: str, weight: int) -> Target:
        """A target of altered documents."""
        return Target(name, altered(json.loads(self.content)), lambda value: self.write(json.dumps(value).encode()), weight)


# --- targets -----------------------------------------------------------------------------------------------------


def make_targets(folder: Path, groups: tuple[str, ...]) -> list[Target]:
    """The targets of some groups; their samples lie in ``folder``."""
    return [target for name in groups for target in GROUPS[name](folder)]


def _texts(folder: Path) -> list[Target]:
    import nas.data as data
    from nas.cli_options import parse_duration
    from nas.data.preprocessing import Preprocessing
    from nas.data.selection import select
    from nas.engine.requirements import parse_requirement
    from nas.engine.storage import open_storage
    from search_spaces import Budget

    spec = st.one_of(
        TEXT, st.builds("{}:{}".format, st.sampled_from(["table", "folder", "phantom", "dicom", "covidx", "x"]), TEXT)
    )
    bound = st.builds(
        "{}={}{}".format,
        st.sampled_from(["flops", "params", "memory", "min_flops", "x"]),
        TEXT,
        st.sampled_from(["", "M", "MiB"]),
    )
    url = st.builds("{}://{}".format, st.sampled_from(["postgresq", "grpc", "mysqll", "oracle", "journa", ""]), TEXT)

    def load(text: str) -> None:
        assume("/" not in text and ".." not in text and not text.startswith("phantom"))  # never walk this machine
        data.load(text, cache=None)

    def storage(text: str) -> None:
        assume(not any(character.isdigit() for character in text))  # nothing that could answer
        open_storage(text, Path())

    return [
        Target("data spec", spec, load, 40),
        Target("phantom options", st.text("n=0123,shortcutmark@.seed", max_size=30).map(lambda t: f"phantom:x={t}"), lambda t: data.load(t), 40),
        Target("budget", st.one_of(TEXT, st.lists(bound, max_size=3).map(",".join)), lambda t: Budget.parse(t, image_size=64), 40),
        Target("requirement", st.one_of(TEXT, st.builds("sensitivity[{}]>={}".format, TEXT, TEXT)), parse_requirement, 40),
        Target("duration", st.one_of(TEXT, st.text("0123.smhd ", max_size=12)), parse_duration, 40),
        Target("crop", TEXT, lambda t: Preprocessing.parse(t, 64), 40),
        Target("classes", st.tuples(st.lists(TEXT, min_size=1, max_size=6), st.one_of(TEXT, st.lists(TEXT, max_size=4))), lambda v: select(*v), 40),
        Target("storage", st.one_of(TEXT, url), storage, 40),
    ]  # fmt: skip


def _plain_values(folder: Path) -> list[Target]:
    import numpy as np

    from nas.cli_options import read_config
    from nas.engine.settings import SearchSettings, parse_settings
    from nas.jobs.models import read_model_spec
    from search_spaces import get_space, load_architecture

    values = SearchSettings().model_dump(mode="json")
    toml = folder / "config.toml"
    toml.write_text('data = ["phantom:n=60"]\nclasses = "a,b"\ntime = "8h"\nepochs = 3\nseed = 0\n[recipe]\nbatch_size = 4\n')
    spec = folder / "model.toml"
    spec.write_text('classes = ["a", "b"]\nimage_size = 64\nchannels = 3\nmean = [0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]\n')
    networks = [get_space(name).sample(np.random.default_rng(0)).to_json() for name in ("pepx", "mbconv", "fire")]
    return [
        Target("settings", st.one_of(altered(values), st.dictionaries(st.sampled_from(sorted(values)), JSON, max_size=3)), _dictionaries(parse_settings), 40),
        Files(toml, lambda: parse_settings(read_config(toml))).as_bytes("configuration file", 40),
        Files(spec, lambda: read_model_spec(spec)).as_bytes("model spec file", 40),
        Target("architecture", st.one_of(*map(altered, networks)), load_architecture, 40),
    ]  # fmt: skip


def _dictionaries(parse: Callable[[Any], object]) -> Callable[[Any], None]:
    def run(value: Any) -> None:
        assume(isinstance(value, dict) and all(isinstance(key, str) for key in value))
        parse(value)

    return run


def _run_files(folder: Path) -> list[Target]:
    """Every record that a run directory holds."""
    import optuna

    from nas.data import load, parts_from_json
    from nas.engine.directory import RunDirectory, damaged_files, read_search
    from nas.engine.openings import record_opening
    from nas.engine.settings import parse_settings
    from nas.engine.storage import open_storage
    from nas.evaluation import load_candidate
    from nas.evaluation.checkpoint import load_checkpoint, save_checkpoint
    from nas.files import read_json
    from nas.jobs.generate import generate
    from nas.jobs.models import resolve_model
    from nas.jobs.report import read_record
    from nas.jobs.search import search
    from nas.jobs.source import model_source
    from tests.faults import TINY

    sys.path.insert(0, str(Path(__file__).parent / "report"))
    from report_factories import audit_record, benchmark_record

    warnings.simplefilter("ignore")
    run = folder / "run"
    search(**TINY, out=run)
    home = Path(read_search(run).front[0].path)
    data = load("phantom:n=60", image_size=32)
    save_checkpoint(folder / "state.safetensors", {"model": dict(load_candidate(home).model.state_dict())}, {"history": []})

    def study() -> None:
        storage = open_storage(None, run)
        with contextlib.suppress(KeyError):  # the journal of another study, or of none
            optuna.load_study(study_name="search", storage=storage, sampler=optuna.samplers.RandomSampler()).get_trials()

    def opening() -> None:
        kept = (run / "openings.json").read_bytes()
        record_opening(run, "fuzz")
        (run / "openings.json").write_bytes(kept)

    def command() -> None:
        kept = (run / "commands.json").read_bytes()
        RunDirectory(run).remember("nas search")
        (run / "commands.json").write_bytes(kept)

    other = {}
    for kind, record in (("audit", audit_record()), ("benchmark", benchmark_record())):
        other[kind] = folder / kind
        other[kind].mkdir()
        (other[kind] / f"{kind}.json").write_text(record.to_json())

    return [
        Files(other["audit"] / "audit.json", lambda: read_record(other["audit"])).as_json("audit record", 3),
        Files(other["benchmark"] / "benchmark.json", lambda: read_record(other["benchmark"])).as_json("benchmark record", 3),
        Files(run / "run.json", lambda: read_record(run)).as_json("run record", 3),
        Files(run / "run.json", lambda: read_search(run)).as_bytes("run record, bytes", 3),
        Files(run / "settings.json", lambda: parse_settings(read_json(run / "settings.json"))).as_bytes("stored settings", 3),
        Files(run / "settings.json", lambda: resolve_model(str(run))).as_json("settings of a run to audit", 3),
        Files(run / "parts.json", lambda: parts_from_json(data, read_json(run / "parts.json"))).as_json("parts", 3),
        Files(run / "generator.json", lambda: generate(run, n=1)).as_json("generator", 1),
        Files(run / "data.json", lambda: generate(run, n=1)).as_json("data summary", 1),
        Files(run / "openings.json", opening).as_json("openings", 3),
        Files(run / "commands.json", command).as_json("commands", 3),
        Files(run / "journal.log", study).as_bytes("journal", 3),
        Files(run / "checksums.json", lambda: damaged_files(run)).as_json("checksums", 3),
        Files(home / "manifest.json", lambda: load_candidate(home)).as_json("candidate manifest", 3),
        Files(home / "architecture.json", lambda: load_candidate(home)).as_json("candidate architecture", 3),
        Files(home / "preprocessing.json", lambda: load_candidate(home)).as_json("candidate preprocessing", 3),
        Files(home / "training_images.json", lambda: load_candidate(home)).as_json("candidate training images", 3),
        Files(home / "weights.safetensors", lambda: load_candidate(home)).as_bytes("candidate weights", 3),
        Files(home / "manifest.json", lambda: model_source(load_candidate(home))).as_json("candidate to source", 3),
        Files(folder / "state.safetensors", lambda: load_checkpoint(folder / "state.safetensors")).as_bytes("checkpoint", 3),
    ]  # fmt: skip


def _foreign_models(folder: Path) -> list[Target]:
    """Weights and ONNX files of others."""
    from safetensors.torch import save_file

    from nas.jobs.models import load_onnx, module_from_factory

    module = folder / "fuzz_factory.py"
    module.write_text("from torch import nn\n\ndef make():\n    return nn.Linear(3, 2)\n")
    sys.path.insert(0, str(folder))
    save_file(module_from_factory("fuzz_factory:make", None).state_dict(), folder / "w.safetensors")
    weights = folder / "w.safetensors"
    found = [
        Files(weights, lambda: module_from_factory("fuzz_factory:make", weights)).as_bytes("foreign weights", 4),
        Target("model factory", st.builds("{}:{}".format, st.sampled_from(["fuzz_factory", "json", "nowhere", ""]), TEXT), lambda t: module_from_factory(t, None), 4),
    ]  # fmt: skip
    try:
        import onnx
    except ImportError:
        return found
    from onnx import TensorProto, helper

    shape = helper.make_tensor_value_info
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [shape("x", TensorProto.FLOAT, [1, 4])], [shape("y", TensorProto.FLOAT, [1, 4])])  # fmt: skip
    path = folder / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return [*found, Files(path, lambda: load_onnx(path)).as_bytes("ONNX file", 2)]


def _readers(folder: Path) -> list[Target]:
    """Every file of a tiny sample of every layout."""
    import nas.data as data

    sys.path.insert(0, str(Path(__file__).parent / "data"))
    from data_layouts import LAYOUTS, lay_out

    targets = []
    for name in LAYOUTS:
        base = folder / "layouts" / name
        base.mkdir(parents=True)
        try:
            layout = lay_out(name, base)
        except ImportError:  # pydicom, an extra
            continue
        files = sorted(path for path in layout.path.rglob("*") if path.is_file()) if layout.path.is_dir() else []
        files = files or sorted(path for path in layout.path.parent.rglob("*") if path.is_file())
        tables = [path for path in files if path.suffix in (".csv", ".txt", ".npz", ".json", ".xlsx")]
        pictures = [path for path in files if path not in tables][:3]
        load = functools.partial(data.load, f"{layout.reader}:{layout.path}", image_size=16, cache=None)
        per_file = [Files(path, load) for path in (*tables[:3], *pictures)]
        choices = st.one_of(*(damaged(f.content).map(functools.partial(_pair, f)) for f in per_file))
        targets.append(Target(f"reader {name}", choices, lambda pair: pair[0].write(pair[1]), 2))
    return targets


def _pair(file: Files, content: bytes) -> tuple[Files, bytes]:
    return file, content


GROUPS = {"texts": _texts, "values": _plain_values, "run": _run_files, "models": _foreign_models, "readers": _readers}
