from __future__ import annotations

import math

import pytest

from langchain_tts.search.puct import Known, Rules, Simulated, simulate
from langchain_tts.search.state import Candidate
from tests.unit_tests.search.test_select import candidate

RULES = Rules(simulations=9, exploration=1.0, deepest=9)


def step(node: int, parent: int | None, text: str, score: float) -> Candidate:
    depth = 1 if parent is None else 2
    return {**candidate(node, parent, text=text, score=score), "depth": depth}


def answer(node: int, parent: int | None, text: str, score: float) -> Candidate:
    whole = step(node, parent, text, score)
    return {**whole, "status": "finished", "finish_reason": "stop"}


# The question has children a (three of four samples) and b; a has two answers.
TREE = [
    step(0, None, "a", 0.6),
    step(1, None, "a", 0.6),
    step(2, None, "b", 0.5),
    step(3, None, "a", 0.6),
    answer(4, 0, "x", 0.2),
    answer(5, 0, "y", 0.1),
]


def test_before_any_visit_the_best_score_is_followed() -> None:
    assert simulate(TREE[:4], [], RULES) == Simulated(0, [])


def test_values_and_visits_follow_from_where_simulations_ended() -> None:
    known = Known(TREE, [4], RULES)
    assert known.totals == {None: (1, 0.2), 0: (1, 0.2), 4: (1, 0.2)}
    # Mean 0.2, prior 3/4, one visit of one; and a score of 0.5, prior 1/4, no visit.
    assert known.puct(0) == pytest.approx(0.2 + 3 / 4 * math.sqrt(1) / 2)
    assert known.puct(2) == pytest.approx(0.5 + 1 / 4 * math.sqrt(1) / 1)


def test_a_bad_answer_sends_the_next_simulation_elsewhere() -> None:
    assert simulate(TREE, [], RULES) == Simulated(2, [4])


def test_exploration_goes_to_what_is_likely_and_was_visited_little() -> None:
    bold = Rules(simulations=9, exploration=4.0, deepest=9)
    # 0.2 + 4 * 3/8 = 1.7 against 0.5 + 4 * 1/4 = 1.5: a again, to its other answer.
    assert simulate(TREE, [], bold) == Simulated(2, [4, 5])


def test_a_node_of_which_all_children_are_closed_is_closed() -> None:
    known = Known(TREE, [4, 5], RULES)
    assert known.closed == {0, 4, 5}
    assert not known.exhausted
    assert Known(TREE[:4], [0, 2], RULES).exhausted


def test_steps_without_a_possible_next_one_end_a_simulation_with_nothing() -> None:
    cut = candidate(6, 2, text="z", status="truncated", score=None)
    found = simulate([*TREE, cut], [4], RULES)
    assert found == Simulated(None, [2, 5])
    assert Known([*TREE, cut], [4, 2], RULES).totals[2] == (1, 0.0)


def test_the_last_step_allowed_is_a_dead_end() -> None:
    shallow = Rules(simulations=9, exploration=1.0, deepest=1)
    assert simulate(TREE[:4], [], shallow) == Simulated(None, [0, 2])


def test_the_number_of_simulations_is_kept() -> None:
    two = Rules(simulations=2, exploration=4.0, deepest=9)
    assert simulate(TREE, [], two) == Simulated(None, [4, 5])
    assert simulate(TREE, [4, 5], two) == Simulated(None, [])


def test_without_a_usable_first_step_there_is_nothing_to_visit() -> None:
    tree = [candidate(0, text=""), candidate(1, status="failed", score=None)]
    assert simulate(tree, [], RULES) == Simulated(None, [])
    with pytest.raises(ValueError, match="exhausted"):
        Known(tree, [], RULES).descend()


def test_ties_go_to_the_more_likely_step_then_to_the_first() -> None:
    tied = [
        candidate(0, text="a", logprob=-2.0),
        candidate(1, text="b", logprob=-1.0),
        candidate(2, text="c", logprob=-1.0),
    ]
    assert simulate(tied, [], RULES) == Simulated(1, [])


def test_a_prior_is_a_share_of_all_samples_those_that_were_cut_among_them() -> None:
    tree = [
        candidate(0, text="a"),
        candidate(1, text="b", status="truncated", score=None),
        candidate(2, text="a"),
        candidate(3, text="", status="failed", score=None),
        candidate(4, text="c"),
    ]
    assert Known(tree, [], RULES).children == {None: {0: 2 / 5, 4: 1 / 5}}
