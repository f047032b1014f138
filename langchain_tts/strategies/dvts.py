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

All subtrees advance together, in one batch a round.

    START -> propose -> score -> select -> propose ... -> aggregate -> END

Cost: at most N proposals a round and N final candidates. The verifier reads each
distinct step once.
"""

from __future__ import annotations

from langchain_tts.search.select import (
    Selection,
    beam_count,
    finished,
    keep_best_of_subtrees,
    roots,
    share,
    subtrees,
)
from langchain_tts.strategies import _step_search
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._graph import Graph
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies.state import SearchState


def build() -> Graph:
    """Build the graph of DVTS."""
    return _step_search.build("dvts", _plan, _choose)


def _owners(state: SearchState, setting: Setting) -> list[int]:
    return subtrees(state["tree"], _count(setting))


def _count(setting: Setting) -> int:
    return beam_count(setting.budget.samples, setting.context.beam_width)


def _plan(state: SearchState, setting: Setting) -> list[Expansion]:
    parents = state.get("frontier")
    if not parents:
        return [Expansion(None, setting.budget.samples)]
    tree, owner = state["tree"], _owners(state, setting)
    places = share(len(roots(tree)), _count(setting))
    for candidate_id in finished(tree):
        places[owner[candidate_id]] -= 1
    return [Expansion(parent, places[owner[parent]]) for parent in parents]


def _choose(state: SearchState, setting: Setting) -> Selection:
    return keep_best_of_subtrees(
        state["tree"], state["proposed"], _owners(state, setting)
    )
