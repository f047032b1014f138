"""Best-first search: always continue the step with the best score, wherever it is.

Kang et al. 2024, "MindStar" (arXiv 2405.16265), search the steps of an answer with a
verifier as a cost; this is the plain form, without a term for the path.

1. Sample N first steps from the question and score them.
2. Of all answers and steps that are open, equal siblings counted once, take the one
   with the highest score / n, when it is taken for the n-th time. Ties go to the step
   with the higher log-probability, then to the one sampled first.
3. If it is a step, sample M next steps from it, and score them; they are open now. It
   stays open itself, at a lower value: a good step is sampled again before a bad one is
   sampled at all. An answer is taken once.
4. Not open is a step that was cut, lost or empty, that is the last of `max_rounds`,
   after which nothing but such was sampled, or of whose depth max(1, N // M) steps were
   taken.
5. Go on with 2, until max(1, N // M) answers were taken, N are final, nothing is open,
   or the budget is spent.
6. Vote over all answers, those among them that were proposed but not taken.

    START -> propose -> score -> select -> propose ... -> aggregate -> END

Cost: at most N proposals for each depth, as in beam search, M a round; less where
max(1, N // M) answers were taken, or N are final, before that.
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_tts.search.state import Candidate
from langchain_tts.search.ties import score_key
from langchain_tts.strategies import _best_first
from langchain_tts.strategies._graph import Graph


def build() -> Graph:
    """Build the graph of best-first search."""
    return _best_first.build("best_first", _cost)


def _cost(tree: Sequence[Candidate], candidate_id: int, time: int) -> float:
    return -score_key((tree[candidate_id]["score"] or 0.0) / time)
