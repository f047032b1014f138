"""Revision: chains of answers, each of which sees the latest ones before it.

Snell et al. 2024 (section 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from langchain_tts.search.select import share
from langchain_tts.search.state import Message

LATEST = 4
"""Earlier answers in the context at most."""


def chain_lengths(samples: int, ratio: float) -> list[int]:
    """Deal a budget to chains of answers.

    Args:
        samples: N, answers in all.
        ratio: Length of a chain over number of chains, more than 0.

    Returns:
        For each chain how many answers it has. They add up to N; where N is not
        divisible the first chains have one more.
    """
    parallel = min(float(samples), math.sqrt(samples / ratio))
    return share(samples, max(1, round(parallel)))


def conversation(
    messages: Sequence[Message], answers: Sequence[str], prompt: str
) -> list[Message]:
    """The chat in which the next answer of a chain is asked for.

    Args:
        messages: The question, and what was said before it.
        answers: The chain's complete answers so far; the latest ones are shown.
        prompt: What the user says after each of them.
    """
    chat = list(messages)
    for answer in answers[-LATEST:]:
        chat += [
            Message(role="assistant", content=answer),
            Message(role="user", content=prompt),
        ]
    return chat


def latest_that_fit(
    answers: Sequence[str], fits: Callable[[Sequence[str]], bool]
) -> list[str]:
    """The latest answers, without the oldest ones that there is no room for.

    Args:
        answers: A chain's complete answers so far.
        fits: Whether the model can read these and write another.
    """
    shown = list(answers[-LATEST:])
    while shown and not fits(shown):
        del shown[0]
    return shown
