"""Beam search against a verifier of steps.

Snell et al. 2024 (section 5.2) and Liu et al. 2025 (section 3).

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

That is the ending of Snell, with N final candidates (`ending="N"`). With
`ending="N/M"`, as in the code of Liu et al., answers compete with steps for the
max(1, N // M) beams: an answer among the best takes a beam with it, one that is not
is pruned, and the search has that many final candidates, each of which stands for its
beam's share of N.

A step that was cut by a token limit, and a lost sample, is neither expanded nor final,
and gives its place back. When the budget is spent, the answers that are final vote.

    START -> propose -> score -> select -> propose ... -> aggregate -> END

Cost: at most N proposals a round, N final candidates or N // M. The verifier reads each
distinct step once.
"""

from __future__ import annotations

from langchain_tts.search.select import (
    Selection,
    beam_count,
    keep_best,
    keep_best_or_final,
    share,
)
from langchain_tts.strategies import _step_search
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._given import own_finals
from langchain_tts.strategies._graph import Graph
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies.state import SearchState


def build() -> Graph:
    """Build the graph of beam search."""
    return _step_search.build("beam_search", plan, choose, price)


def _places(state: SearchState, setting: Setting) -> int:
    """How many steps the next round may propose."""
    samples, width = setting.budget.samples, setting.context.beam_width
    final = len(own_finals(state))
    if setting.context.ending == "N":
        return samples - final
    # Each of the N/M beams has a share of N, which ends with its answer.
    return sum(share(samples, beam_count(samples, width))[final:])


def plan(state: SearchState, setting: Setting) -> list[Expansion]:
    """Share the places over the beams, the better ones first."""
    parents: list[int | None] = [*state.get("frontier", [])] or [None]
    counts = share(_places(state, setting), len(parents))
    return [Expansion(*pair) for pair in zip(parents, counts, strict=True)]


def choose(state: SearchState, setting: Setting) -> Selection:
    """Keep the best steps, as many as the places that are left allow."""
    tree, proposed = state["tree"], state["proposed"]
    samples, width = setting.budget.samples, setting.context.beam_width
    if setting.context.ending == "N":
        return keep_best(tree, proposed, _places(state, setting), width)
    earlier = len(set(own_finals(state)) - set(proposed))
    return keep_best_or_final(tree, proposed, beam_count(samples, width) - earlier)


def price(setting: Setting) -> int:
    """Samples that a final candidate stands for: its beam's share of N."""
    samples = setting.budget.samples
    if setting.context.ending == "N":
        return 1
    return samples // beam_count(samples, setting.context.beam_width)
