"""Levin tree search: best-first search that weighs likely paths against long ones.

Orseau et al. 2018, "Single-agent policy tree search with guarantees" (arXiv 1811.10928,
section 4); used for steps of an answer by Kang et al. 2024, "MindStar" (arXiv
2405.16265).

The search is that of `best_first`, but what is taken next is the open answer or step
with the smallest n x depth / pi, when it is taken for the n-th time. In Orseau et al.
pi is the probability of the path under a policy, each step is taken once, and the
search takes at most depth / pi expansions to come upon it. Here pi is the product of
the verifier's scores along the path, so a good step keeps a path cheap and each further
step costs something. The scores are no policy: they do not add up to 1 over siblings,
and the bound does not hold. A score counts as 1e-9 at least. Whether MindStar
multiplies scores in the same way could not be checked.

    START -> propose -> score -> select -> propose ... -> aggregate -> END

Cost: as `best_first`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from langchain_tts.search.levin import levin_cost
from langchain_tts.search.state import Candidate
from langchain_tts.search.ties import log_key
from langchain_tts.strategies import _best_first
from langchain_tts.strategies._graph import Graph


def build() -> Graph:
    """Build the graph of Levin tree search."""
    return _best_first.build("levin", _cost)


def _cost(tree: Sequence[Candidate], candidate_id: int, time: int) -> float:
    return log_key(levin_cost(tree, candidate_id) + math.log(time))
