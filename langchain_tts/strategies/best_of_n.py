"""Best-of-N: N answers, the verifier's scores choose.

Snell et al. 2024 (section 5.1) and Liu et al. 2025 (section 3). Every step of every
answer is scored, so one run gives the answers of all combinations of score and vote
(the result's `table`): `vote="max"` is best-of-N, `vote="vote"` is best-of-N weighted
(PRM-Vote). If the verifier is lost, the answers are counted instead. Whole turns (tool
calls, answers by a schema) are voted on by `search.turn_vote`, and counted where the
verifier reads none.

    START -> propose -> score -> aggregate -> END

`propose` runs again only where a ceiling on tokens or FLOPs did not let all N samples
run in one call. With `stop_score` the samples come in waves, each as large as all
before it: an answer with that score ends the search.

    START -> propose -> score -> settle -> propose ... -> aggregate -> END

Cost: N samples, or fewer with `stop_score`, and the verifier reads each distinct prefix
of them once. The first n samples of a run at N are the run at n
(`search.vote.nested_votes`).
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from langgraph.graph import END, START

from langchain_tts.search.select import roots
from langchain_tts.strategies import _nodes
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._calls import Steps, Work, node
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._outcome import good_enough, lost_verifier, voters
from langchain_tts.strategies._sampling import enough, in_calls, missing
from langchain_tts.strategies._setting import Setting, runtime_context
from langchain_tts.strategies.state import SearchState


def build() -> Graph:
    """Build the graph of best-of-N."""
    graph = state_machine()
    graph.add_node("propose", node(in_calls(_plan), "votes", "propose"))
    graph.add_node("score", _nodes.score("votes"))
    graph.add_node("settle", node(_settle, "votes", "settle"))
    graph.add_node("aggregate", _nodes.aggregate("best_of_n", "votes"))
    graph.add_edge(START, "propose")
    graph.add_conditional_edges(
        "propose", _sampled, {"propose": "propose", "done": "score"}
    )
    graph.add_conditional_edges(
        "score", enough, {"propose": "settle", "done": "aggregate"}
    )
    graph.add_conditional_edges(
        "settle", enough, {"propose": "propose", "done": "aggregate"}
    )
    graph.add_edge("aggregate", END)
    return graph


def _plan(state: SearchState, setting: Setting) -> list[Expansion]:
    left = missing(state, setting.budget)
    scored = setting.prm is not None and not lost_verifier(state)
    if setting.context.stop_score is None or not scored:
        return [Expansion(None, left)]
    wave = max(1, len(roots(state.get("tree", []))))
    return [Expansion(None, min(wave, left))]


def _sampled(state: SearchState) -> Literal["propose", "done"]:
    """Where to go with new samples: those of a wave are scored before the next one."""
    return "done" if runtime_context(state).stop_score is not None else enough(state)


def _settle(state: SearchState, setting: Setting) -> Steps:
    """Stop if an answer is good enough."""
    # Reading answers may take a computer algebra system's time.
    found = yield Work(partial(voters, state, setting))
    return good_enough(state, found.finals, setting.context.stop_score)
