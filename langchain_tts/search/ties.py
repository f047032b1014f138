"""Ties: numbers that differ in their last digits only count as equal.

The last digits of a score or a log-probability depend on the batch in which an engine
computed it. Whatever is decided by comparing such numbers compares their keys, so that
of two equals the one wins that the rule for ties says, not the one whose batch was
luckier. Two numbers that lie on either side of a border between keys still differ.

What is kept, added up or shown has all its digits.
"""

from __future__ import annotations

_DIGITS = 5
_LOGPROB_DIGITS = 3
"""Fewer, because the errors of all tokens of a step add up."""

_SMALL = 0.1


def score_key(score: float) -> float:
    """A score, or a number that is made of scores, to be compared.

    It has five decimals. Below 0.1 it has five significant digits, because the errors
    of small scores are small as well: a product of many scores is still told apart.
    """
    if abs(score) < _SMALL:
        return float(f"{score:.{_DIGITS}g}")
    return round(score, _DIGITS)


def log_key(log: float) -> float:
    """The logarithm of a score, or of a product of scores, to be compared."""
    return round(log, _DIGITS)


def logprob_key(logprob: float) -> float:
    """The policy's log-probability of a step, to be compared."""
    return round(logprob, _LOGPROB_DIGITS)


def reaches(score: float, threshold: float) -> bool:
    """Whether a score is at a threshold or above it.

    A threshold is often a score that was measured, in another batch: a calibration
    takes it from its questions.
    """
    return score_key(score) >= score_key(threshold)
