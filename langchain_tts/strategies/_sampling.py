"""Sampling N whole answers: what majority vote and best-of-N have in common."""

from __future__ import annotations

from typing import Literal

from langchain_tts.budget import Budget
from langchain_tts.search.select import roots
from langchain_tts.strategies import _nodes
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._calls import Phase, Steps
from langchain_tts.strategies._setting import Setting, runtime_context
from langchain_tts.strategies.state import SearchState


def missing(state: SearchState, budget: Budget) -> int:
    """How many of the N samples were not taken yet; a failed one is not replaced."""
    return max(0, budget.samples - len(roots(state.get("tree", []))))


def plan(state: SearchState, setting: Setting) -> list[Expansion]:
    """The samples that are still missing.

    One call samples all of them, unless a ceiling on tokens or FLOPs is so tight that
    the length of the first answers must tell how many more fit.
    """
    return [Expansion(None, missing(state, setting.budget))]


def in_calls(plan: _nodes.Plan) -> Phase:
    """The logic of a node that samples in several calls.

    One that is not the last may be lost without an error.

    Args:
        plan: How many samples the next call takes.
    """

    def phase(state: SearchState, setting: Setting) -> SearchState | Steps:
        [planned] = plan(state, setting)
        last = planned.children == missing(state, setting.budget)
        first_place = None if last else 0
        sample = _nodes.proposing(plan, by_step=False, first_place=first_place)
        return sample(state, setting)

    return phase


def enough(state: SearchState) -> Literal["propose", "done"]:
    """Whether N answers were sampled, or something ended the search before."""
    budget = Budget.parse(runtime_context(state).budget)
    if state.get("stop_reason") or not missing(state, budget):
        return "done"
    return "propose"
