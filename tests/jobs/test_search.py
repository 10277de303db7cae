"""What a search keeps when it goes on, and what it says of its time, its control and its openings of the sealed test."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

import nas.data
from nas.engine.directory import damaged_files
from nas.engine.journal import journal_storage
from nas.engine.progress import Silent
from nas.engine.settings import SearchSettings
from nas.engine.study import own
from nas.jobs.benchmark import benchmark
from nas.jobs.inspect import write_phantom
from nas.jobs.listing import prototype
from nas.jobs.search import search
from nas.jobs.search_trials import _await_others, deadlines
from nas.jobs.worker import worker
from nas.records import SearchRecord
from nas.report.live import Lines
from search_spaces.catalogue import _SPACES
from search_spaces.errors import InputError, ToolkitError

TINY: dict[str, Any] = {
    "image_size": 32, "budget": "300K", "epochs": 1, "finalists": 2, "final_seeds": 1, "final_epochs": 1, "audit_images": 40,
    "screen": False, "sampler": "random", "engine": "here", "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SearchRecord]]:
    """A search of one trial, then the same with eleven, then the same again."""
    run = tmp_path_factory.mktemp("resumed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(run.parent / "cache"))
        first = search("phantom:n=60", out=run, trials=1, command="nas search --trials 1", **TINY)
        again = [search(out=run, resume=True, trials=11, engine="here", command="nas search --resume") for _ in range(2)]
        yield [first, *again]


def test_python_takes_paths_and_single_texts_as_the_command_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    table = write_phantom(tmp_path / "images", n=60, image_size=32, shortcut=None, seed=0)
    asked = {
        "classes": "normal, ill=covid+pneumonia",
        "require": "accuracy>=0",
        "prototype": "covidnet",
        **TINY,
        "sampler": "generator",
    }
    settings = search(table, out=tmp_path / "run", trials=1, **asked).settings
    assert settings["data"] == [str(table)]
    assert settings["classes"] == ["normal", "ill=covid+pneumonia"]
    assert settings["require"] == ["accuracy>=0"]
    assert settings["prototype"]["choices"]
    for call in (
        lambda given: search(given, out=tmp_path / "other", **TINY),
        lambda given: benchmark(data=given),
        nas.data.load,
    ):
        with pytest.raises(InputError, match="a SPEC, a path, or a list of them is needed, but got dict"):
            call({"table": table})
    assert nas.data.load([table], image_size=32).images.shape == (60, 1, 32, 32)


def test_a_prototype_beyond_the_budget_is_not_passed_over_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said, asked = io.StringIO(), {**TINY, "sampler": "generator", "trials": 1, "prototype": "covidnet"}
    record = search("phantom:n=60", out=tmp_path / "run", progress=Lines(said), **asked)
    assert len(record.notes) == 1
    assert record.notes[0].startswith("the budget (flops ≤ 300,000 at 32 px) does not admit the prototype (flops 31,725,184)")
    assert record.notes[0] in said.getvalue()
    again = search("phantom:n=60", out=tmp_path / "fits", **{**asked, "budget": "50M"})
    assert (again.notes, again.trials[0].architecture["choices"]) == ((), record.settings["prototype"]["choices"])


OWN_SPACE = """
from search_spaces import DecisionSpace, register_space
@register_space("space_with_a_design")
class Space(DecisionSpace):
    def __init__(self, classes=3, in_channels=1, image_size=None):
        super().__init__("space_with_a_design", {"width": (1, 2)}, flops=lambda choice: choice["width"])
    def prototypes(self):
        return {"narrow": self.architecture({"width": 1})}
