"""Compute-optimal search: the strategy that is best for this question.

Snell et al. 2024 (section 3) and Liu et al. 2025 (section 4): which strategy is best
depends on the policy, the verifier, the budget and the question's difficulty.

1. Sample the first n of N whole answers, those that best-of-N samples first.
2. Score their steps.
3. Predict how probable the policy is right, from the scores, from how many answers
   agree, or from both (`search.difficulty`). The calibration of the models says which,
   and which strategy with which parameters, score and vote was best for such questions
   (`langchain-tts calibrate`). Without one Liu et al.'s rule decides by the size of the
   policy (`search.routing`), which the result tells.
4. If one of the answers is good enough already (`stop_score`), or the vote is settled,
   vote.
5. Go on with the chosen strategy's graph, which is a part of this one. The answers are
   its first samples, nothing is sampled or scored again: best-of-N samples the other N
   - n, a step search has n final candidates and searches for N - n
   (`strategies._taken_over`). It ends early where an answer is good enough.
6. Vote over all answers.

    START -> propose -> score -> route -> (a strategy) -> aggregate -> END

`adaptive=False` ends no search early. Where tools may be called, or an answer follows a
schema, whole turns are sampled by best-of-N.

Cost: N samples at most, whatever is chosen, and what was left out of N is told
(`saved` in the result's `route`).
"""

from __future__ import annotations

from langgraph.graph import END, START

from langchain_tts.strategies import _nodes
from langchain_tts.strategies._calls import node
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._registry import STRATEGIES
from langchain_tts.strategies._route import NAME, chosen, route, sample, sampled, score
from langchain_tts.strategies._stage import stage


def build() -> Graph:
    """Build the graph of compute-optimal search, with those of all other strategies."""
    graph = state_machine()
    graph.add_node("propose", node(sample, "optional", "propose"))
    graph.add_node("score", node(score, "optional", "score"))
    graph.add_node("route", node(route, "optional", "route"))
    strategies = [one for one in STRATEGIES.values() if not one.chooses]
    for strategy in strategies:
        graph.add_node(strategy.name, stage(strategy))
        graph.add_edge(strategy.name, "aggregate")
    graph.add_node("aggregate", _nodes.aggregate(NAME, "optional"))
    graph.add_edge(START, "propose")
    graph.add_conditional_edges(
        "propose", sampled, {"propose": "propose", "done": "score"}
    )
    graph.add_edge("score", "route")
    ways = [*(strategy.name for strategy in strategies), "aggregate"]
    graph.add_conditional_edges("route", chosen, ways)
    graph.add_edge("aggregate", END)
    return graph
