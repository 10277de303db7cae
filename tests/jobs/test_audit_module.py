"""``nas.audit`` on a module of the caller's own."""

from __future__ import annotations

import pytest
from torch import nn

import nas
import nas.data
from nas.evaluation import LoadedModel
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
    with pytest.raises(InputError, match=r"the model's classes \['covid', 'rest'\] differ from the data's \['rest', 'covid'\]"):
        nas.audit(loaded, "phantom:n=60", classes=("rest=normal+pneumonia", "covid"), level="screen")
