from __future__ import annotations

from collections.abc import Sequence

import pytest

from langchain_tts.search.open_list import Taken, take
from langchain_tts.search.state import Candidate
from tests.unit_tests.search.test_select import candidate


def by_score(tree: Sequence[Candidate], candidate_id: int, time: int) -> float:
    return -(tree[candidate_id]["score"] or 0.0) / time


def test_the_best_open_step_is_taken_wherever_it_is() -> None:
    tree = [
        candidate(0, text="a", score=0.9),
        candidate(1, text="b", score=0.5),
        candidate(2, 0, text="c", score=0.4),
    ]
    assert take(tree, [0], by_score, answers=1, deepest=9, openings=9) == Taken(1, [1])


def test_answers_are_taken_on_the_way_and_end_the_search_when_they_are_enough() -> None:
    tree = [
        candidate(0, text="a", score=0.9, status="finished"),
        candidate(1, text="b", score=0.8, status="finished"),
        candidate(2, text="c", score=0.7),
        candidate(3, text="d", score=0.6, status="finished"),
    ]
    assert take(tree, [], by_score, answers=3, deepest=9, openings=9) == Taken(
        2, [0, 1, 2]
    )
    assert take(tree, [0, 1, 2], by_score, answers=3, deepest=9, openings=9) == Taken(
        None, [3]
    )
    assert take(tree, [], by_score, answers=2, deepest=9, openings=9) == Taken(
        None, [0, 1]
    )
    assert take(tree, [0, 1], by_score, answers=2, deepest=9, openings=9) == Taken(
        None, []
    )


@pytest.mark.parametrize(
    "dead",
    [
        candidate(0, text="", score=0.9),
        candidate(0, status="truncated", score=None),
        candidate(0, status="failed", score=None),
        candidate(0, status="pruned", score=0.9),
        {**candidate(0, score=0.9), "depth": 3},
    ],
)
def test_dead_ends_are_never_open(dead: Candidate) -> None:
    assert take([dead], [], by_score, answers=1, deepest=3, openings=9) == Taken(
        None, []
    )


def test_an_answer_may_be_the_last_step_allowed() -> None:
    last: Candidate = {**candidate(0, status="finished"), "depth": 3}
    assert take([last], [], by_score, answers=1, deepest=3, openings=9) == Taken(
        None, [0]
    )


def test_equal_siblings_are_one_step() -> None:
    tree = [
        candidate(0, text="a", score=0.9),
        candidate(1, text="a", score=0.9),
        candidate(2, text="b", score=0.5),
        candidate(3, 0, text="c", score=0.1),
    ]
    assert take(tree, [0], by_score, answers=1, deepest=9, openings=9) == Taken(2, [2])


def test_what_was_taken_before_costs_more() -> None:
    tree = [
        candidate(0, text="a", score=0.9),
        candidate(1, text="b", score=0.4),
        candidate(2, text="c", score=0.5, status="finished"),
        candidate(3, 0, text="d", score=0.1),
    ]

    def taken(visited: list[int]) -> Taken:
        return take(tree, visited, by_score, answers=9, deepest=9, openings=9)

    # 0.9 / 2 is less than 0.5 and more than 0.4, but 0.9 / 3 is not.
    assert taken([0]) == Taken(0, [2, 0])
    assert taken([0, 2, 0]) == Taken(1, [1])


def test_ties_go_to_the_more_likely_then_to_the_first_and_no_score_comes_last() -> None:
    tree = [
        candidate(0, text="a", score=None, logprob=-0.1),
        candidate(1, text="b", score=0.0, logprob=-2.0),
        candidate(2, text="c", score=0.0, logprob=-1.0),
        candidate(3, text="d", score=0.0, logprob=-2.0),
    ]
    finished: list[Candidate] = [{**c, "status": "finished"} for c in tree]
    found = take(finished, [], by_score, answers=9, deepest=9, openings=9)
    assert found == Taken(None, [2, 1, 3, 0])


def test_so_many_steps_of_a_depth_are_opened_and_no_more() -> None:
    tree: list[Candidate] = [
        candidate(0, text="a", score=0.9),
        candidate(1, text="b", score=0.8, status="finished"),
        {**candidate(2, 0, text="c", score=0.4), "depth": 2},
        {**candidate(3, 2, text="d", score=0.0, status="finished"), "depth": 3},
    ]

    def taken(visited: list[int], openings: int) -> Taken:
        return take(tree, visited, by_score, answers=9, deepest=9, openings=openings)

    assert taken([0, 1], 1) == Taken(2, [2])
    assert taken([0, 1, 2], 1) == Taken(None, [3])
    # An answer opens nothing.
    assert taken([0, 1, 2], 2) == Taken(0, [0])
    assert taken([0, 1, 2, 0], 2) == Taken(2, [2])
    assert taken([0, 1, 2, 0, 2, 3], 2) == Taken(None, [])


def test_a_step_after_which_nothing_usable_came_is_not_opened_again() -> None:
    tree = [
        candidate(0, text="a", score=0.9),
        candidate(1, text="b", score=0.1),
        candidate(2, 0, text="", score=0.9),
    ]

    def taken(visited: list[int]) -> Taken:
        return take(tree, visited, by_score, answers=9, deepest=9, openings=9)

    assert taken([0]) == Taken(1, [1])
    tree.append(candidate(3, 0, text="c", status="finished", score=0.2))
    assert taken([0]) == Taken(0, [0])


@pytest.mark.parametrize("noise", [1e-6, 0.0, -1e-6])
def test_what_a_batch_does_to_a_log_probability_is_a_tie(noise: float) -> None:
    tree = [
        candidate(0, text="a", logprob=-1.0, status="finished"),
        candidate(1, text="b", logprob=-1.0 + noise, status="finished"),
    ]
    found = take(tree, [], by_score, answers=9, deepest=9, openings=9)
    assert found == Taken(None, [0, 1])
