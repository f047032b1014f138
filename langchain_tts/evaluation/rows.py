"""The rows of a report: one for each strategy, budget, score and vote."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.estimates import (
    Accuracy,
    Mean,
    accuracy,
    mean,
    pass_at_k,
)
from langchain_tts.evaluation.grading import Graded, Way
from langchain_tts.evaluation.plans import Plan
from langchain_tts.search.state import Score, Vote


class Row(Accuracy):
    """One way of answering all questions."""

    strategy: str
    budget: int
    """N. Greedy search takes one sample whatever N is."""
    score: Score | None
    """None where the answer does not depend on step scores."""
    vote: Vote
    by_level: dict[str, Accuracy]
    pass_at_k: Mean | None
    """How probable it is that one of N samples is right, estimated from all samples
    that were taken; None where the search is not one of at least N samples."""
    samples: float | None
    """Mean of the searches at this N, as the costs below; None where N was read off
    searches that took more samples."""
    generated_tokens: float | None
    policy_flops: float | None
    prm_flops: float | None


Cost = Literal["samples", "generated_tokens", "policy_flops", "prm_flops"]

Searches = Sequence[tuple[Question, Graded | None]]
"""The searches of a plan, one a question; None is one that failed."""


def rows(plan: Plan, searches: Searches) -> list[Row]:
    """Put the rows of a plan together.

    Args:
        plan: What was searched, and which budgets are read off it.
        searches: What came of it. A search that failed is a wrong answer.

    Returns:
        The rows by budget, scores and votes in the order in which the searches list
        them; none if every search failed.
    """
    seen = [graded.marks for _, graded in searches if graded is not None]
    ways = dict.fromkeys(way for marks in seen for way in marks)
    return [
        _row(plan, way, searches)
        for size in plan.sizes
        for way in ways
        if way[0] == size
    ]


def _row(plan: Plan, way: Way, searches: Searches) -> Row:
    size, score, vote = way
    marks = [
        graded is not None and graded.marks.get(way, False) for _, graded in searches
    ]
    levels: dict[int, list[bool]] = defaultdict(list)
    for (question, _), mark in zip(searches, marks, strict=True):
        if question.level is not None:
            levels[question.level].append(mark)

    whole = all(_is_whole(plan, size, graded) for _, graded in searches)

    def cost(name: Cost) -> float | None:
        return _mean_cost(name, searches) if whole else None

    return Row(
        strategy=plan.strategy,
        budget=size,
        score=score,
        vote=vote,
        **accuracy(marks),
        by_level={str(level): accuracy(levels[level]) for level in sorted(levels)},
        pass_at_k=_pass_at_k(size, searches),
        samples=cost("samples"),
        generated_tokens=cost("generated_tokens"),
        policy_flops=cost("policy_flops"),
        prm_flops=cost("prm_flops"),
    )


def _is_whole(plan: Plan, size: int, graded: Graded | None) -> bool:
    """Whether the search at `size` is all of the search it is read off."""
    if graded is None or graded.samples is None:
        return size == plan.budget
    return graded.samples <= size


def _pass_at_k(k: int, searches: Searches) -> Mean | None:
    estimates = []
    for _, graded in searches:
        if graded is None:
            estimates.append(0.0)
        elif graded.samples is None or graded.samples < k:
            return None
        else:
            estimates.append(pass_at_k(graded.samples, graded.right, k))
    return mean(estimates)


def _mean_cost(name: Cost, searches: Searches) -> float:
    spent = [graded.spent.get(name, 0) for _, graded in searches if graded is not None]
    return math.fsum(spent) / len(spent)
