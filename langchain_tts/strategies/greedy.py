"""Greedy decoding: one answer at temperature 0, the baseline (CoT in Liu et al. 2025).

    START -> propose -> aggregate -> END

Where a compute-optimal search chose it, the answers that were sampled before do not
vote, unless the greedy one is none.

Cost: one sample, whatever N is. No verifier.
"""

from __future__ import annotations

from langgraph.graph import END, START

from langchain_tts.search.state import change
from langchain_tts.strategies import _nodes
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._calls import Steps, node
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._outcome import final_candidates
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies.state import SearchState, apply


def build() -> Graph:
    """Build the graph of greedy decoding."""
    graph = state_machine()
    graph.add_node("propose", node(_propose, "none", "propose"))
    graph.add_node("aggregate", _nodes.aggregate("greedy", "none"))
    graph.add_edge(START, "propose")
    graph.add_edge("propose", "aggregate")
    graph.add_edge("aggregate", END)
    return graph


def _propose(state: SearchState, setting: Setting) -> Steps:
    sampled = _nodes.proposing(_plan, by_step=False, temperature=0.0)
    update = yield from sampled(state, setting)
    known = len(state.get("tree", []))
    tree = apply(state, update).get("tree", [])
    finals = final_candidates(tree, setting.context.score)
    if not any(final["id"] >= known and final["answer"] for final in finals):
        return update
    before = [change(f["id"], status="pruned") for f in finals if f["id"] < known]
    return {**update, "tree": [*update["tree"], *before]}


def _plan(_state: SearchState, _setting: Setting) -> list[Expansion]:
    return [Expansion(None, 1)]
