"""What the commands refuse: one line with value, rule and remedy, exit code 2, nothing lost."""

from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from nas.cli_options import parse_duration
from search_spaces.errors import InputError

TINY = ["--data", "phantom:n=120", "--image-size", "32", "--budget", "1M", "--epochs", "1", "--trials", "2"]


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def class_folders(root, counts):
    for name, count in counts.items():
        for i in range(count):
            picture(root / name / f"{name}{i}.png", seed=crc32(f"{name}{i}".encode()))
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
        ("m.onnx --image a.png --level deep", "--level deep would be ignored"),
        ("m.onnx --image a.png --level screen", "--level screen would be ignored"),
        ("m.onnx --image a.png --cross-fit 0", "--cross-fit would be ignored"),
        ("m.onnx --mask a.png", "--mask would be ignored"),
        ("m.onnx --self-test --data phantom", "MODEL, --data would be ignored"),
        ("--self-test --seed 0 --mask a.png --level screen", "--mask, --level screen, --seed would be ignored"),
    ],
)
def test_options_of_an_audit_that_nobody_would_read_are_refused(nas, words, said):
    code, out, err = nas("audit", *words.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "option"), [("predict run a.png --out drawn", "--out"), ("cost covidnet --device cuda", "--device")]
)
def test_options_that_belong_to_one_that_is_not_given_are_refused(nas, words, option):
    code, out, err = nas(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {option} would be ignored")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("audit m.onnx --level deep", "--level must be full or screen, but got 'deep'"),
        ("cost fire2:make --image-size 8 --latency --device gpu", "--device must be auto, cpu or cuda, but got 'gpu'"),
        ("data inspect phantom --classes ,", "classes ',' name none"),
    ],
)
def test_a_word_that_an_option_does_not_know_is_not_taken_for_its_default(nas, words, said, tmp_path, monkeypatch):
    (tmp_path / "fire2.py").write_text("import torch\ndef make(): return torch.nn.Conv2d(1, 2, 3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    code, out, err = nas(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}")


def test_an_audit_is_not_written_over_what_it_is_about(nas, tmp_path):
    for name, what in (("settings.json", "a run"), ("benchmark.json", "a benchmark"), ("manifest.json", "a model")):
        home = tmp_path / name.partition(".")[0]
        home.mkdir()
        (home / name).write_text("{}")
        code, _, err = nas("audit", "m.onnx", "--out", home)
        assert (code, f"{home} holds {what} ({name})" in err) == (2, True)


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


@pytest.mark.parametrize("text", ["", "8", "h", "8x", "-1h", "1h 30m"])
def test_durations_that_cannot_be_read(text):
    with pytest.raises(InputError, match="duration"):
        parse_duration(text)
