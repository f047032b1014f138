"""What lies behind the last full block of the prefixes that a cache has seen.

A prefix cache of whole blocks ends at the last full one. Here is which tokens came
behind it (a tail, shorter than a block), and where their keys and values are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


class Match(NamedTuple):
    """A tail that begins as a prompt goes on.

    Args:
        tokens: How many tokens they have in common.
        slot: Where the tail is kept.
    """

    tokens: int
    slot: int


class TailIndex:
    """Finds tails by the full blocks before them; the one unused longest makes room.

    Args:
        slots: Tails at most.
    """

    def __init__(self, slots: int) -> None:
        """Know nothing yet."""
        self._slots = slots
        self._tails: dict[Hashable, dict[tuple[int, ...], int]] = {}
        self._used: OrderedDict[int, tuple[Hashable, tuple[int, ...]]] = OrderedDict()

    def find(self, blocks: Hashable, rest: Sequence[int]) -> Match | None:
        """The tail that has most in common with how a prompt goes on.

        Args:
            blocks: Stands for the full blocks that the prompt begins with.
            rest: The prompt's tokens behind them.
        """
        tails = self._tails.get(blocks, {})
        matches = [Match(_common(tail, rest), slot) for tail, slot in tails.items()]
        best = max(matches, default=None)
        return best if best and best.tokens else None

    def add(self, blocks: Hashable, tail: Sequence[int]) -> int | None:
        """Remember a tail.

        Returns:
            The slot where it is to be kept; None if it is there already.
        """
        key = tuple(tail)
        known = self._tails.get(blocks, {}).get(key)
        if known is not None:
            self.use(known)
            return None
        slot = self._free()
        self._tails.setdefault(blocks, {})[key] = slot
        self._used[slot] = (blocks, key)
        return slot

    def use(self, slot: int) -> None:
        """Keep a tail longer than those that were used before."""
        self._used.move_to_end(slot)

    def clear(self) -> None:
        """Forget all."""
        self._tails.clear()
        self._used.clear()

    def _free(self) -> int:
        if len(self._used) < self._slots:
            return len(self._used)
        slot, (blocks, tail) = self._used.popitem(last=False)
        tails = self._tails[blocks]
        del tails[tail]
        if not tails:
            del self._tails[blocks]
        return slot


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens that two sequences begin with alike."""
    length = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        length += 1
    return length
