"""Lookahead search: beam search that judges a step by where it leads.

Snell et al. 2024 (section 5.2).

1. Propose steps as beam search does, but L of them a round instead of N:
   L = N // (k + 1), where k is `lookahead`; with N < k + 1 it is lowered to N - 1.
2. Follow each proposed step that is not the end of an answer for k more steps at
   temperature 0, fewer where the answer ends before (or would get longer than
   `max_rounds` steps). Equal steps after equal steps are followed once.
3. Score each step with the verifier at the end of its rollout, and a complete answer as
   it is. Only these ends are read. Where a rollout is cut, its last whole step counts.
4. Select as beam search does, with L in the place of N; both its endings are there. The
   rollouts are dropped: they are neither continued nor voted on.
5. Vote over the final candidates.

A ceiling on tokens or FLOPs under which rollouts would not leave enough for the next
round ends the lookahead: from there on the search is a beam search.

    START -> propose -> look_ahead -> score -> select -> propose ... -> aggregate -> END

`look_ahead` runs once for each step of the rollouts, with all of them in one call.

Cost: at most N proposals and rollout steps a round, so that equal N is equal cost; a
final candidate costs k + 1 of N. With k = 0 it is `beam_search`, step by step.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from langgraph.graph import END, START

from langchain_tts.budget import Budget
from langchain_tts.search.lookahead import affordable, open_rollouts, place_count
from langchain_tts.search.select import Selection
from langchain_tts.strategies import _nodes, beam_search
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._calls import Steps, node
from langchain_tts.strategies._given import own_finals
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._rollouts import judges, one_step_further
from langchain_tts.strategies._scoring import RolloutScoring
from langchain_tts.strategies._setting import Setting, runtime_context
from langchain_tts.strategies._step_search import going_on
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.state import SearchState


def build() -> Graph:
    """Build the graph of lookahead search."""
    graph = state_machine()
    graph.add_node("propose", _nodes.propose(_plan, verifier="steps"))
    graph.add_node("look_ahead", node(_look_ahead, "steps", "look_ahead"))
    graph.add_node("score", _nodes.score("steps", RolloutScoring))
    graph.add_node("select", _nodes.select(_choose, "steps", _price))
    graph.add_node("aggregate", _nodes.aggregate("lookahead", "steps"))
    graph.add_edge(START, "propose")
    graph.add_edge("propose", "look_ahead")
    graph.add_conditional_edges(
        "look_ahead", _further, {"look_ahead": "look_ahead", "done": "score"}
    )
    graph.add_edge("score", "select")
    graph.add_conditional_edges(
        "select", going_on, {"propose": "propose", "done": "aggregate"}
    )
    graph.add_edge("aggregate", END)
    return graph


def _beam(setting: Setting) -> Setting:
    """The setting of the beam search that is left when rollouts are paid for."""
    samples = setting.budget.samples
    places = place_count(samples, setting.context.lookahead)
    return replace(setting, budget=replace(setting.budget, samples=places))


def _plan(state: SearchState, setting: Setting) -> list[Expansion]:
    return beam_search.plan(state, _beam(setting))


def _choose(state: SearchState, setting: Setting) -> Selection:
    return beam_search.choose(state, _beam(setting))


def _price(setting: Setting) -> int:
    steps = affordable(setting.budget.samples, setting.context.lookahead)
    return beam_search.price(_beam(setting)) * (steps + 1)


def _look_ahead(state: SearchState, setting: Setting) -> SearchState | Steps:
    ends = _open(state, setting.context)
    places = _beam(setting).budget.samples - len(own_finals(state))
    return one_step_further(state, setting, ends, places) if ends else {}


def _further(state: SearchState) -> Literal["look_ahead", "done"]:
    return "look_ahead" if _open(state, runtime_context(state)) else "done"


def _open(state: SearchState, context: SearchContext) -> list[int]:
    """Where rollouts go on."""
    if not judges(state):
        return []
    samples = Budget.parse(context.budget).samples
    return open_rollouts(
        state.get("tree", []),
        state.get("proposed", []),
        affordable(samples, context.lookahead),
        context.max_rounds,
    )
