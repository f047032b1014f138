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


def spans(
    question: int,
    steps: Sequence[int],
    new: int,
    window: int,
    *,
    leading: Sequence[int] | None = None,
) -> list[Span]:
    """Cut a trajectory into the inputs that score its last `new` steps.

    Each prefix keeps as many of its newest steps as fit; prefixes that drop the same
    steps share one input.

    Args:
        question: Tokens of the question.
        steps: Tokens of each step.
        new: How many of the last steps are to be scored.
        window: Tokens that fit.
        leading: Tokens of each step where it comes right after the question; None:
            the same.

    Raises:
        ValueError: If there are fewer than `new` steps.
        PromptTooLongError: If the question and a single step do not fit.
    """
    check_new(new, len(steps))
    alone = steps if leading is None else leading
    ends = range(len(steps) - new + 1, len(steps) + 1)
    firsts = [(_dropped(question, steps[:end], alone, window), end) for end in ends]
    result = []
    for first, group in groupby(firsts, key=lambda pair: pair[0]):
        same = [end for _, end in group]
        result.append(Span(first, same[-1], len(same)))
    return result


def check_new(new: int, steps: int) -> None:
    """Make sure that there are as many steps as are to be scored.

    Raises:
        ValueError: If there are fewer.
    """
    if not 0 <= new <= steps:
        msg = f"{new} new steps are to be scored, but the trajectory has {steps}"
        raise ValueError(msg)


def _dropped(
    question: int, steps: Sequence[int], leading: Sequence[int], window: int
) -> int:
    """How many of the oldest steps must go."""
    rest = sum(steps)
    for first, tokens in enumerate(steps):
        rest -= tokens
        if question + leading[first] + rest <= window:
            return first
    msg = (
        f"the question ({question} tokens) and one step ({leading[first]} tokens) do "
        f"not fit the verifier's {window} tokens; shorten the question or the steps, "
        "or use a verifier with a longer context window"
    )
    raise PromptTooLongError(msg)
