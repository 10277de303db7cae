import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from nas.cli import app, main
from nas.cli_options import LINE_ONLY, command, parse_duration, read_config
from nas.engine.settings import parse_settings, preset
from nas.jobs.benchmark import _fill_from_run
from search_spaces.errors import InputError

TINY = ["--data", "phantom:n=120", "--image-size", "32", "--budget", "1M", "--epochs", "1", "--trials", "2"]


@pytest.fixture
def nas(monkeypatch, capsys, tmp_path):
    """Runs the command in this process; returns (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def class_folders(root, counts):
    for name, count in counts.items():
        for i in range(count):
            picture(root / name / f"{name}{i}.png", seed=hash((name, i)) % 2**32)
    return root


BAD = [
    (["--data", "table:/nowhere.csv"], ["/nowhere.csv"]),
    (["--data", "nosuch:x"], ["unknown data reader 'nosuch'", "known:"]),
    (["--data", "phantom:n=600,colour=red"], ["colour=red", "known"]),
    (["--budget", "1k"], ["budget", "smallest reachable", "raise the bound"]),
    (["--budget", "lots"], ["lots"]),
    (["--image-size", "8"], ["image_size", "8"]),
    (["--image-size", "20", "--data", "phantom:n=120"], ["20"]),
    (["--sampler", "magic"], ["unknown sampler 'magic'", "generator"]),
    (["--space", "nosuch"], ["nosuch", "pepx"]),
    (["--require", "sensitivity"], ["requirement 'sensitivity'", "METRIC>=NUMBER"]),
    (["--require", "sensitivity[typo]>=0.5"], ["sensitivity[typo]>=0.5", "known:", "latency", "sensitivity[covid]"]),
    (["--require", "recall>=0.5", "--workers", "2"], ["recall>=0.5", "known:"]),
    (["--time", "soon"], ["duration 'soon'", "8h"]),
    (["--prototype", "alexnet"], ["unknown prototype 'alexnet'", "covidnet"]),
    (["--prototype", "covidnet", "--sampler", "tpe"], ["sampler 'tpe' cannot start from a prototype", "generator"]),
    (["--engine", "foo", "--data", "phantom:n=120"], ["unknown engine 'foo'", "known: local, ray"]),
    (["--storage", "sqlite:///s.db", "--workers", "2", "--data", "phantom:n=120"], ["SQLite takes one worker", "2"]),
    (["--device", "tpu"], ["device", "tpu"]),
    (["--import", "no_such_module"], ["--import no_such_module"]),
    (["--trials", "0"], ["trials", "0"]),
    (["--pretrained", "imagenet"], ["pretrained = 'imagenet'", "choose none or shared"]),
    (["--resume", "--out", "nothing-here"], ["no search to resume in nothing-here"]),
    (["nosuch.toml"], ["cannot read nosuch.toml"]),
    (["--bogus"], ["--bogus"]),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_one_line_with_value_rule_and_remedy_and_exit_code_2(nas, words, said, tmp_path):
    code, out, err = nas("search", *words)
    last = err.strip().splitlines()[-1]
    assert code == 2
    assert out == ""
    assert last.startswith("error: ")
    assert "Traceback" not in err
    for text in said:
        assert text in last
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("settings.json"))


CONFIGURATIONS = [
    ("epoch = 3", ["unknown setting 'epoch' in c.toml", "known: data, ", "epochs"]),
    ('command = "x"', ["unknown setting 'command'"]),
    ("progress = 1", ["unknown setting 'progress'"]),
    ("resume = true", ["resume belongs on the command line (--resume), not in c.toml"]),
    ("quiet = true", ["quiet belongs on the command line"]),
    ("json = true", ["json belongs on the command line (--json)"]),
    ("profile = true", ["profile belongs on the command line"]),
    ("data = 3", ["setting 'data'", "list", "3"]),
    ("data = [1]", ["setting 'data.0'", "string", "1"]),
    ("image_size = 32\nimage-size = 48", ["c.toml has 'image_size' twice"]),
    ('prototype = "alexnet"', ["unknown prototype 'alexnet'", "covidnet"]),
    ('prototype = "covidnet"\nspace = 3', ["setting 'space'", "string"]),
    ("prototype = 3", ["setting 'prototype'", "3"]),
]


@pytest.mark.parametrize(("text", "said"), CONFIGURATIONS, ids=[text for text, _ in CONFIGURATIONS])
def test_what_a_configuration_file_may_not_say_is_refused_by_name(nas, tmp_path, text, said):
    (tmp_path / "c.toml").write_text(text + "\n")
    code, _, err = nas("search", "c.toml")
    assert code == 2
    assert err.strip().splitlines()[-1].startswith("error: ")
    for words in said:
        assert words in err
    assert not (tmp_path / "runs").exists()


def test_the_options_are_the_keys_of_a_configuration_file(tmp_path):
    parameters = get_command(app).commands["search"].params
    options = sorted(name.removeprefix("--") for each in parameters for name in each.opts if name.startswith("--"))
    for option in options:
        (tmp_path / "c.toml").write_text(f'{option} = "1h"\n')
        if option in LINE_ONLY:
            with pytest.raises(InputError, match=f"--{option}"):
                read_config(tmp_path / "c.toml")
        else:
            assert list(read_config(tmp_path / "c.toml")) == ["imports" if option == "import" else option.replace("-", "_")]


def test_broken_configuration_file_is_named(nas, tmp_path):
    (tmp_path / "c.toml").write_text("epochs = = 3\n")
    code, _, err = nas("search", "c.toml")
    assert (code, "c.toml is not valid TOML" in err) == (2, True)


def test_empty_folder_one_class_and_too_many_unreadable_images(nas, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = nas("search", "--data", "folder:empty")
    assert code == 2
    assert "empty" in err
    code, _, err = nas("search", "--data", f"folder:{class_folders(tmp_path / 'one', {'covid': 12})}")
    assert code == 2
    assert "1 class (covid)" in err
    broken = class_folders(tmp_path / "broken", {"covid": 12, "normal": 12})
    for i in range(8):
        (broken / "covid" / f"covid{i}.png").write_bytes(b"no picture")
    code, _, err = nas("search", "--data", f"folder:{broken}")
    assert code == 2
    assert "8 of 24 images cannot be read" in err


def test_a_search_from_data_to_page_then_resume_report_audit_predict(nas, tmp_path):
    code, out, err = nas(
        "search", *TINY, "--sampler", "random", "--finalists", "1", "--final-seeds", "1", "--out", "run", "--json"
    )
    assert code == 0, err
    record = json.loads(out)
    assert record["kind"] == "search"
    assert record["accounting"]["completed"] + record["accounting"]["pruned"] == 2
    assert all(trial["cost"]["flops"] <= 1e6 for trial in record["trials"])
    assert record["best"]["key"] in {trial["key"] for trial in record["trials"]}
    assert (tmp_path / "run" / "index.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")

    code, _, err = nas("search", "--out", "run")
    assert (code, "holds a search already" in err) == (2, True)
    code, _, err = nas("search", "--out", "run", "--resume", "--epochs", "5")
    assert (code, "started with epochs = 1, but got 5" in err) == (2, True)
    code, again, _ = nas("search", "--out", "run", "--resume", "--json")
    assert code == 0
    assert [t["key"] for t in json.loads(again)["trials"]] == [t["key"] for t in record["trials"]]

    assert nas("report", "run", "--verify")[0] == 0
    assert json.loads(nas("report", "run", "--json")[1])["page"] == "run/index.html"
    weights = next((tmp_path / "run" / "trials").rglob("weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    code, out, err = nas("report", "run", "--verify")
    assert code == 1
    assert "weights.safetensors: content differs" in out

    code, out, _ = nas("audit", "run", "--level", "screen", "--json")
    verdict = json.loads(out)["verdict"]
    assert code == {"pass": 0, "fail": 3, "undecided": 4}[verdict]
    assert nas("audit", "run", "--level", "screen", "--exit-zero")[0] == 0

    picture(tmp_path / "new" / "a.png")
    code, out, _ = nas("predict", "run", "new", "--json")
    assert code == 0
    probabilities = json.loads(out)["predictions"][0]["probabilities"]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    code, out, _ = nas("predict", "run", "new/a.png", "--evidence", "--out", "drawn", "--csv", "answers.csv")
    assert code == 0
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["0000-a.png"]
    assert (tmp_path / "answers.csv").read_text() == out

    code, out, _ = nas("cost", f"{record['best']['path']}/architecture.json", "--json")
    assert json.loads(out)["flops"] == record["best"]["cost"]["flops"]


def test_what_inspect_says_next_is_accepted_where_the_given_splits_are_not(nas, tmp_path):
    nas("data", "phantom", "--n", 120, "--image-size", 32, "--out", "made")
    lines = (tmp_path / "made/metadata.csv").read_text().splitlines()
    rows = [
        f"{line},{split}" for line, split in zip(lines, ["split", *["train", "validation", "audit", "test"] * 30], strict=True)
    ]
    (tmp_path / "made/split.csv").write_text("\n".join(rows))
    code, _, err = nas("search", "--data", "made/split.csv", "--out", "run")
    assert (code, "(same patient)" in err, "dealt afresh: --splits fresh" in err) == (2, True, True)
    code, out, _ = nas("data", "inspect", "made/split.csv", "--image-size", 32, "--json")
    command = shlex.split(json.loads(out)["next_command"])
    assert (code, command[:6]) == (0, ["nas", "search", "--data", "made/split.csv", "--splits", "fresh"])
    code, _, err = nas(
        *command[1:], "--trials", 1, "--epochs", 1, "--budget", "1M", "--finalists", 1, "--final-seeds", 1, "--out", "run"
    )
    assert code == 0, err
    code, _, err = nas("search", "--out", "run", "--resume", "--splits", "keep")
    assert (code, "started with splits = 'fresh', but got 'keep'" in err) == (2, True)
    assert _fill_from_run(asked := {}, tmp_path / "run") is None
    assert asked["splits"] == "fresh"


def test_the_command_line_wins_over_the_configuration_file(nas, tmp_path):
    (tmp_path / "c.toml").write_text(
        'data = "phantom:n=120"\nimage_size = 32\nbudget = "1M"\nepochs = 3\ntrials = 1\nsampler = "random"\nscreen = false\n'
    )
    code, out, err = nas("search", "c.toml", "--epochs", "1", "--finalists", "1", "--final-seeds", "1", "--json")
    assert code == 0, err
    assert json.loads(out)["settings"]["epochs"] == 1
    assert json.loads(out)["settings"]["image_size"] == 32


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_an_interrupt_ends_with_130_and_says_how_to_go_on(signal, tmp_path):
    """The command interrupts itself, inside the job, as a person or a batch system would from outside."""
    probe = f"""
