"""Folds of the small probes: groups whole, sides mixed."""

from __future__ import annotations

import numpy as np

from nas.inquisitor.probing import probe_folds, probe_scores


def test_folds_keep_groups_whole_and_leave_both_sides_to_learn_from():
    rng = np.random.default_rng(0)
    for _ in range(300):
        sizes = rng.integers(1, 6, rng.integers(4, 30))
        share = rng.choice([0.0, 0.5, 1.0], len(sizes))
        groups = np.repeat(np.arange(len(sizes)), sizes).astype(str)
        truth = rng.random(len(groups)) < np.repeat(share, sizes)
        if min(len(set(groups[truth])), len(set(groups[~truth]))) < 2:
            continue
        folds = probe_folds(truth, groups)
        assert sorted(np.concatenate([held for _, held in folds])) == list(range(len(groups)))
        for known, held in folds:
            assert not set(groups[known]) & set(groups[held])
            assert 0 < truth[known].mean() < 1


def test_equal_groups_are_shared_out_evenly():
    groups, truth = np.arange(100).astype(str), np.arange(100) < 35
    folds = probe_folds(truth, groups)
    assert [int(truth[held].sum()) for _, held in folds] == [7] * 5
    assert [int((~truth[held]).sum()) for _, held in folds] == [13] * 5


def test_scores_tell_what_the_features_tell_and_nothing_of_labels_dealt_at_random():
    rng = np.random.default_rng(1)
    truth, groups = np.arange(400) % 2 == 0, (np.arange(400) // 2).astype(str)
    features = np.stack([truth + rng.normal(0, 0.5, 400), np.full(400, 3.0)], axis=1)  # a constant feature is harmless
    folds = probe_folds(truth, groups)
    told = probe_scores(features, truth, folds)
    assert (told > 0)[truth].mean() > 0.75 > 0.25 > (told > 0)[~truth].mean()
    guessed = probe_scores(rng.normal(0, 1, (400, 2)), truth, folds)
    assert abs((guessed > 0)[truth].mean() - (guessed > 0)[~truth].mean()) < 0.15
