"""Choosing a route: who is tried, and whose answer decides."""

from __future__ import annotations

import pytest

from langchain_tts.search.tool_route import (
    ORDER,
    Route,
    Routed,
    Trial,
    choose,
    refusals,
    tried,
)


def routed(
    *routes: Route,
    ranked: bool = False,
    samples: tuple[Route, ...] = (),
    route: Route | None = None,
) -> Routed:
    return Routed(
        open=[*routes],
        ranked=ranked,
        samples=[*samples],
        route=route,
        why="",
        verdicts=[],
    )


def trials(**answers: list[int | None]) -> list[Trial]:
    return [
        Trial(route, answer) for route in ORDER for answer in answers.get(route, [])
    ]


@pytest.mark.parametrize(
    ("samples", "share"), [(3, 1), (5, 1), (6, 2), (8, 2), (9, 3), (16, 5)]
)
def test_routes_of_unknown_aptitude_get_equal_shares(samples: int, share: int) -> None:
    assert tried(routed(*ORDER), samples) == [(route, share) for route in ORDER]


def test_fewer_samples_than_routes_try_the_first_ones() -> None:
    assert tried(routed(*ORDER), 2) == [("solve", 1), ("calculate", 1)]
    assert tried(routed(*ORDER), 1) == [("solve", 1)]
    assert tried(routed(*ORDER), 0) == []


def test_ranked_routes_are_tried_one_after_the_other_with_half_of_what_is_left() -> (
    None
):
    order: tuple[Route, ...] = ("solve", "reason", "calculate")
    assert tried(routed(*order, ranked=True), 8) == [("solve", 4)]
    after = routed(*order, ranked=True, samples=("solve",) * 4)
    assert tried(after, 4) == [("reason", 2)]
    assert tried(routed("solve", ranked=True), 5) == [("solve", 3)]
    assert tried(routed("solve", ranked=True), 1) == [("solve", 1)]


def test_the_rest_is_for_the_chosen_route() -> None:
    assert tried(routed("solve", "reason", route="reason"), 6) == [("reason", 6)]
    assert tried(routed("reason", route="reason"), 0) == []


@pytest.mark.parametrize(
    ("answers", "route", "why"),
    [
        ((0, 0, 1), "solve", "solve and calculate found the same answer"),
        ((1, 0, 0), "calculate", "calculate and reason found the same answer"),
        ((0, 1, 0), "solve", "solve and reason found the same answer"),
        ((None, 0, 0), "calculate", "calculate and reason found the same answer"),
        ((0, 1, 2), "solve", "no two answers agree"),
        ((None, 0, 1), "calculate", "no two answers agree"),
        ((None, None, 0), "reason", "no two answers agree"),
        ((None, None, None), "reason", "no route that was tried found an answer"),
    ],
)
def test_after_one_try_of_each_agreement_decides_and_then_the_order(
    answers: tuple[int | None, ...], route: Route, why: str
) -> None:
    pairs = [Trial(*pair) for pair in zip(ORDER, answers, strict=True)]
    chosen, reason = choose(routed(*ORDER, samples=ORDER), pairs)
    assert chosen == route
    assert reason.startswith(why)


@pytest.mark.parametrize(
    ("solve", "calculate", "reason", "route", "why"),
    [
        # Two failures of a route do not outvote its one answer that others found too.
        ([None, 0], [0, 1], [2, 3], "solve", "solve and calculate found"),
        # The one that found the leading answer 0 most often is taken, not the first.
        ([0, 1], [0, 0], [2, 3], "calculate", "solve and calculate found"),
        # A route that agrees with itself counts as much as two that agree.
        ([0, 1], [2, 3], [4, 4], "reason", "it alone found the answer"),
        # 0 and 1 have two votes each: the one that was found first leads.
        ([0, 0], [1, 1], [2, 3], "solve", "it alone found the answer"),
    ],
)
def test_the_route_that_found_the_leading_answer_most_often_is_taken(
    solve: list[int | None],
    calculate: list[int | None],
    reason: list[int | None],
    route: Route,
    why: str,
) -> None:
    found = trials(solve=solve, calculate=calculate, reason=reason)
    known = routed(*ORDER, samples=tuple(one.route for one in found))
    chosen, because = choose(known, found)
    assert chosen == route
    assert because.startswith(why)


def test_the_best_ranked_route_is_kept_while_it_answers() -> None:
    known = routed(*ORDER, ranked=True, samples=("solve", "solve"))
    route, why = choose(known, trials(solve=[None, 0]))
    assert (route, why) == (
        "solve",
        "it was measured to be the best open one, and found an answer",
    )


def test_the_next_ranked_route_is_tried_where_the_best_has_no_answer() -> None:
    known = routed(*ORDER, ranked=True, samples=("solve", "solve"))
    failed = trials(solve=[None, None])
    assert choose(known, failed) == (None, "")
    known["samples"] += ["calculate"]
    route, why = choose(known, [*failed, Trial("calculate", 0)])
    assert route == "calculate"
    assert why == "no route that was measured to be better found an answer"


def test_a_route_that_was_asked_for_is_kept_while_it_answers() -> None:
    known = routed("solve", ranked=True, samples=("solve", "solve"))
    assert choose(known, trials(solve=[None, 0])) == ("solve", "it found an answer")
    assert choose(known, trials(solve=[None, None]))[0] == "reason"


def test_a_first_sample_without_others_decides_alone() -> None:
    known = routed(*ORDER, samples=("solve",))
    assert choose(known, trials(solve=[0])) == ("solve", "it found an answer")
    assert choose(known, trials(solve=[None]))[0] == "reason"
    assert choose(routed(ranked=True), [])[0] == "reason"


def test_refusals_are_counted_by_their_kind() -> None:
    found = refusals(["unique", "unsat", "syntax", "unsat"])
    assert found == {"unsat": 2, "syntax": 1}
