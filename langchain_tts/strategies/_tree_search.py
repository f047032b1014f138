"""Searching a tree node by node: what MCTS and best-first search have in common.

Each round expands one step; what was proposed earlier may be come back to, and a step
may be expanded again. Together the rounds make at most N proposals for each depth.
"""

from __future__ import annotations

from typing import Any

from langchain_tts.search.select import Selection, beam_count, finished, take_away
from langchain_tts.strategies import _step_search
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._given import given_finals, own_finals
from langchain_tts.strategies._graph import Graph
from langchain_tts.strategies._nodes import Choose
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies.state import SearchState


def build(strategy: str, choose: Choose) -> Graph:
    """Build the graph of a tree search.

    Args:
        strategy: Its name, for the result.
        choose: Which step is expanded next.
    """
    return _step_search.build(strategy, plan, choose, rounds=rounds)


def trajectories(setting: Setting) -> int:
    """How many answers are searched for, at M proposals for each of their steps."""
    return beam_count(setting.budget.samples, setting.context.beam_width)


def ends(state: SearchState, setting: Setting) -> int:
    """How many answers are visited, those that the search was given among them."""
    return trajectories(setting) + len(given_finals(state))


def rounds(setting: Setting) -> int:
    """As many as all trajectories have steps at most."""
    return setting.context.max_rounds * trajectories(setting)


def places(state: SearchState, setting: Setting) -> int:
    """How many more answers may become final."""
    return setting.budget.samples - len(own_finals(state))


def selection(
    state: SearchState, setting: Setting, expand: int | None, visited: list[int]
) -> Selection:
    """Go on with one step, or end the search.

    Args:
        state: The state of the search.
        setting: Its models and budget.
        expand: The step to expand; None if there is nothing to do.
        visited: What was visited now.
    """
    memory: dict[str, Any] = {"visited": visited}
    tree, deepest = state["tree"], setting.context.max_rounds
    at_the_limit = any(
        step["status"] == "active" and step["depth"] >= deepest for step in tree
    )
    if expand is None and at_the_limit and not finished(tree):
        memory["stop_reason"] = state.get("stop_reason") or "rounds"
    return Selection([] if expand is None else [expand], [], memory)


def plan(state: SearchState, setting: Setting) -> list[Expansion]:
    """N first steps, then M children for the step that is expanded.

    There are no more of them than may become final.
    """
    parents: list[int | None] = [*state.get("frontier", [])] or [None]
    samples, width = setting.budget.samples, setting.context.beam_width
    wanted = [samples if parent is None else width for parent in parents]
    counts = take_away(wanted, places(state, setting))
    return [Expansion(*pair) for pair in zip(parents, counts, strict=True)]
