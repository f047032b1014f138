"""The text that an answer is sure to start with, as a search goes on."""

from __future__ import annotations

from langchain_tts.search.certain import (
    Certainty,
    before_stop,
    common_start,
    contenders,
)
from langchain_tts.search.select import roots
from langchain_tts.search.state import path
from langchain_tts.strategies import get_strategy
from langchain_tts.strategies._given import given
from langchain_tts.strategies._outcome import whole_text
from langchain_tts.strategies.parameters import parse_strategy
from langchain_tts.strategies.state import SearchState


def certain_text(
    state: SearchState, certainty: Certainty, samples: int, stop: list[str] | None
) -> str:
    """The longest text that every candidate which can become the answer starts with.

    Args:
        state: The state of the search.
        certainty: When its strategy knows what can become the answer.
        samples: How many answers it samples, where it samples whole answers.
        stop: The text ends before the first of these.
    """
    if "result" in state:
        return before_stop(state["result"]["text"], stop)
    if certainty == "route":
        certainty = _routed(state)
    tree, stopped = state.get("tree", []), bool(state.get("stop_reason"))
    sampled = stopped or len(roots(tree)) >= samples
    if certainty == "end" or (certainty == "samples" and not sampled):
        return ""
    # Of whole answers none is expanded or pruned.
    frontier = [] if certainty == "samples" else state.get("frontier")
    ids = contenders(tree, frontier, state.get("proposed", []), stopped=stopped)
    texts = [whole_text(path(tree, i)) for i in ids]
    return before_stop(common_start(texts), stop, more=True)


def _routed(state: SearchState) -> Certainty:
    """When the strategy that a search has chosen knows what can become the answer."""
    route = state.get("route", {})
    if not route.get("taken"):
        return "samples" if state.get("stop_reason") else "end"
    name, _ = parse_strategy(route["strategy"])
    certainty = get_strategy(name).certainty
    begun = len(state["tree"]) > given(state)["candidates"]
    return certainty if begun or certainty == "samples" else "end"
