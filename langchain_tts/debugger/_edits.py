"""Edits of a search by hand: pure functions from a state to an update of it.

An edit is valid at any point of a search. What must hold before it holds after it: the
frontier and what it is aligned with have active candidates only, nothing is pruned and
final at once, every parent exists, and nothing is spent.

Between `propose` and `select` the candidates to choose from are `proposed`, at any
other point those that live on are the `frontier`; `pending` tells an edit which of the
two holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_tts.debugger._errors import DebuggerError
from langchain_tts.policies.base import Step
from langchain_tts.search.select import finished
from langchain_tts.search.state import (
    Candidate,
    FinishReason,
    Status,
    change,
)
from langchain_tts.strategies.state import SearchState, apply

LIVE: tuple[Status, ...] = ("active", "finished", "truncated")
"""What can be pruned: what is still in the search, or in its result."""

_STATUSES: dict[FinishReason, Status] = {
    "step": "active",
    "stop": "finished",
    "length": "truncated",
}


def prune(state: SearchState, candidate_id: int) -> SearchState:
    """Take a candidate out of the search, and all that was continued from it.

    Raises:
        DebuggerError: If it is not in the search.
    """
    candidate = chosen(state, candidate_id)
    if candidate["status"] not in LIVE:
        msg = (
            f"candidate {candidate_id} is {candidate['status']}; "
            f"one that is {', '.join(LIVE[:-1])} or {LIVE[-1]} can be pruned"
        )
        raise DebuggerError(msg)
    gone = _live(state, [candidate_id, *descendants(state, candidate_id)])
    return {
        "tree": [change(i, status="pruned") for i in gone],
        **_without(state, gone),
    }


def keep(state: SearchState, candidate_id: int, *, pending: bool) -> SearchState:
    """Put a pruned candidate back into the search.

    What was pruned before it on its path comes back too, what was continued from it
    does not: it is continued anew. A complete answer votes again.

    Raises:
        DebuggerError: If it was not pruned, or its path ends before it.
    """
    candidate = chosen(state, candidate_id)
    if candidate["status"] != "pruned" or candidate["finish_reason"] == "failed":
        lost = candidate["finish_reason"] == "failed"
        msg = (
            f"candidate {candidate_id} is {'lost' if lost else candidate['status']}; "
            "only a pruned one can be kept"
        )
        raise DebuggerError(msg)
    above = ancestors(state, candidate_id)
    ended = [i for i in above if state["tree"][i]["finish_reason"] != "step"]
    if ended:
        msg = (
            f"candidate {candidate_id} cannot be kept: "
            f"its path ends with candidate {ended[0]}"
        )
        raise DebuggerError(msg)
    status = _STATUSES[candidate["finish_reason"]]
    changes = [
        change(i, status="active")
        for i in above
        if state["tree"][i]["status"] == "pruned"
    ]
    return {
        "tree": [*changes, change(candidate_id, status=status)],
        **(_with(state, candidate_id, pending=pending) if status == "active" else {}),
    }


def rescore(state: SearchState, candidate_id: int, score: float) -> SearchState:
    """Give a candidate another score.

    Args:
        state: The search.
        candidate_id: The candidate.
        score: The score of the prefix that ends in it, in [0, 1].

    Raises:
        DebuggerError: If the score is not in [0, 1].
    """
    chosen(state, candidate_id)
    if not 0 <= score <= 1:
        msg = f"the score is {score!r}; give a number from 0 to 1, e.g. 0.9"
        raise DebuggerError(msg)
    return {"tree": [change(candidate_id, score=float(score))]}


def rewrite(
    state: SearchState, candidate_id: int, step: Step, *, ends: bool, pending: bool
) -> SearchState:
    """Put another step in the place of a candidate's.

    What was continued from the old step is pruned and has no score any more, as the new
    step has none yet. It is continued if it does not end its answer; a pruned candidate
    stays pruned.

    Args:
        state: The search.
        candidate_id: The candidate.
        step: The new step.
        ends: Whether the answer is complete with it.
        pending: Whether proposals are still to be selected.

    Raises:
        DebuggerError: If the candidate only looked ahead.
    """
    candidate = chosen(state, candidate_id)
    if candidate["status"] == "rollout":
        msg = (
            f"candidate {candidate_id} only looks ahead from the step before it; "
            "rewrite that step"
        )
        raise DebuggerError(msg)
    reason: FinishReason = "stop" if ends else "step"
    status = "pruned" if candidate["status"] == "pruned" else _STATUSES[reason]
    below = descendants(state, candidate_id)
    record = change(
        candidate_id, **step, score=None, status=status, finish_reason=reason
    )
    lost = [change(i, score=None, **_pruned(state["tree"][i])) for i in below]
    update: SearchState = {"tree": [record, *lost]}
    update |= _without(state, below if status == "active" else [candidate_id, *below])
    if status == "active":
        update |= _with({**state, **update}, candidate_id, pending=pending)
    if "chains" in state:
        update["chains"] = [
            [candidate_id if last in below else last for last in chain]
            for chain in state["chains"]
        ]
    return update


def _pruned(candidate: Candidate) -> dict[str, Any]:
    """What stays failed needs no other name."""
    return {} if candidate["status"] == "failed" else {"status": "pruned"}


def check_answers(
    state: SearchState, update: SearchState, samples: int, *, pending: bool
) -> None:
    """Refuse an edit that makes more answers final than the budget has samples.

    Args:
        state: The search before the edit.
        update: The edit.
        samples: N.
        pending: Whether proposals are still to be selected; only then they are paid.

    Raises:
        DebuggerError: If there would be more.
    """
    before = _taken(state, pending=pending)
    after = _taken(apply(state, {**update, "spent": {}}), pending=pending)
    if after > max(samples, before):
        msg = (
            f"the budget of N = {samples} is taken up by final answers and such as "
            "were pruned; prune another proposal first, or go back"
        )
        raise DebuggerError(msg)


def _taken(state: SearchState, *, pending: bool) -> int:
    """Places that answers take up, or have taken up before they were pruned."""
    final = set(finished(state["tree"]))
    paid = state.get("spent", {}).get("samples", 0)
    proposed = state.get("proposed", []) if pending else []
    return max(len(final), paid + len(final.intersection(proposed)))


def chosen(state: SearchState, candidate_id: int) -> Candidate:
    """A candidate by its id.

    Raises:
        DebuggerError: If there is none.
    """
    tree = state.get("tree", [])
    if not 0 <= candidate_id < len(tree):
        there = f"the ids are 0 to {len(tree) - 1}" if tree else "the tree is empty"
        msg = f"there is no candidate {candidate_id}; {there}"
        raise DebuggerError(msg)
    return tree[candidate_id]


def descendants(state: SearchState, candidate_id: int) -> list[int]:
    """Ids of all that was continued from a candidate."""
    below = {candidate_id}
    for candidate in state["tree"]:
        # A parent has a smaller id than its children.
        if candidate["parent"] in below:
            below.add(candidate["id"])
    return sorted(below - {candidate_id})


def is_last(state: SearchState, candidate_id: int) -> bool:
    """Whether nothing was continued from a candidate; rollouts only look ahead."""
    return not any(
        c["parent"] == candidate_id and c["status"] != "rollout" for c in state["tree"]
    )


def ancestors(state: SearchState, candidate_id: int) -> list[int]:
    """Ids of the steps before a candidate, the first one first."""
    above: list[int] = []
    parent = state["tree"][candidate_id]["parent"]
    while parent is not None:
        above.append(parent)
        parent = state["tree"][parent]["parent"]
    return above[::-1]


def _live(state: SearchState, ids: Iterable[int]) -> list[int]:
    return [i for i in ids if state["tree"][i]["status"] in LIVE]


def _without(state: SearchState, gone: Sequence[int]) -> SearchState:
    """The frontier without candidates, and the weights of those that stay."""
    frontier, weights = state.get("frontier", []), state.get("weights", [])
    stay = [place for place, i in enumerate(frontier) if i not in set(gone)]
    if len(stay) == len(frontier):
        return {}
    update: SearchState = {"frontier": [frontier[place] for place in stay]}
    if "weights" in state:
        update["weights"] = [weights[place] for place in stay]
    return update


def _with(state: SearchState, candidate_id: int, *, pending: bool) -> SearchState:
    """A candidate more to choose from or to continue, where it is none yet."""
    if pending:
        proposed = state.get("proposed", [])
        new = candidate_id not in proposed
        return {"proposed": [*proposed, candidate_id]} if new else {}
    frontier, weights = state.get("frontier", []), state.get("weights", [])
    if candidate_id in frontier:
        return {}
    update: SearchState = {"frontier": [*frontier, candidate_id]}
    if "weights" in state:
        update["weights"] = [*weights, _average(weights)]
    return update


def _average(log_weights: Sequence[float]) -> float:
    """The logarithm of the mean weight: a newcomer counts like the others."""
    if not log_weights:
        return 0.0
    top = max(log_weights)
    total = math.fsum(math.exp(weight - top) for weight in log_weights)
    return top + math.log(total / len(log_weights))
