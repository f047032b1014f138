"""The logistic function, written so that nothing overflows."""

from __future__ import annotations

import math


def logistic(value: float) -> float:
    """1 / (1 + exp(-value)): of a difference of two logits, the first one's softmax."""
    return (1 + math.tanh(value / 2)) / 2
