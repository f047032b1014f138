"""Which of several servers gets a request."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_AVOIDED = 1.0
"""Seconds that a server is avoided after a failure; twice that after the next ..."""
_AVOIDED_AT_MOST = 30.0
_MUCH_MORE_LOAD = 2.0
_SPARE_LOAD = 8
"""A server keeps its prefixes until it has twice the least load and eight more."""


@dataclass(eq=False)
class Replica:
    """One server of a pool.

    Args:
        url: Its address, without `/v1`.
        slots: How many requests it is sent at once.
    """

    url: str
    slots: asyncio.Semaphore
    load: int = 0
    """What it is working on or will as soon as it has a slot."""
    failures: int = 0
    """In a row."""
    avoided_until: float = field(default=-math.inf)

    @contextlib.contextmanager
    def carrying(self, load: int) -> Iterator[None]:
        """Count a load for as long as it lasts."""
        self.load += load
        try:
            yield
        finally:
            self.load -= load

    def failed(self, now: float, retry_after: float) -> None:
        """Avoid it for a while, longer after each failure."""
        pause = min(_AVOIDED_AT_MOST, _AVOIDED * 2.0**self.failures)
        self.failures += 1
        self.avoided_until = now + max(pause, retry_after)

    def succeeded(self) -> None:
        """It can be relied on again."""
        self.failures = 0
        self.avoided_until = -math.inf

    def available(self, now: float) -> bool:
        """Whether to send it requests; after a failure one at first, as a probe."""
        return now >= self.avoided_until and not (self.failures and self.load)


def choose(
    replicas: Sequence[Replica],
    affinity: str | None,
    now: float,
    tried: Collection[Replica] = (),
) -> Replica:
    """The server that a request goes to.

    Requests of the same affinity go to the same server, whose cache has their common
    prefix, as long as it is not much more loaded than another one; when a server leaves
    or joins, no others change theirs (rendezvous hashing). Without affinity, or where
    loads differ much, the least loaded server is taken.

    Args:
        replicas: The pool, at least one.
        affinity: What requests of a common prefix have in common.
        now: `time.monotonic()`.
        tried: Servers on which this request has failed: taken only if there is no
            other.
    """
    candidates = (
        [r for r in replicas if r.available(now) and r not in tried]
        or [r for r in replicas if r.available(now)]
        or [min(replicas, key=lambda r: r.avoided_until)]
    )
    least = min(candidates, key=lambda r: r.load)
    if affinity is None:
        return least
    ranked = max(candidates, key=lambda r: _rank(affinity, r.url))
    if ranked.load > _MUCH_MORE_LOAD * least.load + _SPARE_LOAD:
        return least
    return ranked


def _rank(affinity: str, url: str) -> bytes:
    return hashlib.blake2b(f"{affinity}\n{url}".encode(), digest_size=8).digest()
