"""Majority vote (self-consistency): N answers, the most frequent one wins.

Wang et al. 2022 (arXiv 2203.11171); the baseline of Snell et al. 2024 and Liu et al.
2025. Answers are counted as mathematically equal, not as equal strings; of answers with
equally many votes the one that was sampled first wins. With `early_stop` samples are
taken only until the vote is settled (`search.settle`):

1. Take the smallest number of further samples that could settle the vote: as many as
   would do if all of them gave the leading answer.
2. `certain`: stop when the leader can no longer be overtaken by the samples that are
   left. The answer is that of the full vote.
3. `confident`: stop also when the leader is the more likely answer of the first two
   with a probability of `confidence` (Adaptive-Consistency, Aggarwal et al. 2023, arXiv
   2305.11860, section 3).
4. Otherwise repeat from 1, until N samples were taken.

    START -> propose [-> settle -> propose ...] -> aggregate -> END

Whole turns (tool calls, answers by a schema) are counted by `search.turn_vote`; with
`early_stop` each level of that vote has to be settled.

Without `early_stop`, `propose` runs again only where a ceiling on tokens or FLOPs did
not let all N samples run in one call.

Cost: N samples, or fewer with `early_stop`. No verifier. The first n samples of a run
at N are the run at n.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from langgraph.graph import END, START

from langchain_tts.search.select import roots
from langchain_tts.search.settle import fewest_to_settle, settled
from langchain_tts.strategies import _nodes
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._calls import Steps, Work, node
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._outcome import tallies
from langchain_tts.strategies._sampling import enough, in_calls, missing
from langchain_tts.strategies._setting import Setting, runtime_context
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.state import SearchState


def build() -> Graph:
    """Build the graph of majority vote."""
    graph = state_machine()
    graph.add_node("propose", node(in_calls(_plan), "none", "propose"))
    graph.add_node("settle", node(_settle, "none", "settle"))
    graph.add_node("aggregate", _nodes.aggregate("majority_vote", "none"))
    graph.add_conditional_edges(
        START, _entry, {"settle": "settle", "propose": "propose"}
    )
    graph.add_conditional_edges(
        "propose",
        _sampled,
        {"settle": "settle", "propose": "propose", "done": "aggregate"},
    )
    graph.add_conditional_edges(
        "settle", enough, {"propose": "propose", "done": "aggregate"}
    )
    graph.add_edge("aggregate", END)
    return graph


def _plan(state: SearchState, setting: Setting) -> list[Expansion]:
    left = missing(state, setting.budget)
    if setting.context.early_stop == "off":
        return [Expansion(None, left)]
    wanted = state.get("wanted")
    if wanted is None:
        wanted = fewest_to_settle([], left, _confidence(setting.context))
    # A forked search may go on with a smaller N.
    return [Expansion(None, min(wanted, left))]


def _sampled(state: SearchState) -> Literal["settle", "propose", "done"]:
    """Where to go with new samples."""
    turn = enough(state)
    if turn == "propose" and runtime_context(state).early_stop != "off":
        return "settle"
    return turn


def _entry(state: SearchState) -> Literal["settle", "propose"]:
    """Where to begin: with what there is, if some samples were taken before."""
    known = roots(state.get("tree", []))
    return "settle" if known and _sampled(state) == "settle" else "propose"


def _settle(state: SearchState, setting: Setting) -> Steps:
    """Stop if the vote is settled, else tell how many more samples are wanted."""
    confidence = _confidence(setting.context)
    # Comparing answers may take a computer algebra system's time.
    votes = yield Work(partial(tallies, state, setting))
    left = missing(state, setting.budget)
    reasons = {settled(level, left, confidence) for level in votes}
    if None not in reasons:
        return {"stop_reason": "confident" if "confident" in reasons else "certain"}
    wanted = max(fewest_to_settle(level, left, confidence) for level in votes)
    return {"wanted": wanted}


def _confidence(context: SearchContext) -> float | None:
    return context.confidence if context.early_stop == "confident" else None
