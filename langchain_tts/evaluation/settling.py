"""The score at which an answer can be trusted, so that a search may end there.

At each number of samples the answer is that of the best trajectory. The target is kept
at the numbers of first samples, where most is saved; how right answers at more samples
are is measured as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from langchain_tts.evaluation.folds import halves
from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.search.calibration import Stop, Trust
from langchain_tts.search.ties import reaches

TARGET = 0.95

LOTS = 10
"""How often the questions are halved."""


class Best(NamedTuple):
    """The best trajectory of some samples."""

    score: float
    """Of its last step."""
    right: bool


def best_of(record: SearchRecord, samples: int) -> Best | None:
    """The best of a search's first samples; None if none has an answer and a score."""
    scored = [
        Best(final["step_scores"][-1], final["right"])
        for final in record["finals"]
        if final["sample"] < samples
        and final["status"] == "finished"
        and final["answer"] is not None
        and final["step_scores"]
    ]
    return max(scored, key=lambda best: best.score, default=None)


def stop_score(
    records: Sequence[SearchRecord], sizes: Sequence[int], target: float = TARGET
) -> float | None:
    """The least score at which the best trajectory is right often enough.

    Args:
        records: Searches of independent samples, one for each question.
        sizes: Numbers of samples; the target is kept at each of them.
        target: The share of right answers among those at the score or above it. One
            standard error is kept above it.

    Returns:
        A score, or None if there is none at some number of samples.
    """
    found = [
        _least([best for r in records if (best := best_of(r, size))], target)
        for size in sizes
    ]
    known = [score for score in found if score is not None]
    return max(known) if known and len(known) == len(found) else None


def trusted(
    records: Sequence[SearchRecord],
    kept: Sequence[int],
    sizes: Sequence[int],
    target: float = TARGET,
) -> Stop:
    """How right answers are that are trusted by a score of other questions.

    The questions are halved by lot several times, because few wrong answers decide: a
    score that one half chose is measured on the other.

    Args:
        records: Searches of independent samples, one for each question.
        kept: Numbers of samples that the score is chosen at.
        sizes: Numbers of samples that it is measured at.
        target: As in `stop_score`.
    """
    marks: dict[int, list[bool]] = {size: [] for size in sizes}
    for lot in range(LOTS):
        for half, others in _both_ways(records, lot):
            score = stop_score(others, kept, target)
            for size in sizes:
                marks[size] += _trusted(half, score, size)
    return Stop(
        target=target,
        n=len(records),
        trust=[
            Trust(
                samples=size,
                precision=sum(found) / len(found) if found else None,
                coverage=len(found) / (LOTS * len(records)),
            )
            for size, found in marks.items()
        ],
    )


def _both_ways(
    records: Sequence[SearchRecord], lot: int
) -> list[tuple[list[SearchRecord], list[SearchRecord]]]:
    """Two halves of the questions, and the same the other way around."""
    folds = halves([record["id"] for record in records], [1] * len(records), lot)
    first, second = (
        [record for record, of in zip(records, folds, strict=True) if of == fold]
        for fold in (0, 1)
    )
    return [(first, second), (second, first)]


def _trusted(
    records: Sequence[SearchRecord], score: float | None, size: int
) -> list[bool]:
    """Whether each answer that is trusted is right."""
    return [
        best.right
        for record in records
        if score is not None
        and (best := best_of(record, size)) is not None
        and reaches(best.score, score)
    ]


def _least(bests: Sequence[Best], target: float) -> float | None:
    """The least score above which answers are right often enough."""
    found: float | None = None
    right = 0
    ordered = sorted(bests, reverse=True)
    for place, best in enumerate(ordered):
        right += best.right
        last = place + 1 == len(ordered) or ordered[place + 1].score < best.score
        if last and _lower(right, place + 1) >= target:
            found = best.score
    return found


def _lower(right: int, n: int) -> float:
    """A share less one standard error (Wilson's bound at z = 1)."""
    share = right / n
    error = math.sqrt(share * (1 - share) / n + 1 / (4 * n * n))
    return (share + 1 / (2 * n) - error) / (1 + 1 / n)
