"""Shares and means over questions with their standard errors, and pass@k.

Questions are what is drawn at random: where a question was searched with several seeds,
its mean is one value here. The seeds then stay together when questions are resampled
(a cluster bootstrap), so more seeds do not pretend to be more questions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000

_BLOCK = 1_000_000
"""Numbers at once: it bounds the memory whatever the number of questions is."""


class Accuracy(TypedDict):
    """A share of right answers."""

    n: int
    accuracy: float
    stderr: float
    """Binomial standard error."""


class Mean(TypedDict):
    """A mean over questions."""

    n: int
    mean: float
    stderr: float
    """The standard deviation over the square root of n; for values that are all 0 or 1
    it is the binomial one."""


def accuracy(graded: Iterable[bool]) -> Accuracy:
    """The share of right answers with its binomial standard error."""
    marks = list(graded)
    share = sum(marks) / len(marks)
    return Accuracy(
        n=len(marks),
        accuracy=share,
        stderr=math.sqrt(share * (1 - share) / len(marks)),
    )


def mean(values: Sequence[float]) -> Mean:
    """The mean of at least one value with its standard error."""
    n = len(values)
    middle = math.fsum(values) / n
    variance = math.fsum((value - middle) ** 2 for value in values) / n
    return Mean(n=n, mean=middle, stderr=math.sqrt(variance / n))


class Interval(Mean):
    """A mean over questions with a 95% confidence interval."""

    low: float
    high: float


class Difference(NamedTuple):
    """By how much one mean over questions is above another of the same questions."""

    difference: float
    stderr: float
    low: float
    """Of the 95% confidence interval."""
    high: float


def bootstrap(
    values: Sequence[float], *, seed: int = 0, samples: int = RESAMPLES
) -> Interval:
    """A mean over questions, its standard error and interval by resampling questions.

    Args:
        values: One for each question: its mean over seeds.
        seed: Makes the draws.
        samples: How often all questions are drawn anew, with replacement.

    Returns:
        The standard error is the standard deviation of the resampled means, the
        interval their percentiles 2.5 and 97.5.

    Raises:
        ValueError: If there are no values.
    """
    if not values:
        msg = "there is no mean of no values; give one for each question"
        raise ValueError(msg)
    means = np.concatenate(list(_resampled_means(values, seed, samples)))
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(
        n=len(values),
        mean=math.fsum(values) / len(values),
        stderr=float(means.std()),
        low=float(low),
        high=float(high),
    )


def paired_difference(
    left: Sequence[float],
    right: Sequence[float],
    *,
    seed: int = 0,
    samples: int = RESAMPLES,
) -> Difference:
    """How far the mean of `left` is above that of `right`, question by question.

    What makes a question easy or hard for both sides cancels out, so the error is
    smaller than that of the difference between two separate means.

    Args:
        left: One value for each question: its mean over seeds.
        right: Of the same questions in the same order.
        seed: Makes the draws.
        samples: How often all questions are drawn anew.

    Raises:
        ValueError: If there are no values, or not as many on both sides.
    """
    if len(left) != len(right):
        msg = (
            f"{len(left)} values cannot be paired with {len(right)}; "
            "give one for each question on both sides"
        )
        raise ValueError(msg)
    gaps = [one - other for one, other in zip(left, right, strict=True)]
    found = bootstrap(gaps, seed=seed, samples=samples)
    return Difference(found["mean"], found["stderr"], found["low"], found["high"])


def _resampled_means(
    values: Sequence[float], seed: int, samples: int
) -> Iterator[NDArray[np.float64]]:
    """Means of n values drawn with replacement.

    How often each *different* value is drawn is multinomial, and marks have two.
    """
    n = len(values)
    different, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    rng = np.random.default_rng(seed)
    size = max(1, _BLOCK // len(different))
    for start in range(0, samples, size):
        draws = rng.multinomial(n, counts / n, size=min(size, samples - start))
        yield draws @ different / n


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Estimate how probable it is that one of k samples is right, without bias.

    1 - C(samples - right, k) / C(samples, k): the share of all choices of k samples
    that hold a right one (Chen et al. 2021, arXiv 2107.03374, section 2.1), as a
    product of factors in [0, 1], which cannot overflow.

    Args:
        samples: How many were taken.
        right: How many of them are right.
        k: Of how many one must be right, at most `samples`.

    Returns:
        A probability.

    Raises:
        ValueError: If the counts contradict each other.
    """
    if not (0 <= right <= samples and 1 <= k <= samples):
        msg = (
            f"pass@{k} of {samples} samples with {right} right is not defined; "
            "give 0 <= right <= samples and 1 <= k <= samples"
        )
        raise ValueError(msg)
    if samples - right < k:
        return 1.0
    missed = (1.0 - k / i for i in range(samples - right + 1, samples + 1))
    return 1.0 - math.prod(missed)
