"""Retraining side by side gives what one after another gives; what fails in a process is raised in the search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.data import Preprocessing
from nas.engine.context import Context
from nas.engine.directory import RunDirectory, is_sealed
from nas.engine.progress import Silent
from nas.engine.settings import SearchSettings
from nas.evaluation import load_candidate
from nas.files import write_json
from nas.jobs.audit import data_for
from nas.jobs.crossfit import training_of
from nas.jobs.retraining import HowTrained, Retraining, retrain
from search_spaces.errors import InputError

SETTINGS = SearchSettings(
    data=("phantom:n=90",), image_size=32, budget="1M", epochs=1, final_seeds=2, audit_images=0, device="cpu", workers=2
)


class Listening(Silent):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def message(self, text: str) -> None:
        self.told.append(text)


def trainings(context: Context, home: Path, answers: tuple[str, ...] = ()) -> list[Retraining]:
    architecture = context.space.sample(np.random.default_rng(0), context.budget)
    return [Retraining(architecture.key, architecture.to_json(), seed, answers, home / f"seed{seed}") for seed in (0, 1)]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    directory = RunDirectory(tmp_path / "run")
    write_json(directory.settings, SETTINGS.model_dump(mode="json"))
    return Context.open(SETTINGS, directory)


def test_two_processes_train_what_one_trains(context: Context, tmp_path: Path) -> None:
    apart, together, listening = (
        trainings(context, tmp_path / "run" / "apart"),
        trainings(context, tmp_path / "run" / "together"),
        Listening(),
    )
    retrain(context, apart, Silent(), 1)
    retrain(context, together, listening, 2)
    assert training_of(together[0].directory) == HowTrained(recipe=SETTINGS.recipe.model_copy(update={"epochs": 2}))
    for one, other in zip(apart, together, strict=True):
        assert is_sealed(other.directory)
        assert one.figures["log_loss"] == other.figures["log_loss"]
        files = [(one.directory / "weights.safetensors").read_bytes(), (other.directory / "weights.safetensors").read_bytes()]
        assert files[0] == files[1]
    assert apart[0].figures["log_loss"] != apart[1].figures["log_loss"]
    assert listening.told[0] == "retraining 2 networks, 2 at a time"
    assert sorted(text.partition(", seed ")[2] for text in listening.told[1:]) in (
        ["1 of 2, 2 epochs (1 of 2)", "2 of 2, 2 epochs (2 of 2)"],
        ["1 of 2, 2 epochs (2 of 2)", "2 of 2, 2 epochs (1 of 2)"],
    )


def test_what_is_trained_is_not_trained_again(context: Context, tmp_path: Path) -> None:
    wanted, listening = trainings(context, tmp_path / "home"), Listening()
    retrain(context, wanted[:1], listening, 2)
    before = (wanted[0].directory / "weights.safetensors").stat().st_mtime_ns
    retrain(context, wanted, listening, 2)
    assert (wanted[0].directory / "weights.safetensors").stat().st_mtime_ns == before
    assert [text.partition(", seed ")[2] for text in listening.told] == ["1 of 2, 2 epochs", "2 of 2, 2 epochs"]


def test_a_candidate_that_a_crop_answers_sees_crops_wherever_it_is_asked(context: Context, tmp_path: Path) -> None:
    wanted = trainings(context, tmp_path / "run" / "answered", answers=("marker", "crop_body"))
    retrain(context, wanted, Silent(), 2)  # in processes, which open the search anew
    loaded = load_candidate(wanted[0].directory)
    assert loaded.preprocessing == Preprocessing(image_size=32, lungs=True)
    assert training_of(wanted[0].directory).recipe.answers == ("marker",)
    cut, whole = context.cropped.dataset, context.dataset
    assert loaded.training_hashes == set(cut.image_hashes[context.parts.train].tolist())
    assert not loaded.training_hashes & set(whole.image_hashes.tolist())
    assert cut.group.tolist() == whole.group.tolist()
    asked = np.sort(np.concatenate([context.parts.validation, context.parts.audit]))
    np.testing.assert_array_equal(data_for(loaded, wanted[0].directory, None, None).images, cut.images[asked])
    pool = data_for(loaded, wanted[0].directory, None, None, pool=True)
    assert len(pool) == len(asked) + len(context.parts.train)
    assert set(pool.image_hashes.tolist()) <= set(cut.image_hashes.tolist())


def test_an_error_in_a_process_is_the_searchs(context: Context, tmp_path: Path) -> None:
    wanted = trainings(context, tmp_path / "home", answers=("no such option",))
    with pytest.raises(InputError, match="no such option"):
        retrain(context, wanted, Silent(), 2)


def test_answered_networks_train_twice_as_long(tmp_path: Path) -> None:
    plain, answered = (Retraining("k", {}, 0, answers, tmp_path) for answers in ((), ("marker",)))
    assert (plain.epochs(SETTINGS), answered.epochs(SETTINGS)) == (2, 4)
    assert answered.text(SETTINGS) == "k, with marker, seed 1 of 2, 4 epochs"
