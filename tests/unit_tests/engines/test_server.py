"""Requests to servers that misbehave, without a network."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from langchain_tts.engines import server
from langchain_tts.engines.loops import Network
from langchain_tts.engines.server import ServerError, ServerPool, ServerRefusedError

GOOD = httpx.Response(200, json={"fine": True})
Handler = Callable[[httpx.Request], Any]


class World:
    """Servers that answer from a script; what it lacks is answered well."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.script: list[Any] = []
        self.network = Network(httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        turn = self.script.pop(0) if self.script else {"fine": True}
        if isinstance(turn, Exception):
            raise turn
        if isinstance(turn, dict):
            return httpx.Response(200, json=turn)
        if isinstance(turn, httpx.Response):
            return turn
        answer: httpx.Response = await turn(request)
        return answer

    @property
    def hosts(self) -> list[str]:
        return [request.url.host for request in self.asked]

    def pool(self, *hosts: str, **options: Any) -> ServerPool:
        urls = [f"http://{host}/v1" for host in hosts or ("one",)]
        return ServerPool(urls, on=self.network, **options)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(server, "_FIRST_WAIT", 0.0)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    world = World()
    yield world
    world.network.close()


def ask(pool: ServerPool, **options: Any) -> dict[str, Any]:
    return pool.run(pool.request("/v1/completions", {"n": 1}, **options)).result(10)


def listen(pool: ServerPool, **options: Any) -> tuple[list[dict[str, Any]], bool]:
    return pool.run(pool.events("/v1/completions", {}, **options)).result(10)


def events(*lines: str) -> httpx.Response:
    return httpx.Response(200, content="".join(f"{line}\n\n" for line in lines))


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("too slow"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("closed in mid-answer"),
        httpx.Response(429, json={"error": {"message": "slow down"}}),
        httpx.Response(500, text="oops"),
        httpx.Response(503),
        httpx.Response(200, text='{"cut off'),
        httpx.Response(200, json=["no object"]),
        httpx.Response(200, json={"error": {"message": "engine died"}}),
    ],
    ids=str,
)
def test_what_a_retry_may_cure_is_tried_again(world: World, fault: Any) -> None:
    world.script = [fault, fault]
    assert ask(world.pool()) == {"fine": True}
    assert len(world.asked) == 3


def test_a_stall_is_tried_again_on_another_server_only(world: World) -> None:
    stall = httpx.ReadTimeout("stalled")
    world.script = [stall]
    with pytest.raises(ServerError, match="http://one did not answer in time"):
        ask(world.pool())
    assert len(world.asked) == 1
    world.script = [stall, {"fine": True}, stall, stall]
    pool = world.pool("http://one", "http://two")
    assert ask(pool) == {"fine": True}
    with pytest.raises(ServerError, match="did not answer in time"):
        ask(pool)
    assert len(world.asked) == 5


def test_after_the_last_try_the_error_says_what_happened(world: World) -> None:
    world.script = [httpx.Response(500, json={"error": {"message": "oops"}})] * 9
    with pytest.raises(ServerError, match="http://one answered 500: oops"):
        ask(world.pool(retries=2))
    assert len(world.asked) == 3


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "wrong input"}}),
        (422, {"detail": "wrong input"}),
        (501, {"message": "wrong input"}),
        (307, {"error": "wrong input"}),
    ],
)
def test_a_refusal_is_repeated_to_the_user_and_not_to_the_server(
    world: World, status: int, body: dict[str, Any]
) -> None:
    world.script = [httpx.Response(status, json=body)]
    with pytest.raises(ServerRefusedError, match="wrong input") as caught:
        ask(world.pool())
    assert caught.value.status == status
    assert isinstance(caught.value, ValueError)
    assert len(world.asked) == 1


def test_a_model_that_is_not_served_is_answered_by_those_that_are(
    world: World,
) -> None:
    missing = {"error": {"message": "The model `x` does not exist."}}
    world.script = [
        httpx.Response(404, json=missing),
        {"data": [{"id": "small"}, {"id": "large"}]},
    ]
    with pytest.raises(ServerRefusedError, match="it serves large, small: name one by"):
        ask(world.pool())


