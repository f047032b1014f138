"""Shares and means over questions with their standard errors, and pass@k."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypedDict


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