import os, signal, sys, time
import nas.jobs.listing
nas.jobs.listing.listing = lambda kind: (os.kill(os.getpid(), signal.{signal}), time.sleep(30))
sys.argv = ["nas", "list", "spaces"]
from nas.cli import app, main
main()
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 130
    assert done.stderr.startswith("interrupted; no result is saved: give the same command again")


@pytest.mark.parametrize(
    ("words", "job", "said"),
    [
        ("search", "nas.jobs.search.search", "saved: go on with the same command and --resume --out DIR"),
        ("benchmark", "nas.jobs.benchmark.benchmark", "saved: go on with the same command and --resume --out DIR"),
        ("audit m.onnx --out d", "nas.jobs.audit.audit", "no result is saved: give the same command again"),
        ("audit --self-test --out d", "nas.inquisitor.self_test.self_test", "are saved: go on with the same command"),
        ("audit --self-test --out=d", "nas.inquisitor.self_test.self_test", "are saved: go on with the same command"),
        ("audit --self-test", "nas.inquisitor.self_test.self_test", "no result is saved: with --out DIR"),
        ("worker --storage s", "nas.jobs.worker.worker", "goes back to the study"),
    ],
)
def test_an_interrupted_command_promises_what_it_can_keep(nas, monkeypatch, words, job, said):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(job, interrupted)
    code, _, err = nas(*words.split())
    assert code == 130
    assert said in err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "words", ["search", "audit m.onnx", "benchmark --baselines cnn", "data phantom --out d"], ids=lambda words: words.split()[0]
)
def test_a_negative_seed_is_refused(nas, words, tmp_path):
    code, out, err = nas(*words.split(), "--seed", "-1")
    assert (code, out) == (2, "")
    assert "'--seed'" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("m.onnx --image a.png --classes a,b --level screen", "--classes, --level screen would be ignored"),
        ("m.onnx --image a.png --cross-fit 0", "--cross-fit would be ignored"),
        ("m.onnx --mask a.png", "--mask would be ignored"),
        ("m.onnx --self-test --data phantom", "MODEL, --data would be ignored"),
    ],
)
def test_options_of_an_audit_that_nobody_would_read_are_refused(nas, words, said):
    code, out, err = nas("audit", *words.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


def test_audits_of_two_factories_lie_apart(nas, monkeypatch):
    places = []

    def audit(*_, out, **__):
        places.append(str(out))
        raise InputError("stop")

    monkeypatch.setattr("nas.jobs.audit.audit", audit)
    for name in ("pkg.mod:a", "pkg.mod:b", "models/x.onnx"):
        nas("audit", name)
    assert places == ["audits/pkg.mod-a", "audits/pkg.mod-b", "audits/x"]


def test_an_audit_is_not_written_over_what_it_is_about(nas, tmp_path):
    for name, what in (("settings.json", "a run"), ("benchmark.json", "a benchmark"), ("manifest.json", "a model")):
        home = tmp_path / name.partition(".")[0]
        home.mkdir()
        (home / name).write_text("{}")
        code, _, err = nas("audit", "m.onnx", "--out", home)
        assert (code, f"{home} holds {what} ({name})" in err) == (2, True)


def test_the_bare_command_shows_its_help_and_version_its_version(nas):
    code, out, err = nas()
    assert (code, err) == (2, "")
    assert "benchmark" in out
    code, out, _ = nas("--version")
    assert code == 0
    assert out.startswith("pepx-nas ")


@pytest.mark.parametrize(
    ("data", "expected"), [((), (64, 10, 4, "8M")), (("phantom:n=90",), (64, 10, 4, "8M")), (("folder:x",), (96, 20, 8, "50M"))]
)
def test_defaults_fit_the_data(data, expected):
    found = parse_settings({**preset({"data": data}), **({"data": data} if data else {})})
    assert (found.image_size, found.trials, found.epochs, found.budget) == expected


def test_tools_answer_in_one_json_document(nas, tmp_path):
    code, out, _ = nas("data", "phantom", "--n", "24", "--image-size", "32", "--out", "made", "--json")
    assert (code, json.loads(out)) == (0, {"images": 24, "table": "made/metadata.csv"})
    code, out, _ = nas("data", "inspect", "made/metadata.csv", "--image-size", "32", "--json")
    assert (code, json.loads(out)["images"]) == (0, 24)


@pytest.mark.parametrize("out", ["file", "file/below"])
@pytest.mark.parametrize(
    "words",
    [
        ("data", "phantom", "--n", 12, "--image-size", 32),
        ("data", "inspect", "phantom:n=24", "--image-size", 32),
        ("search", *TINY),
        ("benchmark", "--data", "phantom:n=120", "--image-size", 32, "--baselines", "cnn"),
        ("audit", "--self-test", "--quick"),
        ("audit", "linear_net:make", "--model-spec", "model.toml", "--data", "phantom:n=24"),
    ],
    ids=lambda words: " ".join(map(str, words[:2])),
)
def test_a_file_where_the_folder_should_be_is_said_in_one_line(nas, tmp_path, words, out):
    (tmp_path / "file").write_text("")
    (tmp_path / "linear_net.py").write_text(
        "from torch import nn\nmake = lambda: nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3))\n"
    )
    (tmp_path / "model.toml").write_text(
        'classes = ["normal", "pneumonia", "covid"]\nimage_size = 32\nchannels = 1\nmean = [0]\nstd = [1]'
    )
    code, _, err = nas(*words, "--out", out)
    assert code == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith(f"error: cannot write to {out}")
    assert last.endswith("a file stands there; choose another --out, or move the file")


@pytest.mark.parametrize("kind", ["spaces", "baselines", "samplers", "readers", "audits"])
def test_lists_name_every_plug_in_with_a_description(nas, kind):
    code, out, _ = nas("list", kind, "--json")
    rows = json.loads(out)
    assert code == 0
    assert len(rows) >= 3
    assert all(row["name"] and row["description"] for row in rows)


CONTRACT = {
    "search": "data classes splits space prototype budget image-size trials time epochs sampler control objective require pretrained "
    "answer-findings profile storage study workers engine device import seed out resume json",
    "generate": "n budget json",
    "audit": "data image level cross-fit model-spec weights seed device out exit-zero self-test quick json",
    "benchmark": "data splits baselines folds seeds epochs image-size recipe pretrained audit survey workers device seed out resume json",
    "report": "verify json",
    "predict": "evidence csv json",
    "cost": "image-size json",
    "export": "format out json",
    "data inspect": "classes data-root crop splits import out json",
    "data phantom": "n shortcut out json",
    "worker": "storage study json",
    "list": "json",
}


@pytest.mark.parametrize("command", CONTRACT)
def test_every_option_that_scripts_rely_on_is_there(command):
    found = get_command(app)
    for word in command.split():
        found = found.commands[word]
    known = {name for parameter in found.params for name in parameter.opts}
    assert {f"--{name}" for name in CONTRACT[command].split()} <= known


def test_help_loads_no_torch_and_no_optuna():
    probe = "import sys; sys.argv=['nas','--help']\nfrom nas.cli import main\ntry: main()\nexcept SystemExit: pass\nprint(sorted({'torch','optuna','sklearn','matplotlib','captum'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("nas.report.live", "nas.report.page torch optuna scipy"),  # what watches a search
        ("nas.jobs.search", "torch optuna scipy sklearn nas.report.page"),  # what waits for its data
        ("nas.generator.generator", "scipy.optimize scipy.stats sklearn"),  # what proposes its first network
    ],
)
def test_what_a_search_starts_with_loads_nothing_that_comes_later(module, heavy):
    probe = f"import sys, {module}; print(sorted(set({heavy.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_recorded_command_can_be_pasted(monkeypatch):
    words = ["nas", "search", "--require", "sensitivity[covid]>=0.1", "--data", "folder:my images|x", "--out", "r1"]
    monkeypatch.setattr(sys, "argv", words)
    assert shlex.split(command()) == words
    assert (
        subprocess.run(["bash", "-c", f"printf '%s\\n' {command()}"], capture_output=True, text=True).stdout.split("\n")[:-1]
        == words
    )
    monkeypatch.setattr(sys, "argv", ["nas", "search", "--storage", "postgresql://me:secret@db/nas"])
    assert "secret" not in command()


@pytest.mark.parametrize(("text", "seconds"), [("8h", 28800), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("1.5h", 5400)])
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "8x", "-1h", "1h 30m"])
def test_durations_that_cannot_be_read(text):
    with pytest.raises(InputError, match="duration"):
        parse_duration(text)
