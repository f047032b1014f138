"""What many prompts begin with alike, and nobody has read yet."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from langchain_tts.engines.prefix_store import common_length

if TYPE_CHECKING:
    from collections.abc import Sequence

_REMEMBERED = 1024


class Roots:
    """Finds out when a question is new to a cache that only knows whole prompts.

    Prompts that come together do not find each other's last tokens there. So what they
    share is read once before them: the question, before its first steps.
    """

    def __init__(self) -> None:
        """Know no question."""
        self._known: OrderedDict[tuple[int, ...], None] = OrderedDict()

    def unread(self, prompts: Sequence[list[int]]) -> list[int]:
        """What prompts share, if they are several and none of it was read before.

        Args:
            prompts: Token ids of each.

        Returns:
            Token ids; empty if there is nothing to be read first.
        """
        if len(prompts) < 2:  # noqa: PLR2004
            return []
        # What the smallest and the largest share, all between them share.
        least = min(prompts)
        shared = least[: common_length(least, max(prompts))]
        if not shared:
            return []
        lengths = {len(root) for root in self._known if len(root) <= len(shared)}
        for length in lengths:
            root = tuple(shared[:length])
            if root in self._known:
                self._known.move_to_end(root)
                return []
        self._known[tuple(shared)] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return shared
