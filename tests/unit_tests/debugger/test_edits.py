"""Edits on trees that were drawn by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from langchain_tts.debugger._edits import (
    check_answers,
    keep,
    prune,
    rescore,
    rewrite,
)
from langchain_tts.debugger._errors import DebuggerError
from langchain_tts.policies.base import Step
from langchain_tts.search.state import Candidate
from langchain_tts.strategies.state import SearchState, apply

NEW = Step(text="new", token_ids=[9, 9], logprob=-2.0)


def candidate(i: int, parent: int | None, status: str, **fields: Any) -> Candidate:
    reasons = {"finished": "stop", "truncated": "length", "failed": "failed"}
    record: Any = {
        "id": i,
        "parent": parent,
        "depth": 1,
        "seed": i,
        "text": f"t{i}",
        "token_ids": [i],
        "logprob": -1.0,
        "score": 0.5,
        "status": status,
        "finish_reason": reasons.get(status, "step"),
    }
    found: Candidate = record | fields
    return found


def search(**channels: Any) -> SearchState:
    """The search: 0 has the children 2 (● frontier), 3 (✔) and 4 (✂), 1 is ✂.

    5 is a child of 2 that was cut, 6 one that looked ahead, 7 one that was lost.
    """
    tree = [
        candidate(0, None, "active"),
        candidate(1, None, "pruned"),
        candidate(2, 0, "active"),
        candidate(3, 0, "finished"),
        candidate(4, 0, "pruned"),
        candidate(5, 2, "truncated"),
        candidate(6, 2, "rollout"),
        candidate(7, 2, "failed"),
    ]
    state: SearchState = {"tree": tree, "frontier": [2], "proposed": [2, 3, 4]}
    given: Any = channels
    return {**state, **given}


def statuses(state: SearchState, update: SearchState) -> list[str]:
    return [c["status"] for c in apply(state, update)["tree"]]


BEFORE = statuses(search(), {})


def with_status(**changed: str) -> list[str]:
    return [changed.get(f"c{i}", status) for i, status in enumerate(BEFORE)]


def test_pruning_cuts_off_all_that_was_continued() -> None:
    update = prune(search(), 0)
    assert statuses(search(), update) == with_status(
        c0="pruned", c2="pruned", c3="pruned", c5="pruned"
    )
    assert update["frontier"] == []


def test_pruning_an_answer_leaves_the_frontier_alone() -> None:
    update = prune(search(), 3)
    assert statuses(search(), update) == with_status(c3="pruned")
    assert update.keys() == {"tree"}


def test_pruning_takes_all_places_of_a_candidate_with_their_weights() -> None:
    state = search(frontier=[0, 2, 2, 0], weights=[0.1, 0.2, 0.3, 0.4])
    update = prune(state, 2)
    assert update["frontier"] == [0, 0]
    assert update["weights"] == [0.1, 0.4]


@pytest.mark.parametrize("i", [1, 6, 7])
def test_what_is_not_in_the_search_cannot_be_pruned(i: int) -> None:
    with pytest.raises(DebuggerError, match=f"candidate {i} is {BEFORE[i]}"):
        prune(search(), i)


def test_a_kept_step_is_continued_next() -> None:
    update = keep(search(), 1, pending=False)
    assert statuses(search(), update) == with_status(c1="active")
    assert update["frontier"] == [2, 1]
    assert "proposed" not in update


def test_a_kept_step_is_chosen_from_while_a_choice_is_ahead() -> None:
    update = keep(search(), 1, pending=True)
    assert update["proposed"] == [2, 3, 4, 1]
    assert "frontier" not in update
    assert keep(search(), 4, pending=True).keys() == {"tree"}


def test_a_kept_step_brings_its_path_back() -> None:
    state = apply(search(), prune(search(), 0))
    update = keep(state, 2, pending=False)
    assert statuses(state, update) == with_status(c3="pruned", c5="pruned")
    assert update["frontier"] == [2]


def test_a_kept_answer_votes_again_and_is_not_continued() -> None:
    state = apply(search(), prune(search(), 3))
    update = keep(state, 3, pending=False)
    assert statuses(state, update) == BEFORE
    assert update.keys() == {"tree"}


def test_a_kept_particle_weighs_as_much_as_the_others_on_average() -> None:
    weights = [math.log(0.2), math.log(0.6)]
    update = keep(search(frontier=[2, 2], weights=weights), 1, pending=False)
    assert update["frontier"] == [2, 2, 1]
    assert update["weights"] == [*weights, pytest.approx(math.log(0.4))]
    alone = keep(search(frontier=[], weights=[]), 1, pending=False)
    assert alone["weights"] == [0.0]


@pytest.mark.parametrize("i", [0, 2, 3, 5, 6])
def test_only_what_was_pruned_can_be_kept(i: int) -> None:
    with pytest.raises(DebuggerError, match="only a pruned one can be kept"):
        keep(search(), i, pending=False)


def test_what_follows_an_end_cannot_be_kept() -> None:
    state = search()
    state = apply(state, rewrite(state, 2, NEW, ends=True, pending=False))
    with pytest.raises(DebuggerError, match="its path ends with candidate 2"):
        keep(state, 5, pending=False)


def test_a_score_is_changed_and_nothing_else() -> None:
    update = rescore(search(), 2, 1)
    assert dict(update) == {"tree": [{"id": 2, "score": 1.0}]}


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan, math.inf])
def test_a_score_outside_0_to_1_is_refused(score: float) -> None:
    with pytest.raises(DebuggerError, match="give a number from 0 to 1"):
        rescore(search(), 2, score)


def test_a_rewritten_step_is_not_scored_and_loses_what_followed_it() -> None:
    update = rewrite(search(), 2, NEW, ends=False, pending=False)
    after = apply(search(), update)
    assert after["tree"][2] == {
        **search()["tree"][2],
        "text": "new",
        "token_ids": [9, 9],
        "logprob": -2.0,
        "score": None,
    }
    assert statuses(search(), update) == with_status(c5="pruned", c6="pruned")
    assert [c["score"] for c in after["tree"][5:]] == [None, None, None]
    assert after["frontier"] == [2]


def test_a_rewritten_step_that_was_continued_is_continued_anew() -> None:
    update = rewrite(search(), 0, NEW, ends=False, pending=False)
    assert update["frontier"] == [0]
    pending = rewrite(search(), 0, NEW, ends=False, pending=True)
    assert pending["frontier"] == []
    assert pending["proposed"] == [2, 3, 4, 0]


def test_a_step_that_is_rewritten_to_the_end_of_its_answer_leaves_the_frontier() -> (
    None
):
    update = rewrite(search(), 2, NEW, ends=True, pending=False)
    after = apply(search(), update)
    assert after["tree"][2]["status"] == "finished"
    assert after["tree"][2]["finish_reason"] == "stop"
    assert after["frontier"] == []


def test_an_answer_that_is_rewritten_to_go_on_is_continued() -> None:
    update = rewrite(search(), 3, NEW, ends=False, pending=False)
    after = apply(search(), update)
    assert (after["tree"][3]["status"], after["frontier"]) == ("active", [2, 3])


def test_a_lost_or_cut_step_can_be_written_by_hand() -> None:
    for i in (5, 7):
        after = apply(search(), rewrite(search(), i, NEW, ends=True, pending=False))
        assert after["tree"][i]["status"] == "finished"


def test_a_pruned_step_stays_pruned_when_it_is_rewritten() -> None:
    update = rewrite(search(), 1, NEW, ends=True, pending=False)
    after = apply(search(), update)
    assert after["tree"][1]["status"] == "pruned"
    assert after["frontier"] == [2]
    kept = apply(after, keep(after, 1, pending=False))
    assert kept["tree"][1]["status"] == "finished"


def test_a_step_that_only_looks_ahead_cannot_be_rewritten() -> None:
    with pytest.raises(DebuggerError, match="only looks ahead"):
        rewrite(search(), 6, NEW, ends=False, pending=False)


def test_a_chain_of_revisions_goes_on_from_the_rewritten_end() -> None:
    state = search(chains=[[3], [1, 5]])
    update = rewrite(state, 2, NEW, ends=True, pending=False)
    assert update["chains"] == [[3], [1, 2]]


@pytest.mark.parametrize("i", [-1, 8])
def test_a_candidate_that_is_not_there_is_named(i: int) -> None:
    edits: list[Callable[[SearchState], SearchState]] = [
        lambda state: prune(state, i),
        lambda state: keep(state, i, pending=False),
        lambda state: rescore(state, i, 0.5),
        lambda state: rewrite(state, i, NEW, ends=False, pending=False),
    ]
    for edit in edits:
        with pytest.raises(
            DebuggerError, match=f"no candidate {i}; the ids are 0 to 7"
        ):
            edit(search())
    with pytest.raises(DebuggerError, match="the tree is empty"):
        prune({}, 0)


def test_no_more_answers_become_final_than_the_budget_has_samples() -> None:
    state = search()
    update = rewrite(state, 2, NEW, ends=True, pending=False)
    check_answers(state, update, 2, pending=False)
    with pytest.raises(DebuggerError, match="the budget of N = 1 is taken up"):
        check_answers(state, update, 1, pending=False)
    check_answers(state, rescore(state, 3, 0.1), 0, pending=False)


def test_an_answer_that_was_pruned_stays_paid_for() -> None:
    state = search(spent={"samples": 3}, proposed=[2])
    update = rewrite(state, 2, NEW, ends=True, pending=True)
    check_answers(state, update, 4, pending=True)
    with pytest.raises(DebuggerError, match="the budget of N = 3 is taken up"):
        check_answers(state, update, 3, pending=True)
    check_answers(state, update, 3, pending=False)
