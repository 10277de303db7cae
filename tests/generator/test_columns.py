"""Feature columns on spellings that can be counted by hand."""

from __future__ import annotations

import numpy as np

from nas.generator.columns import PathCounts, cell_paths, choice_counts, groups_of_equal_choices, one_hot


def test_one_hot_leaves_out_what_does_not_matter() -> None:
    columns = one_hot(np.array([[1, -1, 0]]), [2, 3, 2])
    assert columns.tolist() == [[0, 1, 0, 0, 0, 1, 0]]


def test_groups_need_three_decisions_with_the_same_choices() -> None:
    decisions = {"a": (0, 1), "b": (False, True), "c": (0, 1), "d": (0, 1), "e": (False, True)}
    assert groups_of_equal_choices(decisions) == [[0, 2, 3]]


def test_counts_ignore_what_does_not_matter() -> None:
    assert choice_counts(np.array([[0, 2, 2, -1]]), [0, 1, 2, 3], 3).tolist() == [[1, 0, 2]]


def test_paths_of_a_cell_of_four_nodes() -> None:
    # edges 0→1, 0→2, 1→2, 0→3, 1→3, 2→3 are numbered 0 … 5
    assert sorted(cell_paths(6)) == [[0, 2, 5], [0, 4], [1, 5], [3]]
    assert len(cell_paths(10)) == 8
    assert cell_paths(8) == []


def test_path_counts_see_that_two_cells_are_the_same_up_to_the_order_of_nodes() -> None:
    count = PathCounts(np.array(np.meshgrid(*[range(3)] * 6)).reshape(6, -1).T, range(6), 3)
    first, second = np.array([[1, 2, 0, 2, 1, 2]]), np.array([[2, 1, 0, 2, 2, 1]])  # nodes 1 and 2 exchanged
    np.testing.assert_array_equal(count(first), count(second))
    assert count(first).sum() == 4


def test_unknown_multisets_are_left_out() -> None:
    count = PathCounts(np.zeros((1, 6), dtype=np.int64), range(6), 2)
    assert count(np.ones((1, 6), dtype=np.int64)).sum() == 0
