"""torchxrayvision's data set objects, by shape: the library itself is not needed."""

from __future__ import annotations

import numpy as np
import pytest
from data_samples import picture

import nas.data as data
from search_spaces.errors import InputError


class _Column(list):
    @property
    def iloc(self) -> list:
        return self


class _Table(dict):
    @property
    def columns(self) -> list[str]:
        return list(self)


class Fake:
    """The attributes that torchxrayvision's data sets have."""

    pathologies = ("Pneumonia", "Mass")

    def __init__(self) -> None:
        nan = float("nan")
        self.labels = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [nan, 0], [0, 0], [1, 0], [1, nan]])
        self.csv = _Table(patientid=_Column([1, 1, 2, 3, 4, 5, 6, 7]), view=_Column(["PA"] * 8))

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, object]:
        return {"img": picture(index)[None].astype(np.float32) / 255 * 2048 - 1024, "lab": self.labels[index], "idx": index}


def test_one_finding_or_none_makes_a_class():
    found = data.from_torchxrayvision(Fake(), image_size=32)
    assert found.classes == ("normal", "Mass", "Pneumonia")
    assert found.labels.tolist() == [0, 2, 1, 0, 2, 2]
    assert found.skipped == {"several or unstated findings": 2}
    assert found.group[0] == found.group[1] != found.group[2]
    assert set(found.source) == {"Fake"}
    assert found.native_size[0].tolist() == [40, 48]
    expected = data.Preprocessing(image_size=32)
    assert found.preprocessing == expected
    data.check_leaks(found, data.Parts(*(np.array(i) for i in ([0, 1], [2], [3], [4, 5]))))


def test_people_and_views_that_the_table_does_not_know_are_unknown():
    collection = Fake()
    nan = float("nan")
    collection.csv = _Table(patientid=_Column([nan, nan, 2, nan, 4, nan, 6, 6]), view=_Column(["PA", nan] * 4))
    found = data.from_torchxrayvision(collection, image_size=32)
    assert found.patient.tolist() == ["", "", "2", "", "6", "6"]
    assert len(set(found.group)) == 5
    assert set(found.view) == {"PA", ""}


def test_classes_are_selected_and_other_objects_refused():
    assert len(data.from_torchxrayvision(Fake(), classes="pneumonia,normal", image_size=32)) == 5
    with pytest.raises(InputError, match="no matching pathologies"):
        data.from_torchxrayvision([1, 2])
