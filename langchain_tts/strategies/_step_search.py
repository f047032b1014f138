"""Search over steps: the graph that beam search and DVTS have in common."""

from __future__ import annotations

from typing import Literal

from langgraph.graph import END, START, StateGraph

from langchain_tts.search.state import SearchState
from langchain_tts.strategies import _nodes
from langchain_tts.strategies.context import SearchContext


def build(
    strategy: str, plan: _nodes.Plan, choose: _nodes.Choose
) -> StateGraph[SearchState, SearchContext, SearchState, SearchState]:
    """Build the loop of a step search.

    Args:
        strategy: Its name, for the result.
        plan: Which candidates get how many children.
        choose: Which of the proposed candidates are expanded next.
    """
    graph = StateGraph(SearchState, SearchContext)
    graph.add_node("propose", _nodes.propose(plan, by_step=True, verifier="steps"))
    graph.add_node("score", _nodes.score("steps"))
    graph.add_node("select", _nodes.select(choose, "steps"))
    graph.add_node("aggregate", _nodes.aggregate(strategy, "steps"))
    graph.add_edge(START, "propose")
    graph.add_edge("propose", "score")
    graph.add_edge("score", "select")
    graph.add_conditional_edges(
        "select", _next, {"propose": "propose", "done": "aggregate"}
    )
    graph.add_edge("aggregate", END)
    return graph


def _next(state: SearchState) -> Literal["propose", "done"]:
    done = state.get("stop_reason") or not state.get("frontier")
    return "done" if done else "propose"
