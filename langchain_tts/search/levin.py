"""The cost of Levin tree search: how much work it is to come upon a node."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from langchain_tts.search.likelihood import log_score
from langchain_tts.search.state import Candidate, path


def levin_cost(tree: Sequence[Candidate], candidate_id: int) -> float:
    """The logarithm of depth / pi, with pi the product of the scores on the path.

    An empty step is the same prefix as the one before it, not another score.
    """
    scores = [
        step["score"] for step in path(tree, candidate_id) if step["text"].strip()
    ]
    return math.log(tree[candidate_id]["depth"]) - sum(map(log_score, scores))


def by_levin_cost(tree: Sequence[Candidate], ids: Iterable[int]) -> list[int]:
    """Order candidates by cost, ties by log-probability of the step, then by id.

    Candidates without a score come after all that have one.
    """

    def cost(candidate_id: int) -> tuple[bool, float, float, int]:
        candidate = tree[candidate_id]
        return (
            candidate["score"] is None,
            levin_cost(tree, candidate_id),
            -candidate["logprob"],
            candidate_id,
        )

    return sorted(ids, key=cost)
