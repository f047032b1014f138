"""Readers: the backends that run a PRM's weights, behind one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from langchain_tts.engines.tokens import ModelTokenizer


@dataclass(frozen=True)
class LabelHead:
    """The score is the softmax over two tokens' logits: P(good).

    Args:
        good: The token that is predicted after a right step.
        bad: The token that is predicted after a wrong step.
    """

    good: int
    bad: int


@dataclass(frozen=True)
class ValueHead:
    """The score is the sigmoid of one number, a linear function of the hidden state."""


@dataclass(frozen=True)
class ClassHead:
    """The score is the softmax over two classes: P(class 1)."""


Head = LabelHead | ValueHead | ClassHead
"""How a hidden state becomes a score."""


@dataclass(frozen=True)
class Reading:
    """Token ids, and the positions that are to be scored.

    Args:
        ids: All token ids.
        ends: Positions whose score is wanted, ascending; the last one is that of the
            last token.
    """

    ids: list[int]
    ends: list[int]


@dataclass(frozen=True)
class Read:
    """The answer to one `Reading`.

    Args:
        scores: In [0, 1], one for each of `ends`.
        computed: Tokens that were computed for it.
        cached: Tokens that came from a cache, or were computed for another reading.
    """

    scores: list[float]
    computed: int
    cached: int


class Reader(Protocol):
    """A PRM's weights, somewhere they can be run."""

    tokens: ModelTokenizer
    num_parameters: int
    """For FLOPs: 2 x parameters x tokens."""
    context_window: int
    """Tokens that fit."""

    def read(self, readings: Sequence[Reading]) -> Future[list[Read]]:
        """Start scoring; readings of all callers share the engine's batches."""
