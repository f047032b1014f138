"""What a verifier has scored before."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T")

_ENTRIES = 65_536


class Memory(Generic[T]):
    """A bounded dictionary that threads share; what was used longest ago goes first."""

    def __init__(self, entries: int = _ENTRIES) -> None:
        """Remember nothing yet."""
        self._entries = entries
        self._known: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        """What was remembered, if it still is."""
        with self._lock:
            if key not in self._known:
                return None
            self._known.move_to_end(key)
            return self._known[key]

    def put(self, key: Hashable, value: T) -> None:
        """Remember something."""
        with self._lock:
            self._known[key] = value
            self._known.move_to_end(key)
            while len(self._known) > self._entries:
                self._known.popitem(last=False)
