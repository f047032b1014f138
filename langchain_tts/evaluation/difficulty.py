"""Difficulty of questions, from many samples with labels, and how well it is predicted.

The oracle is the policy's pass@1, the share of right samples. Snell et al. 2024
(section 3.2) cut it into five quantile bins; Liu et al. 2025 (section 4.1) into three
absolute levels (`search.routing.level`), because most questions are easy for a strong
policy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np

from langchain_tts.answers import answer_classes
from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.search.calibration import Prediction, Predictor, bin_of
from langchain_tts.search.difficulty import predicted_chance

BINS = 5

_NORMAL = 1.96
"""Standard errors of a 95 % confidence interval."""

_FEWEST = 3
"""So few questions have any rank correlation by chance."""


class Rated(NamedTuple):
    """A question with its difficulty as both sides see it."""

    oracle: float
    """pass@1 with labels."""
    predicted: float
    """Chance of success without them."""


class Quantiles(NamedTuple):
    """Questions in bins of about equal size."""

    edges: list[float]
    """Chances of success between the bins, in descending order."""
    bins: list[int]
    """Of each question, 1 for the easiest."""


def pass_at_1(record: SearchRecord, *, after: int = 0) -> float:
    """The share of right samples of a search for independent samples.

    Samples that failed or were cut are wrong, and so is a search that failed.

    Args:
        record: The search.
        after: How many first samples are left out.
    """
    taken = (record["samples"] or 0) - after
    right = sum(f["right"] for f in record["finals"] if f["sample"] >= after)
    return right / taken if taken > 0 else 0.0


def quantile_edges(chances: Sequence[float], bins: int = BINS) -> list[float]:
    """Where to cut chances of success into bins of about equally many questions.

    Equal chances stay in one bin: each cut is made where the chance changes, nearest to
    where it should be. A bin of less than half its share is joined to its neighbor, so
    there are fewer bins where many chances are equal.

    Args:
        chances: One for each question.
        bins: How many at most.

    Returns:
        The edges in descending order: the least chance of each bin but the last.
    """
    ordered = sorted(chances, reverse=True)
    n = len(ordered)
    changes = [cut for cut in range(1, n) if ordered[cut - 1] > ordered[cut]]
    if not changes:
        return []
    wanted = (n * part / bins for part in range(1, bins))
    cuts = [0]
    for target in wanted:
        cut = min(changes, key=lambda change: abs(change - target))
        if min(cut - cuts[-1], n - cut) >= n / bins / 2:
            cuts.append(cut)
    return [ordered[cut - 1] for cut in cuts[1:]]


def quantiles(chances: Sequence[float]) -> Quantiles:
    """Put questions into bins of about equally many by their chances of success."""
    edges = quantile_edges(chances)
    return Quantiles(edges, [bin_of(chance, edges) for chance in chances])


def prediction_of(record: SearchRecord, predictor: Predictor, samples: int) -> float:
    """The chance that a search's first samples predict, as the search itself would."""
    finals = [final for final in record["finals"] if final["sample"] < samples]
    classes = answer_classes([final["answer"] for final in finals])
    return predicted_chance(finals, classes, predictor)


def predictions(
    records: Sequence[SearchRecord], sizes: Sequence[int]
) -> list[Prediction]:
    """Compare each predictor at each number of first samples with the oracle.

    The oracle is read off the samples that the prediction has not seen.

    Args:
        records: One search of independent samples for each question.
        sizes: Numbers of first samples.
    """
    scored = any(f["step_scores"] for record in records for f in record["finals"])
    known = [p for p in get_args(Predictor) if scored or p == "vote_share"]
    return [
        _prediction(predictor, size, records) for predictor in known for size in sizes
    ]


def _prediction(
    predictor: Predictor, size: int, records: Sequence[SearchRecord]
) -> Prediction:
    oracle = [pass_at_1(record, after=size) for record in records]
    predicted = [prediction_of(record, predictor, size) for record in records]
    rated = [Rated(*pair) for pair in zip(oracle, predicted, strict=True)]
    correlation = rank_correlation(predicted, oracle)
    return Prediction(
        predictor=predictor,
        samples=size,
        rank_correlation=correlation,
        interval=correlation_interval(correlation, len(records)),
        brier=brier(rated),
        confusion=confusion(rated),
    )


def confusion(rated: Sequence[Rated]) -> list[list[int]]:
    """Count questions by predicted quantile bin (row) and oracle bin (column)."""
    by_prediction = quantiles([one.predicted for one in rated]).bins
    by_oracle = quantiles([one.oracle for one in rated]).bins
    counts = Counter(zip(by_prediction, by_oracle, strict=True))
    return [
        [counts[row, column] for column in range(1, max(by_oracle) + 1)]
        for row in range(1, max(by_prediction) + 1)
    ]


def brier(rated: Sequence[Rated]) -> float:
    """The mean squared distance of the predicted chance from the pass@1."""
    return math.fsum((p - o) ** 2 for o, p in rated) / len(rated)


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, equal values sharing theirs.

    Returns:
        A number in [-1, 1]; 0 where one side has no order because all are equal.
    """
    centered = [np.asarray(ranks(side)) - (len(side) + 1) / 2 for side in (left, right)]
    scale = math.sqrt(math.prod(float(side @ side) for side in centered))
    if not scale:
        return 0.0
    return max(-1.0, min(1.0, float(centered[0] @ centered[1]) / scale))


def ranks(values: Sequence[float]) -> list[float]:
    """The ranks from 1 upwards; equal values have the mean of their places."""
    _, inverse, counts = np.unique(
        np.asarray(values, np.float64), return_inverse=True, return_counts=True
    )
    last = np.cumsum(counts)
    mean = last - (counts - 1) / 2
    return [float(rank) for rank in mean[inverse]]


def correlation_interval(correlation: float, n: int) -> tuple[float, float]:
    """95 % confidence interval of a rank correlation over n questions.

    Fisher's transformation, with the variance 1.06 / (n - 3) of ranks (Fieller et al.
    1957, Biometrika 44).
    """
    if n <= _FEWEST:
        return -1.0, 1.0
    if abs(correlation) >= 1:
        return correlation, correlation
    middle, error = math.atanh(correlation), math.sqrt(1.06 / (n - _FEWEST))
    low, high = (math.tanh(middle + z * error) for z in (-_NORMAL, _NORMAL))
    return low, high
