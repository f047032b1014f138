"""Best-first search over steps: what Levin tree search and plain best-first share."""

from __future__ import annotations

from langchain_tts.search.open_list import Cost, take
from langchain_tts.search.select import Selection
from langchain_tts.strategies import _tree_search
from langchain_tts.strategies._graph import Graph
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies.state import SearchState


def build(strategy: str, cost: Cost) -> Graph:
    """Build the graph of a best-first search.

    Args:
        strategy: Its name, for the result.
        cost: What is cheapest.
    """

    def choose(state: SearchState, setting: Setting) -> Selection:
        if _tree_search.places(state, setting) <= 0:
            return Selection([], [])
        expand, taken = take(
            state["tree"],
            state.get("visited", []),
            cost,
            answers=_tree_search.ends(state, setting),
            deepest=setting.context.max_rounds,
            openings=_tree_search.trajectories(setting),
        )
        return _tree_search.selection(state, setting, expand, taken)

    return _tree_search.build(strategy, choose)
