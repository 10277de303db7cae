"""Signed effects: estimates on known responses, size of the permutation p-values, coverage of the two-way interval."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from nas.inquisitor.design import Roster, build_design
from nas.inquisitor.effects import (
    block_table,
    contrasts,
    max_t_p_values,
    permute_within_blocks,
    split_half_share,
    swap_effect,
    two_way_error,
)  # fmt: skip
from nas.inquisitor.tests.base import AUDIT_TESTS
from nas.inquisitor.tests.t01_lungs_removed import permutation_p


def _design(n=120, classes=3, seed=0, count=60, each=2):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    roster = Roster(labels, np.array([f"g{k // 2}" for k in range(n)]), rng.random(n), np.zeros(n, np.int64))
    return labels, build_design(roster, roster, classes=classes, count=count, blocks_per_recipient=each, rng=rng), roster


def _null_responses(design, rng, donor_spread=1.0, noise=0.5):
    """Responses in which donors differ, but their class tells nothing."""
    donor = rng.normal(0, donor_spread, (design.blocks, design.slots))
    recipient = rng.normal(0, 2, 1000)[design.recipient]
    return recipient[:, None] + donor[design.block] + rng.normal(0, noise, (design.entries, design.slots))


def test_every_block_has_one_donor_of_each_class_and_donors_are_independent():
    labels, design, roster = _design()
    assert (labels[design.donors] == np.arange(3)).all()
    given = {(block, group) for block, row in zip(design.block, roster.groups[design.donors], strict=True) for group in row}
    groups = [group for _, group in given]
    assert len(set(groups)) == len(groups)  # no group gives in two blocks
    assert len(groups) == design.blocks * design.slots


def test_the_images_of_a_donor_give_in_turn():
    _, design, roster = _design(classes=1, count=120, each=3)  # two images a group
    uses = [design.donors[design.block == block, 0] for block in range(design.blocks)]
    assert all(roster.groups[images[0]] == group for images in uses for group in roster.groups[images])
    assert all((images[1:] != images[:-1]).all() for images in uses if len(images) > 1)


def test_no_recipient_receives_from_its_own_group():
    _, design, roster = _design(each=4)
    own = roster.groups[design.recipient][:, None]
    assert not (roster.groups[design.donors] == own).any()


def test_recipients_are_balanced_and_blocks_near_in_geometry():
    labels, design, roster = _design(n=600, count=90)
    assert np.bincount(labels[np.unique(design.recipient)]).tolist() == [30, 30, 30]
    near = np.abs(roster.geometry[design.recipient] - roster.geometry[design.donors].mean(axis=1)).mean()
    assert near < 0.25  # of a range of 1; random pairs would differ by 0.33


@pytest.mark.parametrize("own", [0.02, 0.5, 0.98])
def test_a_single_recipient_receives_from_the_blocks_nearest_to_it(own):
    *_, donors = _design(n=600, classes=2)
    alone = Roster(np.array([0]), np.array(["it"]), np.array([own]), np.zeros(1, np.int64))
    design = build_design(alone, donors, classes=2, count=1, blocks_per_recipient=16, rng=np.random.default_rng(0))
    assert len(np.unique(design.block)) == 16
    assert np.abs(donors.geometry[design.donors] - own).max() < 0.2  # of a range of 1 with 300 groups


def _patients(rng, n=120):
    labels = rng.permutation(np.arange(n) % 2)
    return Roster(labels, np.arange(n).astype(np.str_), rng.normal(size=n), np.zeros(n, np.int64))


def test_unmatched_blocks_hold_the_same_donors():
    people = _patients(np.random.default_rng(0))
    matched, unmatched = (
        build_design(people, people, classes=2, count=60, blocks_per_recipient=8, rng=np.random.default_rng(0), matched=matched)
        for matched in (True, False)
    )
    assert set(matched.donors.flat) == set(unmatched.donors.flat)
    apart = [np.abs(np.diff(people.geometry[design.donors], axis=1)).mean() for design in (matched, unmatched)]
    assert apart[0] < 0.5 < apart[1]


def test_size_and_coverage_hold_where_the_answers_go_by_the_donors_geometry():
    """By chance one class's donors are the larger ones: in matched blocks 14 % were significant, and 87 % of intervals held 0."""
    rng, significant, covered = np.random.default_rng(0), [], []
    for _ in range(600):
        people = _patients(rng)
        design = build_design(people, people, classes=2, count=60, blocks_per_recipient=2, rng=rng, matched=False)
        responses = people.geometry[design.donors] + rng.normal(0, 0.5, design.donors.shape)
        effect = swap_effect(responses, 0, design.recipient, design.block, design.blocks, rng, rounds=99)
        low, high = effect.bounds()
        significant.append(effect.p_value <= 0.05)
        covered.append(low <= 0 <= high)
    assert np.mean(significant) < 0.08
    assert np.mean(covered) > 0.92


def test_lung_geometry_alone_asks_unmatched_blocks():
    class Designs:
        design, unmatched = "matched", "unmatched"

    asked = {name: AUDIT_TESTS.get(name)().design(Designs()) for name in ("T3", "T4", "T5", "T6", "T13")}
    assert asked == {"T3": "matched", "T4": "matched", "T5": "matched", "T6": "matched", "T13": "unmatched"}


def test_a_class_with_nobody_to_give_leaves_an_empty_design():
    *_, donors = _design(classes=2)
    design = build_design(donors, donors, classes=3, count=60, blocks_per_recipient=2, rng=np.random.default_rng(0))
    assert (design.entries, design.blocks, design.slots) == (0, 0, 3)


