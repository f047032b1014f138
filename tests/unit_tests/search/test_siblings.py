from __future__ import annotations

from langchain_tts.search.siblings import distinct, usable
from langchain_tts.search.state import Candidate
from tests.unit_tests.search.test_select import candidate


def test_equal_texts_after_the_same_step_are_one_node() -> None:
    tree = [
        candidate(0, text="a"),
        candidate(1, text="b"),
        candidate(2, text="a"),
        candidate(3, 0, text="a"),
        candidate(4, 1, text="a"),
        candidate(5, 0, text="a"),
    ]
    assert distinct(tree) == {0: [0, 2], 1: [1], 3: [3, 5], 4: [4]}


def test_an_answer_and_a_step_of_the_same_text_are_two_nodes() -> None:
    tree = [candidate(0, text="a"), candidate(1, text="a", status="finished")]
    assert distinct(tree) == {0: [0], 1: [1]}


def test_what_became_of_a_step_later_does_not_part_it_from_its_equals() -> None:
    tree = [candidate(0, text="a", status="truncated"), candidate(1, text="a")]
    assert distinct(tree) == {0: [0, 1]}


def test_answers_and_steps_with_a_text_are_usable() -> None:
    tree: list[Candidate] = [
        candidate(0),
        candidate(1, status="finished"),
        candidate(2, text="", status="finished"),
        candidate(3, text=" "),
        candidate(4, status="truncated"),
        candidate(5, status="pruned"),
        candidate(6, status="failed"),
        candidate(7, status="rollout"),
    ]
    assert [i for i in range(8) if usable(tree, i)] == [0, 1, 2]
