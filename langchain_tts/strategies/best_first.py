"""Best-first search: always continue the step with the best score, wherever it is.

Kang et al. 2024, "MindStar" (arXiv 2405.16265), search the steps of an answer with a
verifier as a cost; this is the plain form, without a term for the path.

1. Sample M first steps from the question and score them.
2. Of all answers and steps that are open, equal siblings counted once, take the one
   with the highest score. Ties go to the step with the higher log-probability, then to
   the one sampled first.
3. If it is a step, sample M next steps from it, and score them; they are open now. A
   step that was cut, lost or empty, or is the last of `max_rounds`, is not.
4. Go on with 2, until max(1, N // M) answers were taken, N are final, nothing is open,
   `max_rounds` x max(1, N // M) steps were expanded, or the budget is spent.
5. Vote over all answers, those among them that were proposed but not taken.

    START -> propose -> score -> select -> propose ... -> aggregate -> END

Cost: M proposals a round. N stands for N // M trajectories with M proposals for each of
their steps, as in beam search, but a search that keeps coming back to short ones takes
more. No step gets more than M next ones, so nothing may be open long before N is used;
a larger M is what widens the tree. With M = 1 there is one path, and one answer.
"""

from __future__ import annotations

from langchain_tts.search.select import rank
from langchain_tts.strategies import _best_first
from langchain_tts.strategies._graph import Graph


def build() -> Graph:
    """Build the graph of best-first search."""
    return _best_first.build("best_first", rank)