@pytest.mark.parametrize(("left", "giving", "blocks"), [(3, (0, 2), 40), (10, (0, 1, 2), 10)])
def test_a_class_of_few_groups_does_not_leave_the_others_few_blocks(left, giving, blocks):
    labels, groups = np.repeat([0, 1, 2], [40, left, 50]), np.arange(90 + left).astype(str)
    roster = Roster(labels, groups, np.random.default_rng(0).random(len(labels)), np.zeros(len(labels), np.int64))
    design = build_design(roster, roster, classes=3, count=60, blocks_per_recipient=2, rng=np.random.default_rng(0))
    assert (design.classes, design.blocks) == (giving, blocks)
    for index in giving:
        assert (labels[design.donors[:, design.slot(index)]] == index).all()
    asked = build_design(roster, roster, classes=3, count=60, blocks_per_recipient=2, rng=np.random.default_rng(0), needed=(1,))
    assert (asked.classes, asked.blocks) == ((0, 1, 2), left)


def test_effect_of_a_known_shift_is_recovered():
    _, design, roster = _design(n=600, count=200)
    responses = _null_responses(design, np.random.default_rng(1), donor_spread=0.1)
    responses[:, 1] += 0.7
    codes = np.unique(roster.groups, return_inverse=True)[1]
    found = swap_effect(responses, 1, codes[design.recipient], design.block, design.blocks, np.random.default_rng(2))
    low, high = found.bounds()
    assert low < 0.7 < high
    assert found.p_value == pytest.approx(1 / 1000)
    assert found.scaled(2.0).value == pytest.approx(found.value / 2)


def test_block_table_adds_up_to_the_mean_contrast():
    _, design, _ = _design()
    responses = _null_responses(design, np.random.default_rng(3))
    table = block_table(responses, design.block, design.blocks)
    for slot in range(3):
        assert_allclose(table[:, slot].sum(), contrasts(responses, slot).mean())


@pytest.mark.parametrize("classes", [2, 3])
def test_permutation_has_its_size_under_the_null(classes):
    _, design, roster = _design(n=150, classes=classes)
    codes = np.unique(roster.groups, return_inverse=True)[1][design.recipient]
    rng = np.random.default_rng(4)
    hits = np.mean(
        [
            swap_effect(_null_responses(design, rng), 0, codes, design.block, design.blocks, rng, rounds=199).p_value <= 0.05
            for _ in range(800)
        ]
    )
    assert 0.03 < hits < 0.07


def test_sign_flipping_over_recipients_would_not_have_its_size():
    """Why the donor is the unit: the same null, judged with recipients as the only clusters, rejects far too often."""
    _, design, _ = _design(n=150, classes=2, count=100, each=8)
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(200):
        values = contrasts(_null_responses(design, rng), 0)
        error, _ = two_way_error(values, design.recipient, design.recipient)
        hits.append(abs(values.mean()) > 1.96 * error)
    assert np.mean(hits) > 0.15


def test_two_way_interval_covers():
    _, design, roster = _design(n=300, classes=2, count=150, each=2)
    codes = np.unique(roster.groups, return_inverse=True)[1][design.recipient]
    rng = np.random.default_rng(6)
    covered = []
    for _ in range(600):
        found = swap_effect(_null_responses(design, rng), 0, codes, design.block, design.blocks, rng, rounds=1)
        low, high = found.bounds()
        covered.append(low <= 0 <= high)
    assert 0.92 < np.mean(covered) < 0.98


def test_max_t_controls_the_whole_map_and_keeps_power():
    _, design, _ = _design(n=200, classes=2)
    rng = np.random.default_rng(7)
    false, found = [], []
    for _ in range(200):
        maps = [_null_responses(design, rng) for _ in range(12)]
        tables = np.stack([block_table(m, design.block, design.blocks) for m in maps])
        observed, null = permute_within_blocks(tables, 0, rng, 199)
        false.append((max_t_p_values(observed, null) <= 0.05).any())
        maps[3][:, 0] += 3.0
        tables[3] = block_table(maps[3], design.block, design.blocks)
        observed, null = permute_within_blocks(tables, 0, rng, 199)
        found.append(max_t_p_values(observed, null)[3] <= 0.05)
    assert np.mean(false) < 0.09
    assert np.mean(found) > 0.9


def test_cells_without_any_effect_are_no_finding():
    observed, null = np.zeros(2), np.zeros((99, 2))
    assert (max_t_p_values(observed, null) == 1).all()


def test_split_half_share_is_centred_on_zero_for_an_honest_model():
    _, design, _ = _design(n=300, classes=2)
    rng = np.random.default_rng(8)
    shares = [split_half_share(_null_responses(design, rng, 0.3), 0, design.block, 2.0, rng) for _ in range(200)]
    assert abs(np.mean(shares)) < 0.01


def test_labels_within_one_patient_are_exchanged_as_well():
    """Everybody was imaged well first, then ill: no patient has a label of his own."""
    patient, truth = np.repeat(np.arange(60), 2).astype(str), np.tile([False, True], 60)
    rng = np.random.default_rng(0)
    scores = rng.normal(size=120)
    assert permutation_p(scores, truth, patient, rng, 199) > 0.05
    assert permutation_p(scores + truth, truth, patient, rng, 199) < 0.01


def test_a_maps_family_wise_p_values_keep_their_size():
    """Exact by exchangeability: the shuffles, the observed one among them, are scaled alike."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(4000):
        responses = rng.standard_normal((12, 20, 2))  # maps, blocks, slots
        tables = np.stack([block_table(one, np.arange(20), 20) for one in responses])
        found.append(max_t_p_values(*permute_within_blocks(tables, 0, rng, 39)).min() <= 0.05)
    assert abs(np.mean(found) - 0.05) < 0.009  # 2.6 standard errors
