"""``nas.audit`` on a module of the caller's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import nas
import nas.data
from nas.data import Preprocessing
from nas.evaluation import LoadedModel
from nas.jobs.report import rewrite, verify
from search_spaces.errors import InputError


def test_an_audit_leaves_every_part_of_the_callers_module_in_its_mode():
    data = nas.data.load("phantom:n=60,seed=5", image_size=32)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(), nn.Linear(4 * 30 * 30, 3)).train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    nas.audit(model, data, level="screen")
    assert [module.training for module in model.modules()] == modes


def test_classes_merge_the_labels_of_the_data_into_the_models_and_keep_its_order():
    model = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 2))
    loaded = LoadedModel(model, ("covid", "rest"), nas.data.Preprocessing(image_size=32), "two", frozenset())
    with pytest.raises(InputError, match="no label 'rest'"):
        nas.audit(loaded, "phantom:n=60", level="screen")
    record = nas.audit(loaded, "phantom:n=60", classes=("covid", "rest=normal+pneumonia"), level="screen")
    assert record.data.classes == {"covid": 20, "rest": 40}
    turned = nas.audit(loaded, "phantom:n=60", classes=("rest=normal+pneumonia", "covid"), level="screen")
    assert {m.name: m.value for m in turned.metrics} == {m.name: m.value for m in record.metrics}


class Columns(nn.Module):
    """Logits that are two pixels' grey values, in the given order."""

    def __init__(self, *columns: int) -> None:
        super().__init__()
        self.columns = list(columns)

    def forward(self, images: Tensor) -> Tensor:
        return images[:, 0, 5, self.columns]


def test_classes_may_stand_in_another_order_than_the_datas():
    data = nas.data.load("phantom:n=200,seed=5", image_size=32, classes=("normal", "pneumonia"))
    straight = nas.audit(Columns(5, 25), data, level="screen")
    turned = nas.audit(Columns(25, 5), data, classes=("pneumonia", "normal"), level="screen")
    assert turned.finding.gates == straight.finding.gates
    assert turned.metrics == straight.metrics
    with pytest.raises(InputError, match="normal, covid are not the data's"):
        nas.audit(Columns(5, 25), data, classes=("normal", "covid"), level="screen")


def test_images_of_another_size_than_the_models_are_refused():
    model = LoadedModel(Columns(5, 25), ("normal", "pneumonia"), Preprocessing(image_size=48), "mine", frozenset())
    data = nas.data.load("phantom:n=60,seed=5", image_size=32, classes=("normal", "pneumonia"))
    with pytest.raises(InputError, match="the images are 32 px, and mine takes 48; load them with image_size=48"):
        nas.audit(model, data, level="screen")


def test_what_a_model_in_memory_cannot_say_is_asked_for():
    model = LoadedModel(small_network(), ("normal", "pneumonia"), Preprocessing(image_size=32), "mine", frozenset())
    with pytest.raises(InputError, match="mine does not say on which images"):
        nas.audit(model)
    data = nas.data.load("phantom:n=60,seed=5", image_size=32, classes=("normal", "pneumonia"))
    for one in (model, model.model):
        with pytest.raises(InputError, match="in memory has none of a search space or does not say how"):
            nas.audit(one, data, cross_fit=2)


def small_network() -> nn.Module:
    """One whose text is longer than a path may be."""
    return nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(40)), nn.Flatten(), nn.Linear(32 * 32, 2))


def test_an_exported_program_is_audited_in_the_mode_that_it_was_exported_in():
    data = nas.data.load("phantom:n=60,seed=5", image_size=32, classes=("normal", "pneumonia"))
    model = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 2)).eval()
    program = torch.export.export(model, (torch.rand(4, 1, 32, 32),), dynamic_shapes=({0: torch.export.Dim("n", max=4096)},))
    exported, own = (nas.audit(one, data, level="screen") for one in (program.module(), model))
    assert exported.metrics == own.metrics
    assert exported.finding.gates == own.finding.gates


def test_an_audits_files_are_vouched_for_and_nobody_elses(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    data = nas.data.load("phantom:n=60,seed=5", image_size=32, classes=("normal", "pneumonia"))
    nas.audit(Columns(5, 25), data, level="screen", out=tmp_path)
    assert verify(tmp_path) == []
    rewrite(tmp_path)
    (tmp_path / "notes.txt").write_text("still mine")
    assert verify(tmp_path) == []  # the page was written anew on purpose
    (tmp_path / "audit.json").write_text("{}")
    (tmp_path / "tests.csv").unlink()
    assert [line.rpartition("/")[2] for line in verify(tmp_path)] == [
        "audit.json: content differs from its checksum",
        "tests.csv: missing",
    ]
