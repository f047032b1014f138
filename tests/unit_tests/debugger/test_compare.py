from __future__ import annotations

from typing import Any

from langchain_tts.debugger._compare import Change, compare_trees
from langchain_tts.search.state import Candidate
from tests.unit_tests.debugger.test_edits import candidate


def tree(*records: tuple[int | None, int, dict[str, Any]]) -> list[Candidate]:
    """A tree of (parent, seed, fields)."""
    return [
        candidate(
            i, parent, fields.pop("status", "active"), seed=seed, text="", **fields
        )
        for i, (parent, seed, fields) in enumerate(records)
    ]


def test_candidates_are_the_same_by_the_seeds_on_their_path_not_by_their_ids() -> None:
    a = tree((None, 1, {}), (None, 2, {}), (0, 5, {}), (1, 6, {}))
    b = tree((None, 1, {}), (None, 2, {}), (1, 6, {"score": 0.9}), (1, 7, {}))
    difference = compare_trees(a, b)
    assert difference.only_a == [2]
    assert difference.only_b == [3]
    assert difference.changed == [Change(3, 2, {"score": (0.5, 0.9)})]


def test_an_equal_seed_after_another_step_is_another_candidate() -> None:
    a = tree((None, 1, {}), (None, 2, {}), (0, 5, {}))
    b = tree((None, 1, {}), (None, 2, {}), (1, 5, {}))
    assert compare_trees(a, b) == ([2], [2], [])


def test_steps_of_one_sample_are_told_apart_by_their_depth() -> None:
    a = tree((None, 1, {}), (0, 1, {}), (1, 1, {"status": "finished"}))
    b = tree((None, 1, {}), (0, 1, {"status": "finished"}))
    difference = compare_trees(a, b)
    assert difference.only_a == [2]
    assert difference.changed == [Change(1, 1, {"status": ("active", "finished")})]


def test_a_step_that_was_expanded_twice_is_matched_in_order() -> None:
    a = tree((None, 1, {}), (0, 5, {}), (0, 5, {"score": 0.2}))
    b = tree((None, 1, {}), (0, 5, {}))
    assert compare_trees(a, b) == ([2], [], [])
    assert compare_trees(b, a) == ([], [2], [])
