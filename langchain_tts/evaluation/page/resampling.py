"""Confidence intervals by bootstrap over questions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from langchain_tts.evaluation.estimates import RESAMPLES

_TAILS = (2.5, 97.5)


class Estimate(NamedTuple):
    """A share of questions with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class Bootstrap:
    """The same draws for every estimate, so that differences are paired.

    Args:
        questions: How many there are.
    """

    def __init__(self, questions: int) -> None:
        draw = np.random.default_rng(0)
        even = np.full(questions, 1 / questions)
        # How often each question is in each drawn data set.
        self._counts = draw.multinomial(questions, even, size=RESAMPLES).astype(
            np.float64
        )

    def means(
        self, values: NDArray[np.float64], mask: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """The mean in each drawn data set; NaN where it has none of the questions.

        Args:
            values: By question.
            mask: Which questions count; None: all.
        """
        inside = np.ones(len(values)) if mask is None else mask.astype(np.float64)
        sizes = self._counts @ inside
        with np.errstate(invalid="ignore"):
            drawn: NDArray[np.float64] = self._counts @ (values * inside) / sizes
        return drawn

    def estimate(
        self, values: NDArray[np.float64], mask: NDArray[np.bool_] | None = None
    ) -> Estimate:
        """The mean of the values with its interval."""
        chosen = values if mask is None else values[mask]
        low, high = interval(self.means(values, mask))
        return Estimate(float(chosen.mean()), low, high)


def interval(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of the values that are numbers."""
    low, high = np.nanpercentile(drawn, _TAILS)
    return float(low), float(high)
