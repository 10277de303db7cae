"""Whatever is thrown at a spec, a table or a folder, only the project's own errors come back."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_samples import lung, picture, save, write_csv
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import nas.data as data
from nas.data import arrays
from nas.data.listing import clean, normal_form
from nas.data.readers import csvfile
from nas.data.selection import select
from search_spaces.errors import InputError, ToolkitError


@pytest.fixture(autouse=True)
def _stay_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


TEXT = st.text(max_size=40)
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def outcome(work: Callable[[], object]) -> str:
    """What the project's own error said, "" without one; any other exception fails the test."""
    try:
        work()
    except ToolkitError as error:
        return str(error)
    return ""


@FUZZ
@given(
    spec=st.one_of(
        TEXT, st.builds("{}:{}".format, st.sampled_from(["table", "folder", "phantom", "dicom", "covidx", "x"]), TEXT)
    )
)
def test_any_spec(spec: str):
    assume("/" not in spec and ".." not in spec)  # never walk this machine
    said = outcome(lambda: data.load(spec))
    assert clean(said) == said[:300].strip()


@FUZZ
@given(
    content=st.one_of(
        st.binary(max_size=300), st.builds(lambda t: f"file,label\n{t}".encode(errors="replace"), st.text(max_size=200))
    )
)
def test_any_table(tmp_path: Path, content: bytes):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        data.load(f"table:{path}")
    assert clean(error.value)[:200] == str(error.value)[:200]


@FUZZ
@given(labels=st.lists(TEXT, min_size=1, max_size=6), classes=st.one_of(TEXT, st.lists(TEXT, max_size=4)))
def test_any_selection(labels: list[str], classes: str | list[str]):
    def chosen() -> None:
        names, index = select(labels, classes)
        assert set(index.values()) == set(range(len(names)))

    assert "\n" not in outcome(chosen)


@FUZZ
@given(st.text())
def test_cleaned_text_can_be_printed(text: str):
    found = clean(text)
    assert found.isprintable()
    assert len(found) <= 300
    assert clean(found) == found
    assert normal_form(found) == normal_form(text)


@FUZZ
@given(line=st.text(max_size=60), name=st.sampled_from(["covidx", "ieee8023", "rsna", "nih14"]))
def test_any_line_in_a_downloaded_table(tmp_path: Path, line: str, name: str):
    from data_layouts import lay_out

    base = tmp_path / name
    if not base.exists():
        if name == "rsna":
            pytest.importorskip("pydicom", reason="needs the extra 'dicom'")
        lay_out(name, tmp_path)
    table = {"covidx": "test.txt", "ieee8023": "covid-chestxray-dataset/metadata.csv", "rsna": "stage_2_train_labels.csv",
             "nih14": "Data_Entry_2017.csv"}[name]  # fmt: skip
    kept = (base / table).read_bytes()
    (base / table).write_bytes(kept + b"\n" + line.encode(errors="replace"))
    assert "\n" not in outcome(lambda: data.load(f"{name}:{base}", image_size=16, cache=None))
    (base / table).write_bytes(kept)


def test_a_folder_of_rubbish_is_accounted_for(tmp_path: Path):
    for name in ("normal", "covid"):
        for i in range(12):
            save(tmp_path / name / f"{i}.png", picture(i + 100 * (name == "covid")))
    rubbish = {"notes.txt": b"text", "empty.png": b"", "film.mp4": b"\0" * 99, "nested.zip": b"PK\x03\x04", "nested.tar.gz": b"\x1f\x8b",
               "script.png": b"#!/bin/sh\n", "no_extension": b"\xff\xd8", "half.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF", "Thumbs.db": b"x"}  # fmt: skip
    for name, content in rubbish.items():
        (tmp_path / "normal" / name).write_bytes(content)
    (tmp_path / "normal" / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "covid" / "pipe.png")
    with pytest.raises(InputError, match=r"5 of 29 images cannot be read.*empty.png \(empty file\)"):
        data.load(str(tmp_path), image_size=32)
    (tmp_path / "covid" / "pipe.png").unlink()
    (tmp_path / "normal" / "dangling.png").unlink()
    found = data.load(str(tmp_path), image_size=32)
    assert len(found) == 24
    assert found.skipped == {
        "not an image (.txt)": 1, "not an image (.mp4)": 1, "not an image (.zip)": 1, "not an image (.gz)": 1, "not an image (.db)": 1,
        "not an image (no extension)": 1, "unreadable: empty file": 1, "unreadable: not an image": 1, "unreadable: damaged image": 1,
    }  # fmt: skip
    assert data.summarise(found).skipped == found.skipped


