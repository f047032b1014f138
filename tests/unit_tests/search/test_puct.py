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
    assert simulate(TREE[:4], [], None, RULES) == Simulated(0, [])


def test_values_and_visits_follow_from_where_simulations_ended() -> None:
    known = Known(TREE, [4], RULES)
    assert known.totals == {None: (1, 0.2), 0: (1, 0.2), 4: (1, 0.2)}
    # Mean 0.2, prior 3/4, one visit of one; and a score of 0.5, prior 1/4, no visit.
    assert known.puct(0) == pytest.approx(0.2 + 3 / 4 * math.sqrt(1) / 2)
    assert known.puct(2) == pytest.approx(0.5 + 1 / 4 * math.sqrt(1) / 1)


def test_a_simulation_goes_on_where_it_is_and_the_next_one_starts_anew() -> None:
    # At "a" the better answer; then "b" is better than what "a" was worth.
    assert simulate(TREE, [], 0, RULES) == Simulated(2, [4])


def test_exploration_goes_to_what_is_likely_and_was_visited_little() -> None:
    bold = Rules(simulations=9, exploration=4.0, deepest=9)
    # 0.2 + 4 * 3/8 = 1.7 against 0.5 + 4 * 1/4 = 1.5: to "a" again, for more of it.
    assert simulate(TREE, [], 0, bold) == Simulated(0, [4])
    assert simulate(TREE, [4], 0, bold) == Simulated(2, [5])


def test_where_only_known_answers_are_the_mean_value_stays() -> None:
    ended = simulate(TREE, [4, 5], 0, RULES).ended
    assert ended == [0]
    totals = Known(TREE, [4, 5, *ended], RULES).totals
    assert totals[0] == totals[None] == pytest.approx((3, (0.2 + 0.1) / 2 * 3))
    assert totals[4] == (1, 0.2)


def test_steps_without_a_possible_next_one_are_worth_nothing_until_there_is_one() -> (
    None
):
    cut = candidate(6, 2, text="z", status="truncated", score=None)
    tree = [*TREE, cut]
    assert simulate(tree, [4], 2, RULES).ended == [2]
    assert Known(tree, [4, 2], RULES).totals[2] == (1, 0.0)
    better = [*tree, answer(7, 2, "w", 0.8)]
    assert simulate(better, [4, 2], 2, RULES).ended == [7]
    assert Known(better, [4, 2, 7], RULES).totals[2] == (2, 0.8)


def test_the_last_steps_allowed_are_dead_ends_gone_to_once() -> None:
    shallow = Rules(simulations=9, exploration=1.0, deepest=1)
    assert simulate(TREE[:4], [], None, shallow) == Simulated(None, [0, 2])
    assert Known(TREE[:4], [0, 2], shallow).totals[None] == (2, 0.0)


def test_the_number_of_simulations_is_kept() -> None:
    two = Rules(simulations=2, exploration=0.0, deepest=9)
    answers = [answer(i, None, str(i), 0.5) for i in range(3)]
    assert simulate(answers, [], None, two) == Simulated(None, [0, 1])
    assert simulate(answers, [0, 1], None, two) == Simulated(None, [])


def test_without_a_usable_first_step_there_is_nothing_to_visit() -> None:
    tree = [candidate(0, text=""), candidate(1, status="failed", score=None)]
    assert simulate(tree, [], None, RULES) == Simulated(None, [])


def test_ties_go_to_the_more_likely_step_then_to_the_first() -> None:
    tied = [
        candidate(0, text="a", logprob=-2.0),
        candidate(1, text="b", logprob=-1.0),
        candidate(2, text="c", logprob=-1.0),
    ]
    assert simulate(tied, [], None, RULES) == Simulated(1, [])


def test_a_prior_is_a_share_of_all_samples_those_that_were_cut_among_them() -> None:
    tree = [
        candidate(0, text="a"),
        candidate(1, text="b", status="truncated", score=None),
        candidate(2, text="a"),
        candidate(3, text="", status="failed", score=None),
        candidate(4, text="c"),
    ]
    assert Known(tree, [], RULES).children == {None: {0: 2 / 5, 4: 1 / 5}}


@pytest.mark.parametrize("noise", [1e-7, 0.0, -1e-7])
def test_what_a_batch_does_to_the_last_digits_is_a_tie(noise: float) -> None:
    tied = [
        candidate(0, text="a", logprob=-1.0),
        candidate(1, text="b", logprob=-1.0 + 10 * noise, score=0.5 + noise),
    ]
    assert simulate(tied, [], None, RULES) == Simulated(0, [])
    better = [*tied, candidate(2, text="c", logprob=-9.0, score=0.5001)]
    assert simulate(better, [], None, RULES) == Simulated(2, [])
