"""Best-of-N: N answers, the verifier's scores choose.

Snell et al. 2024 (section 5.1) and Liu et al. 2025 (section 3). Every step of every
answer is scored, so one run gives the answers of all combinations of score and vote
(the result's `table`): `vote="max"` is best-of-N, `vote="vote"` is best-of-N weighted
(PRM-Vote). If the verifier is lost, the answers are counted instead. Whole turns (tool
calls, answers by a schema) are voted on by `search.turn_vote`, and counted where the
verifier reads none.

    START -> propose -> score -> aggregate -> END

`propose` runs again only where a ceiling on tokens or FLOPs did not let all N samples
run in one call.

Cost: N samples, and the verifier reads each distinct prefix of them once. The first n
samples of a run at N are the run at n (`search.vote.nested_votes`).
"""

from __future__ import annotations

from langgraph.graph import END, START

from langchain_tts.strategies import _nodes
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._sampling import enough, plan


def build() -> Graph:
    """Build the graph of best-of-N."""
    graph = state_machine()
    graph.add_node("propose", _nodes.propose(plan, by_step=False, verifier="votes"))
    graph.add_node("score", _nodes.score("votes"))
    graph.add_node("aggregate", _nodes.aggregate("best_of_n", "votes"))
    graph.add_edge(START, "propose")
    graph.add_conditional_edges(
        "propose", enough, {"propose": "propose", "done": "score"}
    )
    graph.add_edge("score", "aggregate")
    graph.add_edge("aggregate", END)
    return graph
