"""Majority vote (self-consistency): N answers, the most frequent one wins.

Wang et al. 2022 (arXiv 2203.11171); the baseline of Snell et al. 2024 and Liu et al.
2025. Answers are counted as mathematically equal, not as equal strings; of answers with
equally many votes the one that was sampled first wins.

    START -> propose -> aggregate -> END

`propose` runs again only where a ceiling on tokens or FLOPs did not let all N samples
run in one call.

Cost: N samples. No verifier. The first n samples of a run at N are the run at n.
"""

from __future__ import annotations

from langgraph.graph import END, START

from langchain_tts.strategies import _nodes
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._sampling import enough, plan


def build() -> Graph:
    """Build the graph of majority vote."""
    graph = state_machine()
    graph.add_node("propose", _nodes.propose(plan, by_step=False, verifier="none"))
    graph.add_node("aggregate", _nodes.aggregate("majority_vote", "none"))
    graph.add_edge(START, "propose")
    graph.add_conditional_edges(
        "propose", enough, {"propose": "propose", "done": "aggregate"}
    )
    graph.add_edge("aggregate", END)
    return graph