def test_a_key_comes_from_the_environment_and_appears_nowhere_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    pool = world.pool(api_key_env="MY_KEY")
    ask(pool)
    assert world.asked[0].headers["authorization"] == "Bearer sk-secret"
    told = {"error": {"message": "Incorrect API key provided: sk-secret."}}
    world.script = [httpx.Response(401, json=told)]
    with pytest.raises(ServerRefusedError) as caught:
        ask(pool)
    assert "sk-secret" not in str(caught.value) + pool.name + repr(caught.value)
    assert "MY_KEY" in str(caught.value)
    world.script = [httpx.Response(500, text="sk-secret")] * 9
    with pytest.raises(ServerError) as failed:
        ask(pool)
    assert "sk-secret" not in str(failed.value)


def test_without_a_key_none_is_sent_and_a_401_says_how_to_give_one(
    world: World,
) -> None:
    world.script = [httpx.Response(401, json={"error": "Unauthorized"})]
    with pytest.raises(ServerRefusedError, match="api_key_env=NAME"):
        ask(world.pool())
    assert "authorization" not in world.asked[0].headers


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://host/v1", "no address of a server"),
        ("http://", "no address of a server"),
        ("http://user:pw@host/v1", "holds a password"),
    ],
)
def test_an_address_that_cannot_be_used_is_an_error(
    world: World, url: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        ServerPool([url], on=world.network)
    assert "pw" not in str(caught.value)


def test_a_pool_without_servers_is_an_error(world: World) -> None:
    with pytest.raises(ValueError, match="needs an address"):
        ServerPool([], on=world.network)


def test_a_failed_request_is_tried_on_the_other_server(world: World) -> None:
    pool = world.pool("one", "two")
    world.script = [httpx.ConnectError("refused")]
    ask(pool, affinity="subtree")
    assert sorted(world.hosts) == ["one", "two"]
    # The one that failed is left alone for a while.
    for number in range(5):
        ask(pool, affinity=f"subtree {number}")
    assert set(world.hosts[2:]) == {world.hosts[1]}


def test_a_server_without_a_substitute_is_waited_for_as_long_as_it_asks(
    world: World,
) -> None:
    world.script = [httpx.Response(429, headers={"retry-after": "0.4"})]
    started = time.monotonic()
    ask(world.pool())
    assert time.monotonic() - started >= 0.4


def test_nobody_waits_for_a_busy_server_while_another_is_free(world: World) -> None:
    world.script = [httpx.Response(429, headers={"retry-after": "30"})]
    started = time.monotonic()
    ask(world.pool("one", "two"))
    assert time.monotonic() - started < 5


def test_waits_grow_and_are_random(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_FIRST_WAIT", 0.01)
    bounds = []

    def draw(low: float, high: float) -> float:
        bounds.append((low, high))
        return low

    monkeypatch.setattr(random, "uniform", draw)
    world.script = [httpx.ConnectError("refused")] * 4
    ask(world.pool())
    assert bounds == [(0, 0.01), (0, 0.02), (0, 0.04), (0, 0.08)]


def test_no_server_gets_more_requests_at_once_than_allowed(world: World) -> None:
    running, most = 0, 0

    async def count(_request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return httpx.Response(200, json={})

    world.script = [count] * 20
    pool = world.pool(concurrency=3)
    futures = [pool.run(pool.request("/x", {})) for _ in range(20)]
    for future in futures:
        future.result(10)
    assert most == 3


def test_cancelled_requests_give_their_places_back(world: World) -> None:
    async def stall(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200, json={})

    world.script = [stall] * 2
    pool = world.pool(concurrency=2)
    stuck = [pool.run(pool.request("/x", {})) for _ in range(6)]
    while len(world.asked) < 2:
        time.sleep(0.01)
    # First those that wait for a place: nothing of them is ever sent.
    for future in reversed(stuck):
        future.cancel()
    assert [ask(pool) for _ in range(4)] == [{"fine": True}] * 4
    assert len(world.asked) == 6
    assert pool._replicas[0].load == 0


def test_a_try_that_takes_too_long_is_given_up(world: World) -> None:
    timeouts = []

    async def look(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"])
        return httpx.Response(200, json={})

    world.script = [look, look]
    pool = world.pool(timeout=7.0, connect_timeout=2.0)
    ask(pool)
    ask(pool, timeout=3.0)
    assert (timeouts[0]["read"], timeouts[0]["connect"]) == (7.0, 2.0)
    assert timeouts[1]["read"] == 3.0


def test_a_stream_is_read_to_its_end(world: World) -> None:
    lines = (": comment", 'data: {"a": 1}', "event: x", 'data: {"a": 2}')
    world.script = [events(*lines, "data: [DONE]")]
    assert listen(world.pool()) == ([{"a": 1}, {"a": 2}], True)


@pytest.mark.parametrize(
    "broken",
    [
        events('data: {"a": 1}'),
        events('data: {"a": 1}', "data: {garbage", "data: [DONE]"),
        events('data: {"a": 1}', 'data: {"error": "died"}', "data: [DONE]"),
        httpx.Response(500),
    ],
    ids=["cut off", "garbage", "error", "500"],
)
def test_a_broken_stream_is_read_again_from_its_beginning(
    world: World, broken: httpx.Response
) -> None:
    world.script = [broken, events('data: {"a": 3}', "data: [DONE]")]
    assert listen(world.pool()) == ([{"a": 3}], True)


class Dripping(httpx.AsyncByteStream):
    """An event, then silence."""

    closed = False

    async def __aiter__(self) -> Any:
        yield b'data: {"a": 1}\n\n'
        await asyncio.sleep(60)

    async def aclose(self) -> None:
        self.closed = True


def test_at_a_deadline_a_stream_ends_with_what_has_come(world: World) -> None:
    stream = Dripping()
    world.script = [httpx.Response(200, stream=stream)]
    deadline = time.monotonic() + 0.3
    assert listen(world.pool(), deadline=deadline) == ([{"a": 1}], False)
    assert 0 <= time.monotonic() - deadline < 5
    assert stream.closed


def test_after_a_deadline_nothing_is_sent(world: World) -> None:
    assert listen(world.pool(), deadline=time.monotonic() - 1) == ([], False)
    assert world.asked == []


def test_a_server_that_is_down_until_the_deadline_is_an_error(world: World) -> None:
    world.script = [httpx.Response(429, headers={"retry-after": "30"})]
    with pytest.raises(ServerError, match="429"):
        listen(world.pool(), deadline=time.monotonic() + 0.2)


def test_cancelling_a_stream_closes_its_connection(world: World) -> None:
    stream = Dripping()
    world.script = [httpx.Response(200, stream=stream)]
    pool = world.pool()
    future = pool.run(pool.events("/x", {}))
    while not world.asked:
        time.sleep(0.01)
    future.cancel()
    with pytest.raises(CancelledError):
        future.result(10)
    ask(pool)
    assert stream.closed


def test_closing_the_network_cancels_what_is_running(world: World) -> None:
    async def stall(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200, json={})

    world.script = [stall]
    pool = world.pool()
    future = pool.run(pool.request("/x", {}))
    while not world.asked:
        time.sleep(0.01)
    world.network.close()
    with pytest.raises(CancelledError):
        future.result(10)
    assert all(client.http.is_closed for client in world.network._clients)
    assert len(world.network._clients) == 1


def test_the_models_of_a_server_are_listed(world: World) -> None:
    world.script = [{"data": [{"id": "m", "max_model_len": 9}]}]
    pool = world.pool()
    assert pool.run(pool.models()).result(10) == [{"id": "m", "max_model_len": 9}]
    assert str(world.asked[0].url) == "http://one/v1/models"
    assert world.asked[0].method == "GET"


def test_a_server_that_lists_no_models_is_not_openai_compatible(world: World) -> None:
    world.script = [{"hello": "world"}]
    pool = world.pool()
    with pytest.raises(ServerError, match="OpenAI-compatible"):
        pool.run(pool.models()).result(10)


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", "http://h:1/v1/"])
def test_an_address_may_be_written_with_or_without_v1(world: World, url: str) -> None:
    pool = ServerPool([url], on=world.network)
    pool.run(pool.request("/tokenize", {"prompt": "x"})).result(10)
    assert str(world.asked[0].url) == "http://h:1/tokenize"
    assert json.loads(world.asked[0].content) == {"prompt": "x"}
    assert pool.name == "http://h:1/v1"


def test_a_key_that_was_given_comes_before_the_environments(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    pool = world.pool(api_key=SecretStr("sk-given"))
    ask(pool)
    assert world.asked[0].headers["authorization"] == "Bearer sk-given"
    world.script = [httpx.Response(401, json={"error": {"message": "bad sk-given"}})]
    with pytest.raises(ServerRefusedError) as caught:
        ask(pool)
    assert "given as api_key" in str(caught.value)
    assert "sk-" not in f"{caught.value!r} {pool.name}"
