"""Greedy decoding: one answer at temperature 0, the baseline (CoT in Liu et al. 2025).

    START -> propose -> aggregate -> END

Cost: one sample, whatever N is. No verifier.
"""

from __future__ import annotations

from langgraph.graph import END, START

from langchain_tts.strategies import _nodes
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies.state import SearchState


def build() -> Graph:
    """Build the graph of greedy decoding."""
    graph = state_machine()
    graph.add_node(
        "propose",
        _nodes.propose(_plan, by_step=False, verifier="none", temperature=0.0),
    )
    graph.add_node("aggregate", _nodes.aggregate("greedy", "none"))
    graph.add_edge(START, "propose")
    graph.add_edge("propose", "aggregate")
    graph.add_edge("aggregate", END)
    return graph


def _plan(_state: SearchState, _setting: Setting) -> list[Expansion]:
    return [Expansion(None, 1)]