def test_control_characters_never_reach_a_name(tmp_path: Path):
    for i in range(8):
        save(tmp_path / "set" / ("nor\x1b[31mmal", "covid\u202e")[i % 2] / f"{i}\x07.png", picture(i))
    found = data.load(f"folder:{tmp_path / 'set'}", image_size=32)
    assert found.classes == ("covid", "nor[31mmal")
    assert all(name.isprintable() for name in [*found.file, *found.source, *found.group])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"name,class\na,b\n", "has no column 'file'"),
        (b"file,label,file\na,b,c\n", "names the column 'file' twice"),
        (b"file,label\n", "lists no image"),
        (b"file,label\na,b,c\n", "line 2: 3 cells under 2 columns"),
        (b"file,label,split\na,b,holdout\n", "split 'holdout' is none of train"),
        (b'file,label\n"' + b"a" * 200_000 + b'",b\n', "line 2: not readable as CSV"),
        (b'"' + b"a" * 200_000 + b'",b\n', "line 1: not readable as CSV"),
        (b"file,label\n" + b"a" * (1 << 20) + b",b\n", "line 2: not readable as CSV .a line of more than"),
    ],
)
def test_malformed_tables_name_the_trouble(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        data.load(f"table:{path}")


@pytest.mark.parametrize("rest", ["", "6.png,a,fine\n7.png,b,'fine'\n", '6.png,a,"fine"\n7.png,b,fine\n'])
def test_a_stray_quote_swallows_no_row(tmp_path: Path, rest: str):
    rows = "".join(f"{i}.png,{'ab'[i % 2]},fine\n" for i in range(5))
    path = tmp_path / "t.csv"
    path.write_text(f'file,label,view\n{rows}5.png,b,"AP\n{rest}')
    with pytest.raises(InputError, match=r"line 7: not readable as CSV .*; close every quote"):
        data.load(f"table:{path}")


def test_quoted_cells_may_hold_lines_and_sloppy_ones_may_hold_quotes(tmp_path: Path):
    for i in range(6):
        save(tmp_path / f"{i}.png", picture(i))
    notes = ['"two\nlines, ""quoted"""', 'a 5" film', '"PA" erect', "", "", ""]
    rows = "".join(f"{i}.png,{'ab'[i % 2]},{note}\n" for i, note in enumerate(notes))
    (tmp_path / "t.csv").write_text(f"file,label,note\n{rows}")
    found = data.load(str(tmp_path / "t.csv"), image_size=32)
    assert found.metadata["note"].tolist()[:3] == ['twolines, "quoted"', 'a 5" film', "PA erect"]
    (tmp_path / "t.csv").write_text(f"file,label,note\n{rows}6.png,a,b,c\n")
    with pytest.raises(InputError, match="line 9: 4 cells under 3 columns"):
        data.load(str(tmp_path / "t.csv"))


def test_huge_tables_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "table.csv"
    path.write_text("file,label\n" + "a.png,b\n" * 50)
    monkeypatch.setattr(csvfile, "MAX_ROWS", 10)
    with pytest.raises(InputError, match="more than 10 rows"):
        data.load(f"table:{path}")
    monkeypatch.setattr(csvfile, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="more than 100"):
        data.load(f"table:{path}")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_of_spreadsheets_are_read(tmp_path: Path, delimiter: str):
    rows = ["\ufeffFile,Label,Note"]
    for i in range(8):
        save(tmp_path / f"{i}.png", picture(i))
        rows.append(f"{i}.png,{'ab'[i % 2]},")
    (tmp_path / "t.csv").write_text("\r\n".join(rows).replace(",", delimiter), encoding="utf-8")
    assert len(data.load(str(tmp_path / "t.csv"), image_size=32)) == 8


@pytest.mark.parametrize(
    ("first", "delimiter", "encoding"),
    [
        ("sep=;\r\n", ";", "utf-8"),
        ("SEP=|\n", "|", "utf-8-sig"),
        ("", "\t", "utf-16"),
        ("sep=;\n", ";", "utf-16"),
        ("", ";", "cp1252"),
    ],
)
def test_what_excel_writes_is_read(tmp_path: Path, first: str, delimiter: str, encoding: str):
    rows = ["File,Label,Note"]
    for i in range(8):
        save(tmp_path / f"{i}é.png", picture(i))
        rows.append(f"{i}é.png,{'ab'[i % 2]},")
    (tmp_path / "t.csv").write_text(first + "\r\n".join(rows).replace(",", delimiter), encoding=encoding, newline="")
    assert len(data.load(str(tmp_path / "t.csv"), image_size=32)) == 8


def test_bytes_that_are_no_utf8_keep_people_and_labels_apart(tmp_path: Path):
    for i in range(8):
        save(tmp_path / f"{i}.png", picture(i))
    lines = [f"{i}.png;{('gesund', 'Lungenentzündung')[i % 2]};M{'aäöü'[i % 4]}ller" for i in range(8)]
    encoded = [line.encode("utf-8" if i == 7 else "cp1252") for i, line in enumerate(lines)]  # two programs wrote one file
    (tmp_path / "t.csv").write_bytes(b"\n".join([b"file;label;patient", *encoded]))
    found = data.load(str(tmp_path / "t.csv"), image_size=32)
    assert found.classes == ("gesund", "Lungenentzündung")
    assert sorted(set(found.patient)) == ["Maller", "Mäller", "Möller", "Müller"]


def test_files_are_found_by_the_names_that_the_table_writes(tmp_path: Path):
    names = [
        "10.15\u202fAM.png",
        "a\u00a0b.png",
        "zero\u200bwidth.png",
        "bell\x07.png",
        "/".join(["d" * 120] * 3) + "/long.png",
        "plain.png",
    ]
    rows = [{"file": f" {name} ", "label": "ab"[i % 2], "mask": f"m/{name}", "site": name} for i, name in enumerate(names)]
    for i, name in enumerate(names):
        save(tmp_path / name, picture(i))
        save(tmp_path / "m" / name, lung())
    found = data.load(str(write_csv(tmp_path / "t.csv", rows)), image_size=32, cache=None)
    assert len(found) == found.has_mask.sum() == len(names)
    assert all(text.isprintable() and len(text) <= 300 for text in [*found.file, *found.metadata["site"]])


def test_a_name_that_no_disk_can_hold_counts_as_unreadable(tmp_path: Path, table: Callable[..., Path]):
    path = table(24)
    path.write_text(path.read_text() + f"{'x' * 400}.png,normal\na\0b.png,covid\n")
    found = data.load(str(path), image_size=32)
    assert len(found) == 24
    assert sum(found.skipped.values()) == 2
    for name in ("covidx", "ieee8023"):
        from data_layouts import lay_out

        layout = lay_out(name, tmp_path)
        listed = next(layout.path.rglob("test.txt" if name == "covidx" else "metadata.csv"))
        line = next(line for line in listed.read_text().splitlines() if ".png" in line)
        listed.write_text(listed.read_text() + "\n" + re.sub(r"\w+\.png", "x" * 270 + ".png", line) + "\n")
        assert data.load(f"{name}:{layout.path}", image_size=16).skipped["unreadable: cannot open (OSError)"] == 1


def test_empty_cells_by_any_name(tmp_path: Path, table: Callable[..., Path]):
    def cells(*texts: str) -> Callable[[int], str]:
        return lambda i: texts[i] if i < len(texts) else ""

    gaps = cells("nan", "NaN", "unknown", "N/A")
    path = table(
        12, **dict.fromkeys(("mask", "patient", "group", "source", "view", "split"), gaps), age=cells("nan", "unknown")
    )
    path.write_text(path.read_text() + "images/000.png,nan\nnan,covid\n")
    found = data.load(str(path), image_size=32)
    assert found.classes == ("normal", "covid")
    assert found.skipped == {"row without file or label": 2}
    assert set(found.patient) == set(found.view) == set(found.split) == {""}
    assert set(found.source) == {"table"}
    assert len(set(found.group)) == 12
    assert not any("mask" in note for note in found.notes)
    assert found.metadata["age"].tolist()[:2] == ["", "unknown"]


def test_arrays_are_never_unpickled(tmp_path: Path):
    harmful = np.array([object()], dtype=object)
    np.savez(tmp_path / "a.npz", train_images=harmful, train_labels=np.zeros((1, 1), np.uint8), allow_pickle=True)
    with pytest.raises(InputError, match="is no plain array"):
        data.load(f"medmnist:{tmp_path / 'a.npz'}")


@FUZZ
@given(position=st.integers(0, 2000), noise=st.binary(min_size=1, max_size=40))
def test_any_damage_to_an_archive(tmp_path: Path, position: int, noise: bytes):
    path = tmp_path / "pneumoniamnist.npz"
    images = np.stack([picture(i, (28, 28)) for i in range(6)])
    np.savez(path, train_images=images, train_labels=np.arange(6)[:, None] % 2)
    content = path.read_bytes()
    path.write_bytes(content[:position] + noise + content[position + len(noise) :])
    assert "\n" not in outcome(lambda: data.load(f"medmnist:{path}", image_size=16, cache=None))


def test_rows_of_archives_are_streamed_in_order(tmp_path: Path):
    values = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)
    np.savez_compressed(tmp_path / "a.npz", x=values)
    assert [row.tolist() for row in arrays.stream(tmp_path / "a.npz", "x", [0, 4, 9])] == values[[0, 4, 9]].tolist()
    with pytest.raises(InputError, match="out of order or range"):
        list(arrays.stream(tmp_path / "a.npz", "x", [3, 1]))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("phantom:n=ten", "n='ten' must be a whole number"),
        ("phantom:n=0", "n=0 is out of range"),
        ("phantom:n=99999999", "out of range"),
        ("phantom:colour=red", "phantom option 'colour=red' is unknown; known: n="),
    ],
)
def test_phantom_options_are_checked(spec: str, message: str):
    with pytest.raises(InputError, match=message):
        data.load(spec)


def test_phantom_options_reach_the_phantom():
    found = data.load("phantom:n=24,seed=3", image_size=32)
    assert len(found) == 24
    assert found.image_size == 32
    assert found.classes == ("normal", "pneumonia", "covid")
    chosen = data.load("phantom:n=48,shortcut=marker@0.9", classes="covid,rest=normal+pneumonia", image_size=32)
    assert chosen.classes == ("covid", "rest")
    assert len(chosen) == 48
