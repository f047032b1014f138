"""Choosing a route: who is tried, and whose answer decides."""

from __future__ import annotations

import pytest

from langchain_tts.search.tool_route import (
    Route,
    Routed,
    Trial,
    choose,
    refusals,
    tried,
)


def routed(*routes: Route, route: Route | None = None) -> Routed:
    return Routed(open=[*routes], samples=[], route=route, why="", verdicts=[])


def test_each_open_route_is_tried_once_as_far_as_samples_go() -> None:
    three = routed("solve", "calculate", "reason")
    each: list[tuple[Route, int]] = [("solve", 1), ("calculate", 1), ("reason", 1)]
    assert tried(three, 8) == tried(three, 3) == each
    assert tried(three, 1) == [("solve", 1)]
    assert tried(three, 0) == []


def test_half_of_the_budget_tries_a_single_route() -> None:
    assert tried(routed("solve"), 8) == [("solve", 4)]
    assert tried(routed("solve"), 5) == [("solve", 3)]
    assert tried(routed("solve"), 1) == [("solve", 1)]


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
        ((0, 1, 2), "solve", "no two routes agree"),
        ((None, 0, 1), "calculate", "no two routes agree"),
        ((None, None, 0), "reason", "no two routes agree"),
        ((None, None, None), "reason", "no route that was tried found an answer"),
    ],
)
def test_agreement_decides_and_then_the_order(
    answers: tuple[int | None, ...], route: Route, why: str
) -> None:
    names: tuple[Route, ...] = ("solve", "calculate", "reason")
    trials = [Trial(*pair) for pair in zip(names, answers, strict=True)]
    chosen, reason = choose(trials)
    assert chosen == route
    assert reason.startswith(why)


def test_a_single_route_is_kept_while_it_answers() -> None:
    assert choose([Trial("solve", 0)])[0] == "solve"
    assert choose([Trial("solve", None), Trial("solve", 0)])[0] == "solve"
    assert choose([Trial("solve", None)])[0] == "reason"
    assert choose([])[0] == "reason"


def test_refusals_are_counted_by_their_kind() -> None:
    found = refusals(["unique", "unsat", "syntax", "unsat"])
    assert found == {"unsat": 2, "syntax": 1}
