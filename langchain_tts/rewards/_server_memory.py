"""What servers have read before: where trajectories go on, and what is in caches."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

V = TypeVar("V")

_REMEMBERED = 65_536
"""Prompts, and as many blocks."""


class Met(NamedTuple):
    """What is remembered of a prompt.

    Args:
        trajectory: A number that a prompt shares with those that it extends.
        cached: How many of its tokens a prefix cache that was never full would have.
    """

    trajectory: int
    cached: int


class ServerMemory:
    """Remembers the latest prompts as a prefix cache would: by their whole blocks.

    Args:
        block: Tokens of a block; 0: nothing is cached, or nobody says so.
    """

    def __init__(self, block: int = 0) -> None:
        """Know nothing yet."""
        self._block = block
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self._trajectories: OrderedDict[int, int] = OrderedDict()

    def meet(self, ids: Sequence[int]) -> Met:
        """Look up a prompt, and remember that it is read now."""
        key, trajectory, cached = 0, None, 0
        for place, token in enumerate(ids, start=1):
            key = hash((key, token))
            trajectory = self._trajectories.get(key, trajectory)
            if not self._block or place % self._block:
                continue
            # The last token is computed in any case: its prediction is wanted.
            if key in self._blocks and place < len(ids):
                cached = place
            _remember(self._blocks, key, None)
        trajectory = key if trajectory is None else trajectory
        _remember(self._trajectories, key, trajectory)
        return Met(trajectory, cached)

    def forget_blocks(self) -> None:
        """A server has lost its cache, or never got what it was to read."""
        self._blocks.clear()


def _remember(known: OrderedDict[int, V], key: int, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _REMEMBERED:
        known.popitem(last=False)


def block_size(prompt: int, cached: int) -> int:
    """Tokens of a cache's block, from a prompt that was read twice.

    Args:
        prompt: Its tokens.
        cached: How many of them came from the cache at the second time.

    Returns:
        The power of two that explains it; 0 if none does.
    """
    sizes = [2**power for power in range(prompt.bit_length())]
    return max(
        (size for size in sizes if cached and (prompt - 1) // size * size == cached),
        default=0,
    )
