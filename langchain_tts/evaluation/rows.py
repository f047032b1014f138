"""The rows of a report: one for each strategy, budget, score and vote."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from langchain_tts.evaluation.costs import Costs, costs_at
from langchain_tts.evaluation.estimates import (
    Accuracy,
    Mean,
    bootstrap,
    mean,
    pass_at_k,
)
from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.search.state import Score, Vote


class Row(Accuracy):
    """One way of answering all questions."""

    strategy: str
    """With its parameters, e.g. `beam_search?beam_width=8`."""
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
    """Mean of the searches at this N, as the costs below."""
    generated_tokens: float | None
    policy_flops: float | None
    """Where N was read off a larger search: with the prompt as that one computed it."""
    prm_flops: float | None
    """None where N was read off a larger search that asked a verifier."""


Cost = Literal["samples", "generated_tokens", "policy_flops", "prm_flops"]

Way = tuple[int, Score | None, Vote]
"""A way of answering: budget N, score and vote."""


class Digest(NamedTuple):
    """What the rows need of a record: little, so that those of 100,000 fit."""

    id: str
    question: str
    level: int | None
    strategy: str
    budget: int
    ways: tuple[Way, ...]
    """The ways of answering that the search lists."""
    right: frozenset[Way]
    """Those of them by which it is right."""
    samples: int | None
    right_samples: int
    costs: dict[int, Costs]
    """At each budget of its ways."""
    error: str | None


def digest(record: SearchRecord) -> Digest:
    """Take from a record what the rows need."""
    ways, right = _marks(
        tuple(
            ((one["budget"], one["score"], one["vote"]), one["right"])
            for one in record["answers"]
        )
    )
    return Digest(
        id=record["id"],
        question=record["question"],
        level=record["level"],
        strategy=record["strategy"],
        budget=record["budget"],
        ways=ways,
        right=right,
        samples=record["samples"],
        right_samples=sum(final["right"] for final in record["finals"]),
        costs={size: costs_at(record, size) for size in {way[0] for way in ways}},
        error=record["error"],
    )


def rows(digests: Iterable[Digest]) -> list[Row]:
    """Put the rows of a run together.

    Args:
        digests: Searches in any order. One that failed is a wrong answer.

    Returns:
        The rows by strategy and search in the order of their first records, then by
        budget, score and vote; none for searches at an N that failed on every question.
    """
    searches: dict[tuple[str, int], list[Digest]] = defaultdict(list)
    for one in digests:
        searches[one.strategy, one.budget].append(one)
    return [row for found in searches.values() for row in _rows_of(found)]


@lru_cache(maxsize=4096)
def _marks(
    graded: tuple[tuple[Way, bool], ...],
) -> tuple[tuple[Way, ...], frozenset[Way]]:
    """The ways and the right ones: most records have the same and share them."""
    ways = tuple(way for way, _ in graded)
    return ways, frozenset(way for way, is_right in graded if is_right)


def _rows_of(searches: Sequence[Digest]) -> list[Row]:
    ways = dict.fromkeys(way for one in searches for way in one.ways)
    sizes = sorted({way[0] for way in ways})
    return [
        row
        for size in sizes
        for row in _rows_at(size, [way for way in ways if way[0] == size], searches)
    ]


def _rows_at(
    size: int, ways: Sequence[Way], searches: Sequence[Digest]
) -> Iterable[Row]:
    shared = _costs(size, searches)
    passed = _pass_at_k(size, searches)
    levels = sorted({one.level for one in searches if one.level is not None})
    for way in ways:
        yield Row(
            strategy=searches[0].strategy,
            budget=size,
            score=way[1],
            vote=way[2],
            **_accuracy(way, searches),
            by_level={
                str(level): _accuracy(
                    way, [one for one in searches if one.level == level]
                )
                for level in levels
            },
            pass_at_k=passed,
            **shared,
        )


def _accuracy(way: Way, searches: Iterable[Digest]) -> Accuracy:
    share = _over_questions((one.id, float(way in one.right)) for one in searches)
    return Accuracy(n=share["n"], accuracy=share["mean"], stderr=share["stderr"])


def _over_questions(values: Iterable[tuple[str, float]]) -> Mean:
    """The mean over questions of their means over seeds.

    With one seed the standard error has a formula, which resampling only approaches.
    """
    by_question: dict[str, list[float]] = defaultdict(list)
    for question, value in values:
        by_question[question].append(value)
    means = [math.fsum(of) / len(of) for of in by_question.values()]
    if all(len(of) == 1 for of in by_question.values()):
        return mean(means)
    found = bootstrap(means)
    return Mean(n=found["n"], mean=found["mean"], stderr=found["stderr"])


def _costs(size: int, searches: Iterable[Digest]) -> Costs:
    """Means over the searches that did not fail."""
    spent = [one.costs[size] for one in searches if size in one.costs]

    def of(name: Cost) -> float | None:
        known = [one[name] for one in spent]
        values = [value for value in known if value is not None]
        return math.fsum(values) / len(values) if len(values) == len(known) else None

    return Costs(
        samples=of("samples") or 0.0,
        generated_tokens=of("generated_tokens") or 0.0,
        policy_flops=of("policy_flops") or 0.0,
        prm_flops=of("prm_flops"),
    )


def _pass_at_k(k: int, searches: Iterable[Digest]) -> Mean | None:
    estimates: list[tuple[str, float]] = []
    for one in searches:
        if one.error is not None:
            estimates.append((one.id, 0.0))
        elif one.samples is None or one.samples < k:
            return None
        else:
            chance = pass_at_k(one.samples, one.right_samples, k)
            estimates.append((one.id, chance))
    return _over_questions(estimates)
