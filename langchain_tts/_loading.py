"""Models that are loaded when they are first asked for, by however many at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from langchain_tts.engines.replies import opening

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

K = TypeVar("K", bound="Hashable")
T = TypeVar("T")


class _Failure(NamedTuple):
    moment: float
    error: Exception


class Loading:
    """Loads one model at a time.

    Who waited for a model while it failed to load gets its error: an engine may take a
    minute to fail, and a batch of searches asks for it many times. Who asks later tries
    again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[Any, _Failure] = {}

    def get(self, loaded: dict[K, T], key: K, load: Callable[[], T]) -> T:
        """What is loaded by this key; it is loaded now if it was not.

        Args:
            loaded: What has been loaded so far.
            key: What the caller asks for.
            load: Loads it.
        """
        asked = time.monotonic()
        with self._lock:
            if key in loaded:
                return loaded[key]
            failure = self._failures.get(key)
            if failure is not None and failure.moment > asked:
                raise failure.error
            try:
                with opening():
                    loaded[key] = load()
            except Exception as error:
                self._failures[key] = _Failure(time.monotonic(), error)
                raise
            return loaded[key]
