"""Fit a trajectory into a window: the oldest steps go, never the question."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from langchain_tts.engines.errors import PromptTooLongError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Span(NamedTuple):
    """Steps [first, last) as one input; its last `new` prefixes are to be scored."""

    first: int
    """Steps dropped before it."""
    last: int
    new: int


def spans(question: int, steps: Sequence[int], new: int, window: int) -> list[Span]:
    """Cut a trajectory into the inputs that score its last `new` steps.

    Each prefix keeps as many of its newest steps as fit; prefixes that drop the same
    steps share one input.

    Args:
        question: Tokens of the question.
        steps: Tokens of each step.
        new: How many of the last steps are to be scored.
        window: Tokens that fit.

    Raises:
        ValueError: If there are fewer than `new` steps.
        PromptTooLongError: If the question and a single step do not fit.
    """
    if not 0 <= new <= len(steps):
        msg = f"{new} new steps are to be scored, but the trajectory has {len(steps)}"
        raise ValueError(msg)
    ends = range(len(steps) - new + 1, len(steps) + 1)
    firsts = [(_dropped(question, steps[:end], window), end) for end in ends]
    result = []
    for first, group in groupby(firsts, key=lambda pair: pair[0]):
        same = [end for _, end in group]
        result.append(Span(first, same[-1], len(same)))
    return result


def _dropped(question: int, steps: Sequence[int], window: int) -> int:
    """How many of the oldest steps must go."""
    total = question + sum(steps)
    for first, tokens in enumerate(steps):
        if total <= window:
            return first
        total -= tokens
    msg = (
        f"the question ({question} tokens) and one step ({steps[-1]} tokens) do "
        f"not fit the verifier's {window} tokens; shorten the question or the steps, "
        "or use a verifier with a longer context window"
    )
    raise PromptTooLongError(msg)
