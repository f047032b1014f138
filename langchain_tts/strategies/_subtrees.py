"""Subtrees that are searched side by side, none waiting for another.

A subtree is a small search of its own, run by the phases of the graph's nodes. Its
samples have the seeds that they would have in the graph, so the tree is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import reduce
from itertools import accumulate

from langchain_tts.budget import Spent, add_spent
from langchain_tts.rewards.once import ScoredOnce
from langchain_tts.search.select import finished, roots
from langchain_tts.search.state import Candidate, path
from langchain_tts.strategies._calls import (
    Phase,
    PolicyFailedError,
    Steps,
    Together,
    charged,
)
from langchain_tts.strategies._nodes import Choose, Plan, proposing, scoring, selecting
from langchain_tts.strategies._outcome import POLICY_LOST
from langchain_tts.strategies._proposal import search_seed
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies._step_search import going_on
from langchain_tts.strategies.state import SearchState, apply


def side_by_side(
    plan: Plan, choose: Choose, sizes: Callable[[Setting], list[int]]
) -> Phase:
    """The logic of a node that searches all subtrees to their ends.

    Args:
        plan: Which candidates of a subtree get how many children.
        choose: Which of the proposed candidates of a subtree are expanded next.
        sizes: How many samples of the budget each subtree has.
    """

    def phase(state: SearchState, setting: Setting) -> Steps:
        beginning: SearchState = {
            "messages": state["messages"],
            "seed": search_seed(state),
            # The time that has passed is that of all of them.
            "spent": Spent(seconds=state.get("spent", {}).get("seconds", 0.0)),
        }
        known = state.get("tree", [])
        # Subtrees begin alike: what one has had scored the others need not.
        prm = None
        if setting.prm is not None:
            prm = ScoredOnce(setting.prm, _scores(known))
        parts = []
        counts = sizes(setting)
        places = accumulate(counts, initial=len(roots(known)))
        for count, first in zip(counts, places, strict=False):
            propose = proposing(plan, by_step=True, first_place=first)
            budget = replace(setting.budget, samples=count)
            phases = (propose, scoring, selecting(choose))
            part = replace(setting, budget=budget, prm=prm)
            parts.append(_subtree(beginning, part, phases))
        ends: list[SearchState] = yield Together(parts)
        if not finished(known):
            _check(ends, setting)
        spent = _spent(ends, prm)
        joined = _joined(known, ends)
        return {"seed": beginning["seed"], **joined, "spent": spent}

    return phase


def _scores(tree: Sequence[Candidate]) -> dict[tuple[str, ...], float]:
    """The scores of prefixes that are known before the subtrees begin."""
    return {
        tuple(step["text"] for step in path(tree, candidate["id"])): score
        for candidate in tree
        if (score := candidate["score"]) is not None
    }


def _subtree(state: SearchState, setting: Setting, phases: Sequence[Phase]) -> Steps:
    """One subtree from its first steps to its end."""
    while True:
        for phase in phases:
            started = time.monotonic()
            update = phase(state, setting)
            if isinstance(update, Generator):
                update = yield from update
            state = apply(state, charged(update, started))
        if going_on(state) == "done":
            return state


def _check(ends: Sequence[SearchState], setting: Setting) -> None:
    """Refuse to go on where every subtree was lost.

    Raises:
        PolicyFailedError: If the policy never gave a step.
    """
    steps = [candidate for end in ends for candidate in end["tree"]]
    if steps and all(step["status"] == "failed" for step in steps):
        msg = (
            f"policy {setting.policy.name!r} failed on all first steps: "
            f"{ends[0]['degradations'][0]}; check that the model runs, then ask again"
        )
        raise PolicyFailedError(msg)


def _spent(ends: Sequence[SearchState], prm: ScoredOnce | None) -> Spent:
    """What all subtrees have used; the node adds the seconds that passed."""
    total = reduce(add_spent, [end["spent"] for end in ends], Spent())
    return {**total, "prm_calls": 0 if prm is None else prm.calls, "seconds": 0.0}


def _joined(known: Sequence[Candidate], ends: Sequence[SearchState]) -> SearchState:
    """All subtrees as one tree.

    Its order is that of subtrees which take each step together.
    """
    notes = list(dict.fromkeys(line for end in ends for line in end["degradations"]))
    order = sorted(
        (candidate["depth"], subtree, candidate["id"])
        for subtree, end in enumerate(ends)
        for candidate in end["tree"]
    )
    ids = {
        (subtree, old): new
        for new, (_, subtree, old) in enumerate(order, start=len(known))
    }

    def moved(subtree: int, candidate: Candidate) -> Candidate:
        parent = candidate["parent"]
        return {
            **candidate,
            "id": ids[subtree, candidate["id"]],
            "parent": None if parent is None else ids[subtree, parent],
        }

    update: SearchState = {
        "tree": [moved(sub, ends[sub]["tree"][old]) for _, sub, old in order],
        "frontier": [
            ids[subtree, old]
            for subtree, end in enumerate(ends)
            for old in end.get("frontier", [])
        ],
        "proposed": [],
        "round": max(end.get("round", 0) for end in ends),
        "degradations": notes,
    }
    reasons = [end["stop_reason"] for end in ends if end.get("stop_reason")]
    if any(finished(tree) for tree in (known, *(end["tree"] for end in ends))):
        # What one subtree lost the others have made up for.
        reasons = [reason for reason in reasons if reason != POLICY_LOST]
    return {**update, "stop_reason": reasons[0]} if reasons else update
