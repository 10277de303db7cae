"""The contract of audit tests (ours and others'), gates, foreign models, and what a finding carries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from inquisitor_models import SETTINGS, Reader, small_net
from torch import nn

from nas.inquisitor import AUDIT_TESTS, AuditTest, Case, audit_descriptions, audit_model, explain_decision, register_audit_test
from nas.inquisitor.gates import auditable_classes, enough_groups, groups_of, usable_masks
from nas.inquisitor.margins import Margins
from nas.inquisitor.opening import open_case
from nas.records import Finding, TestResult
from search_spaces.errors import InputError


@pytest.fixture(scope="module")
def case(patched, patch_reader) -> Case:
    return open_case(
        patch_reader, patched, np.arange(len(patched)), auditable=(1,), margins=Margins(), settings=SETTINGS, level="full",
        seed=0, device="cpu",
    )  # fmt: skip


@pytest.mark.parametrize("name", AUDIT_TESTS.names())
def test_every_test_declares_itself_and_returns_one_result_a_class(case, name):
    test = AUDIT_TESTS.get(name)()
    for text in (test.title, test.statistic, test.null, test.cost):
        assert text
    assert set(test.levels) <= {"screen", "full"}
    results = test.run(case)
    assert [item.class_name for item in results] == ["pneumonia"]
    for item in results:
        assert item.test == name
        assert item.verdict in ("pass", "fail", "undecided")
        json.loads(item.model_dump_json())
        if item.effect is not None:
            assert item.interval.low <= item.effect <= item.interval.high
        if test.can_fail and item.effect is not None:
            assert 0 <= item.details["p_fail"] <= 1


def test_descriptions_cover_every_test():
    assert sorted(audit_descriptions()) == sorted(AUDIT_TESTS.names())
    assert list(audit_descriptions())[:3] == ["T0", "T1", "T2"]


class Always(AuditTest):
    """A plug-in that passes whatever it is shown."""

    name, title, statistic, null, cost, levels = "X1", "a plug-in", "nothing", "none", "none", ()

    def run(self, case: Case) -> Sequence[TestResult]:
        return [
            TestResult(
                test="X1", title=self.title, class_name=case.classes[index], statistic="nothing", unit="", effect=0.0, interval=None,
                pass_margin=None, fail_margin=None, verdict="pass",
            )
            for index in case.auditable
        ]  # fmt: skip


def test_a_plug_in_needs_one_class_and_one_registration(patched, patch_reader):
    register_audit_test(Always)
    finding = audit_model(patch_reader, patched, tests=("X1",), settings=SETTINGS)
    assert [item.test for item in finding.tests] == ["X1"]
    assert finding.verdict == "undecided"  # a pass needs the others too
    AUDIT_TESTS._entries.pop("X1")


def test_a_plug_in_that_can_fail_a_model_must_bring_its_p_value(patched, patch_reader, monkeypatch):
    monkeypatch.setattr(Always, "can_fail", True)
    monkeypatch.setitem(AUDIT_TESTS._entries, "X1", Always)
    with pytest.raises(InputError, match=r"audit test X1 can fail a model.*p_fail.*judge\.result"):
        audit_model(patch_reader, patched, tests=("X1",), settings=SETTINGS)


def test_classes_in_another_order_give_the_same_verdict(framed, frame_reader):
    class Swapped(nn.Module):
        def forward(self, images):
            return frame_reader(images).flip(1)

    plain_order = audit_model(frame_reader, framed, tests=("T5",), settings=SETTINGS)
    other_order = audit_model(Swapped(), framed, classes=("pneumonia", "normal"), tests=("T5",), settings=SETTINGS)
    assert plain_order.tests == other_order.tests
    with pytest.raises(InputError, match="not the data's"):
        audit_model(frame_reader, framed, classes=("a", "b"))


def test_wrong_number_of_logits_is_an_error(plain):
    with pytest.raises(InputError, match="3 logits"):
        audit_model(small_net(classes=3), plain)


class Restless(nn.Module):
    """What dropout or batch statistics leave on after ``eval``."""

    def __init__(self, how):
        super().__init__()
        self.net, self.how = small_net(), how

    def forward(self, images):
        features = self.how(self.net.stage1(images))
        return self.net.head(features)


@pytest.mark.parametrize(
    "how",
    [
        lambda features: nn.functional.dropout(features, 0.5, training=True),
        lambda features: nn.functional.batch_norm(features, None, None, training=True),
    ],
)
def test_a_model_that_does_not_answer_the_same_twice_is_refused(plain, how):
    with pytest.raises(InputError, match=r"does not answer the same twice.*training=True"):
        audit_model(Restless(how), plain, level="screen")
    with pytest.raises(InputError, match="does not answer the same twice"):
        explain_decision(Restless(how), plain.images[0], plain.masks([0])[0], plain, np.arange(1, 600))


@pytest.mark.parametrize("answer", [lambda logits: logits * 0, lambda logits: logits.bfloat16()])
def test_answers_that_are_rounded_or_never_change_are_no_reason_to_refuse(plain, answer):
    assert audit_model(Reader(lambda images: answer(images.mean((1, 2, 3)))), plain, level="screen").verdict == "undecided"


def test_too_few_groups_or_masks_leave_it_undecided_before_the_model_is_called(plain):
    def unasked(images):
        raise AssertionError("the model was called")

    few = audit_model(Reader(unasked), plain, np.arange(60))
    assert few.verdict == "undecided"
    assert "not auditable" in few.binding_reason
    assert "(or a run by --cross-fit)" in few.binding_reason  # a foreign model has no architecture to train anew
    bare = replace(plain, has_mask=np.arange(len(plain)) < 100)
    finding = audit_model(Reader(unasked), bare)
    assert finding.verdict == "undecided"
    assert "masks" in finding.binding_reason
    assert finding.excluded == {"no lung mask": 500}


def test_a_class_that_nobody_can_give_for_leaves_audit_and_decision_undecided(plain):
    """Three classes, and whoever shows the third has no usable mask, or nobody shows it."""
    model, images = small_net(classes=3), np.arange(400)
    wide = replace(plain, classes=(*plain.classes, "covid"))
    labels = np.where(np.arange(len(plain)) < 60, 2, plain.labels)
    bare = replace(wide, labels=labels, has_mask=labels != 2)
    for data in (wide, bare):
        finding = audit_model(model, data)
        assert (finding.verdict, finding.binding_reason) == (
            "undecided",
            "not auditable: class covid has no image with a usable mask",
        )
        found = explain_decision(model, data.images[599], data.masks([599])[0], data, images)
        assert list(found.carried) == ["lungs removed"]
        assert found.unsaid[-1] == "what lies outside the lungs: class covid has no image with a usable mask"


def test_a_rare_class_is_among_the_images_that_a_decision_is_compared_with(plain):
    labels = np.where(np.arange(len(plain)) == 7, 2, plain.labels)
    rare = replace(plain, classes=(*plain.classes, "covid"), labels=labels)
    found = explain_decision(small_net(classes=3), rare.images[0], rare.masks([0])[0], rare, np.arange(1, 600))
    assert found.carried["frame and collimation swap"]["covid"]["donors"] == 1


def test_a_model_without_gradients_is_audited_and_its_maps_are_marked(framed, frame_reader, tmp_path):
    class Exported(nn.Module):
        def forward(self, images):
            return torch.from_numpy(frame_reader(images).numpy().copy())

    finding = audit_model(Exported(), framed, tests=("T3", "T5"), settings=SETTINGS, pictures_dir=tmp_path / "pictures")
    assert finding.verdict == "fail"
    status = {entry["method"]: entry["status"] for entry in finding.attributions}
    assert status["integrated_gradients"] == "unavailable"
    assert status["critical_region"] == "valid"
    assert all((tmp_path / picture.path).stat().st_size > 5000 for picture in finding.pictures)
    assert Finding.model_validate_json(finding.model_dump_json()) == finding


def test_a_critical_region_that_matters_no_more_than_a_random_one_is_void(plain, tmp_path):
    """Whole pictures are brighter in one class, and the model tells the two levels apart: no region carries that."""
    bright = replace(plain, images=(plain.images // 4 + (plain.labels * 120).astype(np.uint8)[:, None, None, None]))
    reader = Reader(lambda images: torch.where(images.mean((1, 2, 3)) > 0.4, 3.0, -3.0))
    finding = audit_model(reader, bright, tests=("T6",), settings=SETTINGS, attribution=True)
    (entry,) = (entry for entry in finding.attributions if entry["method"] == "critical_region")
    assert (entry["status"], entry["reason"]) == ("void", "it matters no more than a random region")
    assert entry["impact"]["drop"]["low"] == entry["excess_low"] == 0


def test_one_decision_is_told_with_what_flips_it(framed, frame_reader, tmp_path):
    row = int(np.flatnonzero(framed.labels == 1)[0])
    others = np.flatnonzero(framed.group != framed.group[row])
    found = explain_decision(
        frame_reader, framed.images[row], framed.masks([row])[0], framed, others, donors_per_class=8, pictures_dir=tmp_path
    )
    swap = found.carried["frame and collimation swap"]
    assert swap["normal"]["change"] < swap["pneumonia"]["change"]
    assert swap["normal"]["donors"] == 8
    assert found.unsaid
    json.dumps(found.record(), allow_nan=False)
    bare = explain_decision(frame_reader, framed.images[row], None, framed, others)
    assert bare.carried == {}
    assert "no lung mask" in bare.unsaid[-1]


def test_masks_of_implausible_size_are_excluded_and_counted():
    masks = np.zeros((40, 20, 20), bool)
    masks[:, 5:15, 5:15] = True
    masks[0] = True
    masks[1] = False
    usable, excluded = usable_masks(masks, np.ones(40, bool))
    assert usable.sum() == 38
    assert excluded == {"no lung mask": 1, "implausible lung mask": 1}


def test_auditable_classes_need_groups_not_images():
    labels = np.repeat([0, 1, 2], 100)
    groups = np.array([f"{label}-{k % (60 if label < 2 else 10)}" for k, label in enumerate(labels)])
    counts = groups_of(labels, groups, 3)
    assert auditable_classes(counts, 50) == (0, 1)
    gate = enough_groups(counts, ("a", "b", "c"), 50)
    assert gate.value == len(np.unique(groups[labels == 2])) < 50, "the fewest, beside the rule"
