from __future__ import annotations

import pytest

from langchain_tts.search.open_list import Taken, take
from langchain_tts.search.select import rank
from langchain_tts.search.state import Candidate
from tests.unit_tests.search.test_select import candidate


def test_the_best_open_step_is_taken_wherever_it_is() -> None:
    tree = [
        candidate(0, text="a", score=0.9),
        candidate(1, text="b", score=0.5),
        candidate(2, 0, text="c", score=0.4),
    ]
    assert take(tree, [0], rank, answers=1, deepest=9) == Taken(1, [1])


def test_answers_are_taken_on_the_way_and_end_the_search_when_they_are_enough() -> None:
    tree = [
        candidate(0, text="a", score=0.9, status="finished"),
        candidate(1, text="b", score=0.8, status="finished"),
        candidate(2, text="c", score=0.7),
        candidate(3, text="d", score=0.6, status="finished"),
    ]
    assert take(tree, [], rank, answers=3, deepest=9) == Taken(2, [0, 1, 2])
    assert take(tree, [0, 1, 2], rank, answers=3, deepest=9) == Taken(None, [3])
    assert take(tree, [], rank, answers=2, deepest=9) == Taken(None, [0, 1])
    assert take(tree, [0, 1], rank, answers=2, deepest=9) == Taken(None, [])


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
    assert take([dead], [], rank, answers=1, deepest=3) == Taken(None, [])


def test_an_answer_may_be_the_last_step_allowed() -> None:
    last: Candidate = {**candidate(0, status="finished"), "depth": 3}
    assert take([last], [], rank, answers=1, deepest=3) == Taken(None, [0])


def test_equal_siblings_are_taken_once() -> None:
    tree = [candidate(0, text="a", score=0.9), candidate(1, text="a", score=0.9)]
    assert take(tree, [0], rank, answers=1, deepest=9) == Taken(None, [])
