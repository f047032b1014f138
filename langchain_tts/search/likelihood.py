"""A verifier's score as a likelihood, for searches that multiply scores."""

from __future__ import annotations

import math

LEAST_SCORE = 1e-9
"""What a score counts as at least: a zero would make all that follows it equal."""


def log_score(score: float | None) -> float:
    """The natural logarithm of a score in [0, 1], of `LEAST_SCORE` at least.

    A missing score (the verifier was lost) says nothing: it is 0, as for certain.
    """
    return 0.0 if score is None else math.log(max(score, LEAST_SCORE))
