"""Diverse verifier tree search (DVTS): independent subtrees, each searched greedily.

Beeching, Tunstall and Rush 2024, "Scaling test-time compute with open models"; Liu et
al. 2025 (section 3).

1. Sample N first steps and deal them, in order, to max(1, N // M) subtrees of M; where
   N is not divisible by M the first subtrees get one more.
2. Score each proposed step with the verifier.
3. In each subtree the best proposed step is kept, the others are pruned: subtrees never
   compete, which keeps the answers diverse. Proposed steps that end their answer are
   final candidates; where such a step is the best, its subtree has ended.
4. Sample next steps from each kept step: M, less the subtree's final candidates. Go on
   with 2, for at most `max_rounds` rounds.
5. Vote over the final candidates of all subtrees.

No subtree waits for another: each one's next call goes out as soon as its last one has
come back, and an engine that batches continuously merges what comes from all.

    START -> subtrees -> aggregate -> END

Where the steps are looked at or saved, where `lockstep` asks for it, and where all
subtrees draw on one ceiling of tokens or FLOPs or end with one answer (`stop_score`),
they advance together, in one batch a round. The tree is the same.

    START -> propose -> score -> select -> propose ... -> aggregate -> END

Cost: at most N proposals a round and N final candidates. The verifier reads each
distinct step once.
"""

from __future__ import annotations

from typing import Literal

from langgraph.graph import START

from langchain_tts.budget import Budget
from langchain_tts.search.select import (
    Selection,
    beam_count,
    keep_best_of_subtrees,
    roots,
    share,
    subtrees,
)
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._calls import node
from langchain_tts.strategies._given import given_roots, own_finals
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._setting import Setting, runtime_context
from langchain_tts.strategies._step_search import add_loop
from langchain_tts.strategies._subtrees import side_by_side
from langchain_tts.strategies.state import SearchState


def build() -> Graph:
    """Build the graph of DVTS."""
    graph = state_machine()
    subtrees_node = node(side_by_side(_plan, _choose, _sizes), "steps", "subtrees")
    graph.add_node("subtrees", subtrees_node)
    graph.add_conditional_edges(
        START, _entry, {"in lockstep": "propose", "side by side": "subtrees"}
    )
    add_loop(graph, "dvts", _plan, _choose)
    graph.add_edge("subtrees", "aggregate")
    return graph


def _entry(state: SearchState) -> Literal["in lockstep", "side by side"]:
    context = runtime_context(state)
    budget = Budget.parse(context.budget)
    shared = budget.tokens is not None or budget.flops is not None
    # An answer that is good enough ends all subtrees.
    together = shared or context.stop_score is not None
    free = context.lockstep is False and not together
    return "side by side" if free else "in lockstep"


def _sizes(setting: Setting) -> list[int]:
    return share(setting.budget.samples, _count(setting))


def _owners(state: SearchState, setting: Setting) -> list[int]:
    return subtrees(state["tree"], _count(setting), given_roots(state))


def _count(setting: Setting) -> int:
    return beam_count(setting.budget.samples, setting.context.beam_width)


def _plan(state: SearchState, setting: Setting) -> list[Expansion]:
    parents = state.get("frontier")
    if not parents:
        return [Expansion(None, setting.budget.samples)]
    tree, owner = state["tree"], _owners(state, setting)
    places = share(len(roots(tree)) - given_roots(state), _count(setting))
    for candidate_id in own_finals(state):
        places[owner[candidate_id]] -= 1
    return [Expansion(parent, places[owner[parent]]) for parent in parents]


def _choose(state: SearchState, setting: Setting) -> Selection:
    return keep_best_of_subtrees(
        state["tree"], state["proposed"], _owners(state, setting)
    )
