"""A proxy in front of a real server that misbehaves when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import httpx

T = TypeVar("T")

Kind = Literal[
    "reset", "429", "busy", "500", "503", "stall", "garbage", "truncated", "miscount"
]
"""What may go wrong with a call (a server that refuses connections: `Proxy.refuse`).

`busy` is a 429 with a Retry-After of one second; `truncated` is an answer of which the
second half is missing, `miscount` one of which a choice is.
"""
KINDS: tuple[Kind, ...] = (
    *("reset", "429", "busy", "500", "503"),
    *("stall", "garbage", "truncated", "miscount"),
)
STALL = 30.0
"""Seconds; longer than any client here waits."""
GARBAGE = r'{"choices": [{"text": "\\boxed{666}" <html>'
ERROR = {"error": {"message": r"overloaded, the answer is \boxed{666}"}}

_STATUSES: dict[Kind, int] = {"429": 429, "busy": 429, "500": 500, "503": 503}
_SENT_ANYWAY = {"host", "content-length", "connection", "accept-encoding"}

Plan = Callable[[int], Kind | None]
"""What goes wrong with the n-th call (from 0)."""


class _Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class _HungUpError(Exception):
    """The connection is of no use any more."""


def first(calls: int, kind: Kind) -> Plan:
    """The first calls fail."""
    return lambda number: kind if number < calls else None


def share(part: float, seed: int, kinds: Sequence[Kind] = KINDS) -> Plan:
    """A share of all calls fails, at random."""
    rng = random.Random(seed)
    return lambda _number: rng.choice(kinds) if rng.random() < part else None


@dataclass
class Proxy:
    """Passes on what it gets, but for the calls that are to fail.

    Only calls that generate or score count (POST to completions and pooling).

    Args:
        upstream: Base address of the server, ending in `/v1`.
    """

    upstream: str
    plan: Plan = lambda _number: None
    calls: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    left: int = 0
    """Calls that the client hung up on."""
    busy: int = 0
    """Calls that are being answered."""
    port: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _listening: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Base address of the proxy."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def connections(self) -> int:
        """Open connections of clients."""
        return len(self._writers)

    def behave(self, plan: Plan | None = None) -> None:
        """Begin to count, and from now on fail as planned (None: not at all)."""
        self.plan = plan or (lambda _number: None)
        self.calls, self.left = 0, 0
        self.faults.clear()
        self.accept()

    def refuse(self) -> None:
        """Be gone: close all connections, and take no new ones."""
        self._run(self._stop_listening())

    def accept(self) -> None:
        """Be back."""
        self._run(self._listen())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._listening is None:
            self._listening = await asyncio.start_server(
                self._serve, "127.0.0.1", self.port
            )
            self.port = self._listening.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writers.add(writer)
        try:
            while (request := await _read(reader)) is not None:
                await self._answer(request, reader, writer)
        except (OSError, asyncio.IncompleteReadError, _HungUpError):
            pass
        except httpx.HTTPError:
            # The server is gone: to a client that looks like a reset.
            pass
        except asyncio.CancelledError:
            # Ends with the proxy; nobody waits for it.
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _answer(
        self,
        request: _Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Answer a request, unless the client hangs up before."""
        kind = self._next_fault(request)
        work = asyncio.ensure_future(self._carry_out(kind, request, writer))
        gone = asyncio.ensure_future(reader.read(1))
        self.busy += 1
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self.left += 1
                raise _HungUpError
            await work
        finally:
            self.busy -= 1
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    def _next_fault(self, request: _Request) -> Kind | None:
        if request.method != "POST" or "tokenize" in request.path:
            return None
        kind = self.plan(self.calls)
        self.calls += 1
        if kind is not None:
            self.faults[kind] += 1
        return kind

    async def _carry_out(
        self, kind: Kind | None, request: _Request, writer: asyncio.StreamWriter
    ) -> None:
        if kind in _STATUSES:
            wish = {"retry-after": "1"} if kind == "busy" else {}
            body = json.dumps(ERROR).encode()
            await _send(writer, _STATUSES[kind], body, wish)
        elif kind == "stall":
            await asyncio.sleep(STALL)
        elif kind == "garbage":
            await _send(writer, 200, _as_stream(request, GARBAGE.encode()))
        elif kind is None:
            await self._pass_on(request, writer)
        else:
            await self._spoil(kind, request, writer)

    async def _pass_on(self, request: _Request, writer: asyncio.StreamWriter) -> None:
        """The server's answer as it comes."""
        async with self._forward(request) as response:
            _begin(writer, response.status_code, response.headers["content-type"])
            async for chunk in response.aiter_raw():
                writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _spoil(
        self, kind: Kind, request: _Request, writer: asyncio.StreamWriter
    ) -> None:
        """The server's answer, but not as it was."""
        async with self._forward(request) as response:
            body = await response.aread()
            kept = response.headers["content-type"]
        if kind == "miscount":
            await _send(writer, 200, without_a_choice(body), {"content-type": kept})
            return
        half = body[: len(body) // 2]
        if kind == "truncated":
            await _send(writer, 200, half, {"content-type": kept})
            return
        _begin(writer, 200, kept)
        writer.write(f"{len(body):x}\r\n".encode() + half)
        await writer.drain()
        raise _HungUpError

    @contextlib.asynccontextmanager
    async def _forward(self, request: _Request) -> AsyncIterator[httpx.Response]:
        root = self.upstream.removesuffix("/v1")
        async with (
            httpx.AsyncClient(timeout=None, trust_env=False) as client,  # noqa: S113
            client.stream(
                request.method,
                root + request.path,
                headers=request.headers,
                content=request.body,
            ) as response,
        ):
            yield response

    async def _end(self) -> None:
        await self._stop_listening()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """Run a proxy on a thread of its own."""
    made = Proxy(upstream)
    thread = threading.Thread(target=made._loop.run_forever, daemon=True)
    thread.start()
    try:
        made.accept()
        yield made
    finally:
        made._run(made._end())
        made._loop.call_soon_threadsafe(made._loop.stop)
        thread.join(10)
        made._loop.close()


def without_a_choice(body: bytes) -> bytes:
    """An answer without its first choice, whether it is streamed or not."""
    if not body.startswith(b"data:"):
        answer = json.loads(body)
        for items in ("choices", "data"):
            if items in answer:
                answer[items] = answer[items][1:]
        return json.dumps(answer).encode()
    events = body.split(b"\n\n")
    return b"\n\n".join(event for event in events if b'"index":0' not in event)


def _as_stream(request: _Request, body: bytes) -> bytes:
    return b"data: " + body + b"\n\n" if b'"stream":true' in request.body else body


async def _read(reader: asyncio.StreamReader) -> _Request | None:
    """One request; None at the end of a connection."""
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    pairs = (line.partition(":") for line in lines[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    kept = {k: v for k, v in headers.items() if k not in _SENT_ANYWAY}
    return _Request(method, path, kept, body)


def _begin(writer: asyncio.StreamWriter, status: int, kind: str) -> None:
    head = f"HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\n"
    writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes,
    headers: dict[str, str] | None = None,
) -> None:
    lines = {"content-type": "application/json", **(headers or {})}
    lines["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"HTTP/1.1 {status} -\r\n{head}\r\n".encode() + body)
    await writer.drain()
