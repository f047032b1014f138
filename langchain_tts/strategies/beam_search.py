"""Beam search against a verifier of steps.

Snell et al. 2024 (section 5.2) and Liu et al. 2025 (section 3), with the end of Snell:
N final candidates.

1. Sample N first steps from the question.
2. Score each proposed step with the verifier.
3. A proposed step that ends its answer is a final candidate: it leaves the frontier,
   whatever its score, and its place among the N is taken. Of the others the best are
   kept as beams, the rest is pruned: with L = N - (final candidates) places left there
   are max(1, L // M) beams. Ties go to the step with the higher log-probability, then
   to the one sampled first.
4. Sample L next steps from the beams, M each; where L is not divisible by M the better
   beams get one more. Go on with 2, for at most `max_rounds` (40) rounds, until N
   answers are final or no beam is left.
5. Vote over the final candidates; a final candidate's last score is the verifier's
   score of its last step.

A step that was cut by a token limit, and a lost sample, is neither expanded nor final,
and gives its place back. When the budget is spent, the answers that are final vote.

    START -> propose -> score -> select -> propose ... -> aggregate -> END

Cost: at most N proposals a round and N final candidates. The verifier reads each
distinct step once.
"""

from __future__ import annotations

from langgraph.graph import StateGraph

from langchain_tts.search.select import Selection, finished, keep_best, share
from langchain_tts.search.state import SearchState
from langchain_tts.strategies import _step_search
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies.context import SearchContext


def build() -> StateGraph[SearchState, SearchContext, SearchState, SearchState]:
    """Build the graph of beam search."""
    return _step_search.build("beam_search", _plan, _choose)


def _places(state: SearchState, setting: Setting) -> int:
    return setting.budget.samples - len(finished(state.get("tree", [])))


def _plan(state: SearchState, setting: Setting) -> list[Expansion]:
    parents: list[int | None] = [*state.get("frontier", [])] or [None]
    counts = share(_places(state, setting), len(parents))
    return [Expansion(*pair) for pair in zip(parents, counts, strict=True)]


def _choose(state: SearchState, setting: Setting) -> Selection:
    return keep_best(
        state["tree"],
        state["proposed"],
        _places(state, setting),
        setting.context.beam_width,
    )
