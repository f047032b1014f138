"""The cost of Levin tree search: how much work it is to come upon a node."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
