import json
import os
import shlex
import signal
import subprocess
import sys

import pytest
from PIL import Image
from typer.main import get_command

from nas.cli import app
from nas.cli_options import LINE_ONLY, command, parse_duration, read_config
from nas.engine.settings import parse_settings, preset
from nas.jobs.benchmark import _fill_from_run
from search_spaces.errors import InputError

TINY = ["--data", "phantom:n=120", "--image-size", "32", "--budget", "1M", "--epochs", "1", "--trials", "2"]


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

    (tmp_path / "new").mkdir()
    Image.new("L", (40, 40), 90).save(tmp_path / "new" / "a.png")
    code, out, _ = nas("predict", "run", "new", "--json")
    assert code == 0
    probabilities = json.loads(out)["predictions"][0]["probabilities"]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    code, out, _ = nas("predict", "run", "new/a.png", "--evidence", "--out", "drawn", "--csv", "answers.csv")
    assert code == 0
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["0000-a.png"]
    assert (tmp_path / "answers.csv").read_text() == out
    code, out, err = nas("predict", "run", "new/a.png", "new/b.png", "--csv", "answers.csv")
    assert (code, "1 of 2 files have no answer" in err) == (2, True)
    assert [line.split(",")[0] for line in out.splitlines()] == ["image", "new/a.png", "new/b.png"]
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


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_ends_with_130_and_says_how_to_go_on(name, tmp_path):
    """The command interrupts itself, inside the job, as a person or a batch system would from outside."""
    probe = f"""
import os, signal, sys, time
import nas.jobs.listing
nas.jobs.listing.listing = lambda kind: (os.kill(os.getpid(), signal.{name}), time.sleep(30))
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
        ("search --out d", "nas.jobs.search.search", "saved: go on with the same command and --resume"),
        ("search --out=d --resume", "nas.jobs.search.search", "saved: go on with the same command"),
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
    last = err.strip().splitlines()[-1]
    assert said in last
    assert last.endswith(said) or not said.startswith("saved")


def test_a_command_that_is_called_in_a_process_leaves_its_handler_of_sigterm(nas):
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert nas("list", "spaces")[0] == 0
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_audits_of_two_factories_lie_apart(nas, monkeypatch):
    places = []

    def audit(*_, out, **__):
        places.append(str(out))
        raise InputError("stop")

    monkeypatch.setattr("nas.jobs.audit.audit", audit)
    for name in ("pkg.mod:a", "pkg.mod:b", "models/x.onnx"):
        nas("audit", name)
    assert places == ["audits/pkg.mod-a", "audits/pkg.mod-b", "audits/x"]


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


def test_a_name_that_is_no_utf8_reaches_a_terminal_that_is_strict_about_it():
    code = "import os, sys; from nas import cli; cli.app = lambda **_: print(os.fsdecode(b'M\\xfcller')); cli.main()"
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert shown.stdout == b"M\xfcller\n", shown.stderr.decode()


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
