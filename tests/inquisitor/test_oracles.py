"""Models whose answer is known by construction must get the verdict that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from inquisitor_models import SETTINGS, Reader, small_net

from nas.inquisitor import BLIND_SPOTS, audit_model

NEEDED = ("T1", "T2", "T3", "T4", "T5", "T6")


def _by_name(finding):
    return {item.test: item for item in finding.tests}


def test_frame_only_model_fails_and_the_frame_is_named(framed, frame_reader):
    finding = audit_model(frame_reader, framed, settings=SETTINGS)
    assert finding.verdict == "fail", finding.binding_reason
    tests = _by_name(finding)
    assert tests["T5"].verdict == "fail"
    assert tests["T3"].verdict == "fail"
    assert "frame" in finding.answers


def test_model_on_patches_inside_every_lung_passes(patched, patch_reader):
    finding = audit_model(patch_reader, patched, settings=replace(SETTINGS, recipients=600, entries=1200))
    assert finding.verdict == "pass", finding.binding_reason
    assert abs(_by_name(finding)["T3"].effect) < 0.02  # the lung-only oracle: no edit outside may reach it


def test_line_in_the_lung_passes_and_the_blind_spot_is_named(lined, line_reader):
    finding = audit_model(line_reader, lined, settings=SETTINGS, tests=NEEDED)
    assert {item.test: item.verdict for item in finding.tests} == dict.fromkeys(NEEDED, "pass")
    assert any("in-lung" in spot for spot in finding.blind_spots)
    assert finding.blind_spots == BLIND_SPOTS


def test_untrained_model_is_undecided_at_the_competence_gate(plain):
    finding = audit_model(small_net(), plain, settings=SETTINGS)
    assert finding.verdict == "undecided"
    assert "competence" in finding.binding_reason
    assert finding.tests == ()


def test_label_shuffled_model_is_undecided_at_the_competence_gate(patched, patch_reader):
    shuffled = replace(patched, labels=np.random.default_rng(0).permutation(patched.labels))
    finding = audit_model(patch_reader, shuffled, settings=SETTINGS)
    assert finding.verdict == "undecided"
    assert "competence" in finding.binding_reason


def test_classes_named_in_another_order_than_the_logits_are_no_lack_of_training(patched, patch_reader):
    finding = audit_model(patch_reader, patched, classes=patched.classes[::-1], level="screen")
    assert finding.verdict == "undecided"
    assert "wrong way round; name the classes in the order of the model's logits" in finding.binding_reason


def test_cheating_model_is_caught_by_the_screen_already(framed, frame_reader):
    finding = audit_model(frame_reader, framed, level="screen")
    assert finding.verdict == "fail"
    assert {item.test for item in finding.tests} == {"T1", "T3"}


@pytest.mark.parametrize("left", [1, 3])
def test_a_class_of_few_images_hides_no_cheat(framed, frame_reader, left, tmp_path):
    labels = framed.labels.copy()
    labels[np.flatnonzero(labels == 0)[:left]] = 2
    data = replace(framed, labels=labels, classes=(*framed.classes, "covid"))

    class Three(Reader):
        def forward(self, images):
            return torch.nn.functional.pad(super().forward(images), (0, 1), value=-30.0)

    finding = audit_model(Three(frame_reader.rule), data, settings=SETTINGS, pictures_dir=tmp_path, attribution=False)
    tests = {(item.test, item.class_name): item for item in finding.tests}
    assert finding.verdict == "fail"
    assert tests["T5", "pneumonia"].verdict == tests["T3", "pneumonia"].verdict == "fail"
    assert tests["T5", "pneumonia"].groups > 50
    assert "covid" in next(gate.note for gate in finding.gates if gate.name == "groups")
    assert finding.pictures


def test_screen_never_passes_a_model(patched, patch_reader):
    finding = audit_model(patch_reader, patched, level="screen")
    assert finding.verdict == "undecided"


def test_reverse_dependence_counts_as_well(framed, frame_reader):
    """A model that takes the frame for the *other* class is as dependent; competence comes from the labels given here."""
    turned = replace(framed, labels=1 - framed.labels, classes=("a", "b"))
    upside_down = Reader(lambda images: -frame_reader.rule(images))
    finding = audit_model(upside_down, turned, settings=SETTINGS, tests=("T3", "T5"))
    assert finding.verdict == "fail"


@pytest.mark.parametrize("level", ["screen", "full"])
def test_two_audits_give_byte_identical_findings_by_one_thread_or_several(patched, patch_reader, level):
    settings = SETTINGS if level == "full" else None
    tests, maps = (None, False) if level == "screen" else (("T1", "T3", "T4", "T6", "T7"), True)
    found = []
    for threads in (1, 1, 3):
        torch.set_num_threads(threads)  # the fixture of all tests sets it back
        audited = audit_model(patch_reader, patched, level=level, settings=settings, seed=3, tests=tests, attribution=maps)
        assert len(audited.attributions) > 3 if maps else not audited.attributions
        found.append(audited.model_dump_json())
    assert found[0] == found[1] == found[2]


def test_model_and_global_random_state_are_left_as_they_were(patched):
    model = small_net().train()
    model.stage1.block2.eval()
    modes = [module.training for module in model.modules()]
    state = torch.random.get_rng_state()
    audit_model(model, patched, level="screen")
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_would_settle_a_test_is_counted_among_all_groups_under_audit(patched, patch_reader):
    few = replace(SETTINGS, recipients=60, entries=60)
    finding = audit_model(patch_reader, patched, settings=few, tests=("T6",), seed=1)
    (item,) = finding.tests
    assert "not precise enough" in item.reason
    assert item.groups < finding.groups < item.groups_needed
    screen = audit_model(patch_reader, patched, level="screen")
    assert not any(item.groups_needed for item in screen.tests)