"""


def test_a_design_of_a_space_of_ones_own_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_design.py").write_text(OWN_SPACE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_SPACES, "_entries", dict(_SPACES._entries))
    assert prototype("narrow", "space_with_a_design", imports="own_design")["choices"] == {"width": 1}


def test_whether_trials_are_pruned_is_settled_when_the_search_starts(resumed: list[SearchRecord]) -> None:
    assert [record.accounting.completed + record.accounting.pruned for record in resumed] == [1, 11, 11]
    assert [record.settings["prune"] for record in resumed] == [False] * 3
    stored = json.loads(Path(resumed[0].directory, "settings.json").read_text())
    assert stored["prune"] is False


def test_a_search_takes_paths_and_refuses_a_data_set_in_memory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a data set in memory"):
        search(nas.data.load("phantom:n=6", image_size=32), out=tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no file or folder"):
        search(tmp_path / "nothing", out=tmp_path / "run", **TINY)


def test_a_control_takes_half_of_the_time_and_no_more() -> None:
    assert deadlines(SearchSettings(), 100.0) == (None, None)
    assert deadlines(SearchSettings(time=8.0), 100.0)[0] == 108.0
    assert deadlines(SearchSettings(time=8.0, control="random"), 100.0) == (104.0, 108.0)


def test_workers_that_join_start_no_trial_after_the_searchs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ToolkitError, match="none was started in the time given"):
        search("phantom:n=60", out=tmp_path / "run", trials=2, time=1e-6, **TINY)
    assert worker(f"journal:{tmp_path}/run/journal.log", "search", directory=tmp_path / "run") == 0


def test_a_search_waits_for_the_trials_that_others_still_run(tmp_path: Path) -> None:
    study = optuna.create_study(storage=journal_storage(tmp_path / "journal.log"))
    trial, _ = study.ask(), study.ask()  # of the second nobody says whose it is
    own(trial, "joined")
    ending = Timer(1.0, study.tell, (trial, 0.5))
    ending.start()
    _await_others(study, Silent())
    states = [t.state for t in study.get_trials()]
    ending.join()
    assert states == [TrialState.COMPLETE, TrialState.FAIL]


def test_a_controls_trials_do_not_count_as_the_searchs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = io.StringIO()
    search("phantom:n=60", out=tmp_path / "run", trials=2, control="random", progress=Lines(out, trials=2), **TINY)
    assert [line.partition(" done")[0][9:] for line in out.getvalue().splitlines() if " done" in line] == [
        "1 of 2", "2 of 2", "control: 1 of 2", "control: 2 of 2"
    ]  # fmt: skip


def test_a_control_trains_as_many_candidates_where_trials_are_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    how = {**TINY, "epochs": 3, "finalists": 1}
    record = search("phantom:n=60", out=tmp_path / "run", trials=8, prune=True, control="random", **how)
    assert record.accounting.pruned > 0
    assert record.accounting.pruned + record.accounting.completed == 8
    assert record.comparisons[0].note.startswith("best of 8 against best of 8 candidates")


def test_the_command_of_a_run_is_the_one_that_it_was_started_with(resumed: list[SearchRecord]) -> None:
    assert [record.command for record in resumed] == ["nas search --trials 1"] * 3
    assert [record.notes for record in resumed] == [(), *[("gone on with by: nas search --resume",)] * 2]
    assert not damaged_files(Path(resumed[0].directory))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"study": "night"},
            r"run holds a search, but the run's journal no study 'night' to go on with; give --storage and --study",
        ),
        ({"storage": "sqlite:///OTHER"}, r"but sqlite:///.*other.db no study 'search'.*commands\.json"),
        ({"epochs": 0}, r"'epochs': input should be greater than or equal to 1, but got 0"),
        ({"epoch": 2}, "unknown setting 'epoch'"),
        ({"out": None}, "name it with --out"),
    ],
    ids=str,
)
def test_a_search_that_cannot_be_gone_on_with_so_is_left_as_it_is(
    resumed: list[SearchRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path(resumed[0].directory).parent / "cache"))
    if "storage" in asked:
        asked = {"storage": f"sqlite:///{tmp_path}/other.db"}
    with pytest.raises(InputError, match=said):
        search(resume=True, engine="here", **{"out": resumed[0].directory, **asked})
    assert not (tmp_path / "runs").exists()
    assert (Path(resumed[0].directory) / "checksums.json").exists(), "a finished run vouches for its records, as before"
    journal = journal_storage(Path(resumed[0].directory) / "journal.log")
    assert optuna.get_all_study_names(journal) == ["search"]


def test_a_study_of_another_run_is_said_to_be_one_whatever_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shared: dict[str, Any] = {"storage": f"sqlite:///{tmp_path}/study.db", "trials": 1, "time": 1e-6, **TINY}
    with pytest.raises(ToolkitError, match="none was started"):
        search("phantom:n=60", out=tmp_path / "mine", **shared)
    with pytest.raises(
        InputError, match="it belongs to another run directory: name that one with --out, or take another --study"
    ):
        search("phantom:n=60", out=tmp_path / "yours", seed=1, **shared)


def test_each_look_at_the_sealed_test_counts_once(resumed: list[SearchRecord], tmp_path: Path) -> None:
    first, second, same = ({candidate.key for candidate in record.front} for record in resumed)
    assert first != second == same, "the eleven trials were to bring other finalists"
    assert [record.test_openings for record in resumed] == [1, 2, 2]
    how: dict[str, Any] = {"learning_rates": (), "folds": 2, "epochs": 1, "device": "cpu"}
    for look, home in enumerate(("x", "y"), start=3):
        assert benchmark(resumed[0].directory, baselines="none", out=tmp_path / home / "bench", **how).test_openings == look
    assert benchmark(out=tmp_path / "x" / "bench", resume=True).test_openings == 3
