"""How much less compute one curve needs than another for the same accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from langchain_tts.evaluation.page.resampling import interval


class Factor(NamedTuple):
    """A factor of compute at one point of the better curve."""

    compute: float
    """Of the point."""
    accuracy: float
    reached: float | None
    """Compute at which the other curve is as accurate; None: at none that was run."""
    factor: float
    """`reached / compute`; where it was not reached the least it can be."""
    low: float
    high: float
    """Of the 95 % interval; infinite where the other curve does not get there."""

    def text(self) -> str:
        """The factor as it is written: `4.0×`, or `>4×` where it was not reached."""
        if self.reached is None:
            return f">{self.factor:.2g}×"
        return f"{self.factor:.1f}×"


def compute_at(
    accuracy: float, computes: Sequence[float], accuracies: Sequence[float]
) -> float | None:
    """The least compute at which a curve is at least so accurate.

    Between two points the curve is a straight line over log(compute).

    Args:
        accuracy: What is to be reached.
        computes: Of the curve's points, ascending.
        accuracies: Of the curve's points.

    Returns:
        The compute; the first point's if that is accurate enough; None if no point is.
    """
    if accuracies[0] >= accuracy:
        return computes[0]
    for left in range(len(computes) - 1):
        a, b = accuracies[left], accuracies[left + 1]
        if b >= accuracy:
            part = (accuracy - a) / (b - a)
            x, y = math.log(computes[left]), math.log(computes[left + 1])
            return math.exp(x + part * (y - x))
    return None


def factors(
    better: tuple[Sequence[float], Sequence[float]],
    other: tuple[Sequence[float], Sequence[float]],
    drawn: tuple[Sequence[NDArray[np.float64]], Sequence[NDArray[np.float64]]],
) -> list[Factor]:
    """The factor at each point of a curve that another one can be compared at.

    Args:
        better: Computes and accuracies of the curve.
        other: Computes and accuracies of the curve that it is compared with.
        drawn: The accuracies of both curves' points in the same bootstrap draws.

    Returns:
        A factor for each point at which the other curve has points to its right, or
        reaches the accuracy.
    """
    found = []
    for place, (compute, accuracy) in enumerate(zip(*better, strict=True)):
        reached = compute_at(accuracy, *other)
        most = other[0][-1]
        # What was run says nothing where the other curve ends at the same compute.
        if reached is None and most < _TELLING * compute:
            continue
        ours, theirs = drawn[0][place], np.stack(drawn[1], axis=1)
        again = [
            math.inf if at is None else at / compute
            for at in (
                compute_at(float(a), other[0], row.tolist())
                for a, row in zip(ours, theirs, strict=True)
            )
        ]
        low, high = interval(_finite(again))
        found.append(
            Factor(
                compute,
                accuracy,
                reached,
                (most if reached is None else reached) / compute,
                *(math.inf if bound >= _FAR else bound for bound in (low, high)),
            )
        )
    return found


_TELLING = 1.2
"""The least bound that says anything."""

_FAR = 1e12
"""Stands for infinity where percentiles are interpolated."""


def _finite(values: Sequence[float]) -> NDArray[np.float64]:
    return np.asarray([min(value, 1e18) for value in values])
