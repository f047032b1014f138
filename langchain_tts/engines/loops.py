"""The event loop that this process talks to servers on."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from concurrent.futures import Future

T = TypeVar("T")

_KEEP_ALIVE = 4.0
"""Seconds an idle connection is kept: less than the 5 s after which vLLM's server
closes it, so that no request is sent into a connection that is being closed."""
_TOGETHER = 16
"""Requests that one client carries at once. What a client does for each request grows
with its connections: at 128 it took five times as long as at 16."""
_CLOSING = 5.0
_HERE = ("localhost", "127.0.0.1", "[::1]")


class Network:
    """One event loop on a thread of its own, and the HTTP clients that live on it.

    All searches of the process share it, and with it its open connections.

    Args:
        transport: What sends the requests (a test's); httpx's own if None.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._transport = transport
        self._tls = httpx.create_ssl_context()
        self._clients: list[_Client] = []
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="langchain-tts-network", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    @contextlib.contextmanager
    def client(self) -> Iterator[httpx.AsyncClient]:
        """A client for one request, to be used on the loop.

        The first that has room, so that connections are used again.
        """
        found = next((one for one in self._clients if one.busy < _TOGETHER), None)
        if found is None:
            found = _Client(self._open())
            self._clients.append(found)
        found.busy += 1
        try:
            yield found.http
        finally:
            found.busy -= 1

    def close(self) -> None:
        """Cancel what is running, close all connections and end the thread."""
        if self._loop.is_closed():
            return
        try:
            self.run(self._wind_up()).result(_CLOSING)
        except TimeoutError:
            # The process goes on ending; its connections end with it.
            return
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSING)
        self._loop.close()

    async def _wind_up(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in self._clients:
            await client.http.aclose()
        await self._loop.shutdown_default_executor()

    def _open(self) -> httpx.AsyncClient:
        here = {f"all://{host}": None for host in _HERE}
        return httpx.AsyncClient(
            transport=self._transport,
            verify=self._tls,
            # A proxy for the world is none for this machine.
            mounts=None if self._transport else here,
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=_TOGETHER,
                keepalive_expiry=_KEEP_ALIVE,
            ),
        )


@dataclass
class _Client:
    """An HTTP client and how many requests it carries."""

    http: httpx.AsyncClient
    busy: int = 0


_networks: list[Network] = []
_lock = threading.Lock()


def network() -> Network:
    """The process's one network, started at its first use and closed at exit."""
    with _lock:
        if not _networks:
            _networks.append(Network())
            atexit.register(_networks[0].close)
        return _networks[0]
