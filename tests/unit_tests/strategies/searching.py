"""What the tests of strategies share: one search, and questions about its tree."""

from __future__ import annotations

from collections import Counter
from typing import Any

from langchain_tts.budget import Budget
from langchain_tts.search.state import Candidate, SearchResult, path
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve
from tests.unit_tests.fakes import QUESTION, Prefix, TreePolicy, TreePrm


def search(
    strategy: str,
    policy: TreePolicy,
    prm: TreePrm | None = None,
    *,
    budget: Budget | int = 8,
    seed: int = 7,
    **parameters: Any,
) -> SearchResult:
    context = SearchContext(
        policy=policy, prm=prm, budget=Budget.parse(budget), **parameters
    )
    return solve(QUESTION, strategy=strategy, context=context, seed=seed)


def texts(tree: list[Candidate], candidate_id: int) -> Prefix:
    return tuple(step["text"] for step in path(tree, candidate_id))


def children(tree: list[Candidate]) -> Counter[int | None]:
    return Counter(candidate["parent"] for candidate in tree)


def statuses(tree: list[Candidate]) -> Counter[str]:
    return Counter(candidate["status"] for candidate in tree)
