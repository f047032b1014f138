"""Talking to OpenAI-compatible servers: retries, several servers, cancellation."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
)

from langchain_tts.engines.loops import Network, network
from langchain_tts.engines.pool import Replica, choose
from langchain_tts.engines.replies import (
    ServerError,
    ServerRefusedError,
    ServerStalledError,
    check,
    read_json,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from concurrent.futures import Future

    from pydantic import SecretStr

__all__ = ["ServerError", "ServerPool", "ServerRefusedError"]

T = TypeVar("T")

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 8.0
"""Seconds between two tries of a request: a random share of 0.5, 1, 2, 4, 8 ..."""
_LONGEST_REQUESTED_WAIT = 60.0
"""A server that asks for more patience than this gets this much."""
_UNAUTHORIZED = (401, 403)
_NOT_FOUND = 404


class ServerPool:
    """One or several servers of the same model.

    A request that fails in a way that another try may cure (no connection, a reset,
    429, 5xx, what is no JSON) is tried again, on another server where there is one,
    after waits that grow and are random. One that was not answered in time is tried
    again on other servers only. A server that failed is avoided for a while.

    Args:
        urls: Base addresses, e.g. `http://127.0.0.1:8000/v1`.
        api_key: The key, if one is needed. It is never part of a name, a log or an
            error.
        api_key_env: The environment variable that holds the key, where none is given.
        timeout: Seconds without a byte of answer after which a try has failed. An
            answer that is not streamed comes all at the end, so this must be enough to
            generate it.
        connect_timeout: Seconds to open a connection.
        retries: Further tries of a failed request.
        concurrency: Requests that each server is sent at once; others wait here.
        on: The network that carries it; the process's if None.

    Raises:
        ValueError: If an address is none, or holds a password.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        api_key: SecretStr | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 600.0,
        connect_timeout: float = 10.0,
        retries: int = 4,
        concurrency: int = 256,
        on: Network | None = None,
    ) -> None:
        """Open nothing yet."""
        roots = list(dict.fromkeys(_root(url) for url in urls))
        if not roots:
            msg = "a server needs an address, e.g. http://127.0.0.1:8000/v1"
            raise ValueError(msg)
        self.name = ",".join(f"{root}/v1" for root in roots)
        self._replicas = [
            Replica(root, asyncio.Semaphore(concurrency)) for root in roots
        ]
        self._network = on or network()
        self._api_key_env = api_key_env
        self._key_given = api_key is not None
        self._key = (
            os.environ.get(api_key_env, "")
            if api_key is None
            else api_key.get_secret_value()
        )
        self._retries = retries
        self._timeout = httpx.Timeout(timeout, connect=connect_timeout, pool=None)

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the network's loop.

        Cancelling the future cancels its requests: the connections are closed, which
        makes vLLM stop generating.
        """
        return self._network.run(work)

    async def request(
        self,
        path: str,
        json: dict[str, Any] | None = None,
        *,
        affinity: str | None = None,
        load: int = 1,
        timeout: float | None = None,  # noqa: ASYNC109 (of a try, not of the call)
    ) -> dict[str, Any]:
        """Send a request and read the answer.

        Args:
            path: From the server's root, e.g. `/v1/completions` or `/tokenize`.
            json: The body; None: a GET request.
            affinity: What requests of a common prefix have in common.
            load: How much work it is compared with others (samples).
            timeout: Seconds that a try may take; the pool's if None.

        Raises:
            ServerError: If all tries failed.
            ServerRefusedError: If a server refused it.
        """

        async def send(replica: Replica) -> dict[str, Any]:
            with self._network.client() as client:
                response = await client.request(
                    "GET" if json is None else "POST",
                    replica.url + path,
                    json=json,
                    headers=self._headers(),
                    timeout=self._timeout if timeout is None else timeout,
                )
            check(response, replica.url)
            return read_json(response.content, replica.url)

        return await self._retried(send, affinity, load)

    async def events(
        self,
        path: str,
        json: dict[str, Any],
        *,
        deadline: float | None = None,
        affinity: str | None = None,
        load: int = 1,
    ) -> tuple[list[dict[str, Any]], bool]:
        """Send a request for a stream, and read what comes of it until a deadline.

        Args:
            path: From the server's root.
            json: The body, with `stream` set.
            deadline: `time.monotonic()`; then the connection is closed. None: never.
            affinity: See `request`.
            load: See `request`.

        Returns:
            The events of one try, and whether these are all (not cut off by the
            deadline).

        Raises:
            ServerError: If all tries failed.
            ServerRefusedError: If a server refused it.
        """
        events: list[dict[str, Any]] = []
        problem: ServerError | None = None

        async def read(replica: Replica) -> None:
            nonlocal problem
            events.clear()
            try:
                await self._listen(replica, path, json, events)
            except ServerError as error:
                problem = error
                raise

        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return events, False
        try:
            async with asyncio.timeout(left):
                await self._retried(read, affinity, load)
        except TimeoutError:
            if problem is not None and not events:
                raise problem from None
            return events, False
        return events, True

    async def models(self) -> list[dict[str, Any]]:
        """What `/v1/models` tells of the models that are served.

        Raises:
            ServerError: If no server answers.
            ServerRefusedError: If it is refused.
        """
        answer = await self.request("/v1/models")
        models = answer.get("data")
        if not isinstance(models, list) or not all(
            isinstance(model, dict) and "id" in model for model in models
        ):
            msg = f"{self.name}/models does not list models; is it OpenAI-compatible?"
            raise ServerError(msg)
        return models

    async def _listen(
        self,
        replica: Replica,
        path: str,
        json: dict[str, Any],
        events: list[dict[str, Any]],
    ) -> None:
        """Read server-sent events up to `[DONE]`."""
        with self._network.client() as client:
            asking = client.stream(
                "POST",
                replica.url + path,
                json=json,
                headers=self._headers(),
                timeout=self._timeout,
            )
            async with asking as response:
                if not response.is_success:
                    await response.aread()
                check(response, replica.url)
                if await _read_events(response, replica.url, events):
                    return
        msg = f"{replica.url} ended its answer in the middle"
        raise ServerError(msg)

    async def _retried(
        self,
        send: Callable[[Replica], Awaitable[T]],
        affinity: str | None,
        load: int,
    ) -> T:
        """Try until it succeeds, is refused, or has failed too often."""
        tried: list[Replica] = []

        async def attempt() -> T:
            replica = choose(self._replicas, affinity, time.monotonic(), tried)
            tried.append(replica)
            with replica.carrying(load):
                async with replica.slots:
                    return await self._tried_once(send, replica)

        def curable(error: BaseException) -> bool:
            if isinstance(error, ServerStalledError):
                # The same server would take as long again.
                return any(replica not in tried for replica in self._replicas)
            return isinstance(error, ServerError)

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._retries + 1),
            wait=self._wait,
            retry=retry_if_exception(curable),
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except ServerRefusedError as error:
            raise await self._explained(error) from None

    async def _tried_once(
        self, send: Callable[[Replica], Awaitable[T]], replica: Replica
    ) -> T:
        """One try; its outcome is remembered for the choice of a server."""
        try:
            result = await send(replica)
        except ServerRefusedError:
            replica.succeeded()
            raise
        except (ServerError, httpx.TransportError, httpx.DecodingError) as error:
            problem = _as_server_error(error, replica.url)
            replica.failed(time.monotonic(), problem.retry_after)
            said = self._without_key(str(problem))
            raise type(problem)(said, retry_after=problem.retry_after) from None
        replica.succeeded()
        return result

    def _wait(self, state: RetryCallState) -> float:
        """Seconds before the next try; a server's wish counts if there is no other."""
        grown = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (state.attempt_number - 1))
        wait = random.uniform(0.0, grown)
        now = time.monotonic()
        if any(replica.available(now) for replica in self._replicas):
            return wait
        error = state.outcome.exception() if state.outcome else None
        wish = error.retry_after if isinstance(error, ServerError) else 0.0
        return max(wait, min(wish, _LONGEST_REQUESTED_WAIT))

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def _without_key(self, said: str) -> str:
        """A server's words; some repeat the key that they were sent."""
        return said.replace(self._key, "[key]") if self._key else said

    async def _explained(self, error: ServerRefusedError) -> ServerRefusedError:
        """A refusal with what to do about it, and without the key."""
        said = self._without_key(str(error))
        if error.status in _UNAUTHORIZED:
            said += self._where_the_key_is_from()
        if error.status == _NOT_FOUND and "model" in said.lower():
            said += await self._served()
        return ServerRefusedError(said, status=error.status)

    def _where_the_key_is_from(self) -> str:
        if self._key_given:
            return "; the key is the one that was given as api_key"
        given = "which is set" if self._key else "which is not set"
        return (
            f"; the key is read from the environment variable {self._api_key_env}, "
            f"{given}; the option api_key_env=NAME names another one"
        )

    async def _served(self) -> str:
        """The names of the models, if they can be had."""
        try:
            names = sorted(str(model["id"]) for model in await self.models())
        except (ServerError, ServerRefusedError):
            return ""
        return f"; it serves {', '.join(names)}: name one by the option model=NAME"


