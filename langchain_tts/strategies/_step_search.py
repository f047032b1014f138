"""Search over steps: the graph that beam search and DVTS have in common."""

from __future__ import annotations

from typing import Literal

from langgraph.graph import END, START

from langchain_tts.strategies import _nodes
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies.state import SearchState


def build(
    strategy: str,
    plan: _nodes.Plan,
    choose: _nodes.Choose,
    price: _nodes.Price = _nodes.one_sample,
    *,
    rounds: _nodes.Rounds = _nodes.one_a_step,
) -> Graph:
    """Build the loop of a step search.

    Args:
        strategy: Its name, for the result.
        plan: Which candidates get how many children.
        choose: Which of the proposed candidates are expanded next.
        price: How many samples of the budget a final candidate stands for.
        rounds: How many rounds there may be.
    """
    graph = state_machine()
    graph.add_edge(START, "propose")
    add_loop(graph, strategy, plan, choose, price, rounds=rounds)
    return graph


def add_loop(
    graph: Graph,
    strategy: str,
    plan: _nodes.Plan,
    choose: _nodes.Choose,
    price: _nodes.Price = _nodes.one_sample,
    *,
    rounds: _nodes.Rounds = _nodes.one_a_step,
) -> None:
    """Add all of a step search but the edge to its first node, `propose`."""
    graph.add_node("propose", _nodes.propose(plan, verifier="steps"))
    graph.add_node("score", _nodes.score("steps"))
    graph.add_node("select", _nodes.select(choose, "steps", price, rounds))
    graph.add_node("aggregate", _nodes.aggregate(strategy, "steps"))
    graph.add_edge("propose", "score")
    graph.add_edge("score", "select")
    graph.add_conditional_edges(
        "select", going_on, {"propose": "propose", "done": "aggregate"}
    )
    graph.add_edge("aggregate", END)


def going_on(state: SearchState) -> Literal["propose", "done"]:
    """Whether there is another round."""
    done = state.get("stop_reason") or not state.get("frontier")
    return "done" if done else "propose"
