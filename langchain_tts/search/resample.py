"""Resampling: which particles go on, and how often, so that the estimate stays true.

Weights are natural logarithms, known up to a common factor. Systematic resampling and
the effective sample size: Doucet and Johansen 2009, "A tutorial on particle filtering
and smoothing" (section 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple


class Resampled(NamedTuple):
    """A population after resampling."""

    counts: list[int]
    """How many copies of each particle go on."""
    log_weights: list[float]
    """The weight of each copy of each particle."""


def effective_sample_size(log_weights: Sequence[float]) -> float:
    """How many evenly weighted particles are worth as much: (sum w)^2 / sum w^2.

    Args:
        log_weights: Of at least one particle.

    Returns:
        1 (one particle has all the weight) to the number of particles (all even).
    """
    weights = _weights(log_weights, 1.0)
    return sum(weights) ** 2 / sum(weight * weight for weight in weights)


def systematic_counts(shares: Sequence[float], places: int, offset: float) -> list[int]:
    """Give places by share, with one random number for all of them.

    The places are `offset`, `offset + 1`, ... on a line on which a particle has as much
    as its share of the places; it gets those that lie on its part. So a particle gets
    its share rounded down or up, and over all offsets exactly its share on average.

    Args:
        shares: Of the particles; they add up to 1.
        places: How many there are.
        offset: Uniformly random in [0, 1).

    Returns:
        As many numbers as particles, which add up to `places`.
    """
    ends = [min(end * places, places) for end in accumulate(shares[:-1])]
    # `ceil(end - offset)` would round off an offset near 1.
    before = [math.floor(end) + (end % 1 > offset) for end in ends]
    return [high - low for low, high in pairwise([0, *before, places])]


def resample(
    log_weights: Sequence[float], places: int, *, temperature: float, offset: float
) -> Resampled:
    """Draw a new population, of which the weights still make the same estimate.

    A particle with weight w is drawn with probability p, proportional to
    w^(1/temperature), and its copies have the weight w / p: the same for all at
    temperature 1.

    Args:
        log_weights: Of the particles, at least one.
        places: Size of the new population.
        temperature: 1, or more to keep more of the variety.
        offset: Uniformly random in [0, 1).

    Returns:
        The copies of each particle and their weights.
    """
    drawn = _weights(log_weights, temperature)
    total = math.fsum(drawn)
    shares = [weight / total for weight in drawn]
    return Resampled(
        counts=systematic_counts(shares, places, offset),
        log_weights=[log * (1 - 1 / temperature) for log in log_weights],
    )


def _weights(log_weights: Sequence[float], temperature: float) -> list[float]:
    """Weights w^(1/temperature), the largest of them 1."""
    most = max(log_weights)
    return [math.exp((log - most) / temperature) for log in log_weights]