async def _read_events(
    response: httpx.Response, server: str, events: list[dict[str, Any]]
) -> bool:
    """Append server-sent events; whether `[DONE]` came."""
    async for line in response.aiter_lines():
        kind, _, data = line.partition(":")
        if kind != "data":
            continue
        if data.strip() == "[DONE]":
            return True
        events.append(read_json(data, server))
    return False


def _root(url: str) -> str:
    """A base address without `/v1`."""
    address = httpx.URL(url.strip())
    if address.scheme not in {"http", "https"} or not address.host:
        msg = f"{url!r} is no address of a server; write e.g. http://127.0.0.1:8000/v1"
        raise ValueError(msg)
    if address.userinfo:
        msg = (
            f"the address of {address.host} holds a password; put keys into an "
            "environment variable and name it by the option api_key_env=NAME"
        )
        raise ValueError(msg)
    return str(address).rstrip("/").removesuffix("/v1")


def _as_server_error(error: Exception, url: str) -> ServerError:
    if isinstance(error, ServerError):
        return error
    reason = str(error).strip() or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        return ServerError(f"cannot connect to {url}: {reason}")
    if isinstance(error, httpx.TimeoutException):
        return ServerStalledError(f"{url} did not answer in time")
    return ServerError(f"the connection to {url} broke: {reason}")
