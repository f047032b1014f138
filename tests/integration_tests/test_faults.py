"""Whole searches on real servers that fail: they end, and say what happened."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import pytest

from langchain_tts.budget import Budget
from langchain_tts.engines.loops import network
from langchain_tts.engines.server import ServerPool
from langchain_tts.policies import resolve_policy
from langchain_tts.policies.server import ServerPolicy
from langchain_tts.rewards import resolve_prm
from langchain_tts.rewards.step_prm import StepPRM
from langchain_tts.search.select import finished
from langchain_tts.search.state import Message, SearchResult
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import asolve, solve, stream_search
from langchain_tts.tinymath import WEIGHTS
from tests.integration_tests.proxies import (
    KINDS,
    Kind,
    Proxy,
    first,
    proxy,
    share,
)
from tests.integration_tests.servers import free_port, running, serving

QUESTION = [Message(role="user", content="What is (12+7)*3-8?")]
SEED = 3
OPTIONS = "?retries=1&timeout=2"
"""Two tries a call, and the search tries twice."""
WRITTEN = re.compile(r"[\w\s+\-*/()=.,:\\{}?']*")
"""What the embedded policy writes; no JSON, no HTML."""
FAULTS: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "stall")


class World(NamedTuple):
    """A policy and a verifier behind proxies."""

    policy: Proxy
    prm: Proxy

    def context(self, options: str = OPTIONS, **parameters: Any) -> SearchContext:
        budget = parameters.pop("budget", Budget(samples=8))
        return SearchContext(
            policy=f"{self.policy.url}{options}",
            prm=f"{self.prm.url}{options}",
            budget=budget,
            vote="vote",
            **parameters,
        )


@pytest.fixture(scope="module")
def proxies(policy_server: str, tag_prm_server: str) -> Iterator[World]:
    with proxy(policy_server) as policy, proxy(tag_prm_server) as prm:
        world = World(policy, prm)
        # Names are resolved, and the servers' kernels compiled, before anything fails.
        search(world.context("?timeout=120"), "beam_search")
        search(world.context(), "beam_search")
        yield world


@pytest.fixture(scope="module")
def undisturbed(proxies: World) -> dict[str, SearchResult]:
    strategies = ("best_of_n", "beam_search")
    results = {name: search(proxies.context(), name) for name in strategies}
    assert not any(result["degradations"] for result in results.values())
    return results


@pytest.fixture
def world(proxies: World) -> Iterator[World]:
    for one in proxies:
        one.behave()
    yield proxies
    for one in proxies:
        one.behave()
    settled(proxies)


def search(
    context: SearchContext, strategy: str, *, seed: int = SEED, is_async: bool = False
) -> SearchResult:
    if is_async:
        work = asolve(QUESTION, context=context, strategy=strategy, seed=seed)
        return asyncio.run(work)
    return solve(QUESTION, context=context, strategy=strategy, seed=seed)


def settled(world: World) -> None:
    """Nothing is left of what was under way: no task, no load, no permit, no call."""
    pools = [pool_of(f"{one.url}{OPTIONS}", one is world.policy) for one in world]
    until = time.monotonic() + 5
    while time.monotonic() < until:
        replicas = [replica for pool in pools for replica in pool._replicas]
        left = {
            "calls": sum(one.busy for one in world),
            "tasks": len(network_tasks()),
            "load": sum(replica.load for replica in replicas),
            "permits": sum(256 - replica.slots._value for replica in replicas),
        }
        if not any(left.values()):
            return
        time.sleep(0.02)
    pytest.fail(f"left behind: {left}")


def pool_of(name: str, is_policy: bool) -> ServerPool:
    if is_policy:
        policy = resolve_policy(name)
        assert isinstance(policy, ServerPolicy)
        return policy._pool
    prm = resolve_prm(name)
    assert isinstance(prm, StepPRM)
    pool = prm._reader._pool  # type: ignore[attr-defined]
    assert isinstance(pool, ServerPool)
    return pool


def network_tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks(network()._loop)


def check_clean(result: SearchResult) -> None:
    """No error is a candidate, and what was lost is said."""
    for candidate in result["tree"]:
        assert WRITTEN.fullmatch(candidate["text"]), candidate
        assert "666" not in candidate["text"]
    failed = [c for c in result["tree"] if c["status"] == "failed"]
    assert all(not candidate["text"] for candidate in failed)
    said = any("samples failed" in line for line in result["degradations"])
    assert bool(failed) == said
    spent, budget = result["spent"], result["budget"]
    assert spent.get("samples", 0) <= (budget["samples"] or 0)
    if budget["tokens"] is not None:
        assert spent.get("generated_tokens", 0) <= budget["tokens"]
    tokens = sum(len(candidate["token_ids"]) for candidate in result["tree"])
    assert tokens <= spent.get("generated_tokens", 0)


def answers(result: SearchResult) -> list[tuple[str, int]]:
    return sorted((row["answer"], row["count"]) for row in result["votes"])


@pytest.mark.parametrize(
    ("strategy", "is_async"), [("best_of_n", False), ("beam_search", True)]
)
@pytest.mark.parametrize("kind", FAULTS)
def test_what_passes_is_tried_again_and_changes_nothing(
    world: World,
    kind: Kind,
    strategy: str,
    is_async: bool,
    undisturbed: dict[str, SearchResult],
) -> None:
    world.policy.behave(first(1, kind))
    world.prm.behave(first(1, kind))
    result = search(world.context(), strategy, is_async=is_async)
    assert world.policy.faults[kind] == world.prm.faults[kind] == 1
    check_clean(result)
    assert result["degradations"] == []
    # A sample depends on its seed, not on the try that gave it.
    assert answers(result) == answers(undisturbed[strategy])


@pytest.mark.parametrize("kind", ["503", "stall"])
def test_what_the_client_gives_up_the_search_tries_once_more(
    world: World, kind: Kind
) -> None:
    # A stall ends a call at its first try, everything else at its second.
    calls = 1 if kind == "stall" else 2
    world.policy.behave(first(calls, kind))
    world.prm.behave(first(calls, kind))
    result = search(world.context(), "beam_search")
    assert world.policy.faults[kind] == world.prm.faults[kind] == calls
    check_clean(result)
    assert result["degradations"] == []
    assert result["answer"] is not None


def test_a_server_that_is_gone_for_a_moment_interrupts_nothing(world: World) -> None:
    for one in world:
        one.refuse()
    back = [threading.Timer(0.4, one.accept) for one in world]
    for timer in back:
        timer.start()
    result = search(world.context("?retries=8&timeout=2"), "beam_search")
    for timer in back:
        timer.join()
    check_clean(result)
    assert result["degradations"] == []


def vanish(one: Proxy, call: int) -> None:
    """Be gone at the n-th call, in the middle of it."""

    def plan(number: int) -> Kind | None:
        if number >= call:
            threading.Thread(target=one.refuse).start()
            return "stall"
        return None

    one.behave(plan)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("strategy", ["best_of_n", "beam_search", "dvts"])
def test_a_verifier_that_is_gone_for_good_leaves_a_majority(
    world: World, strategy: str, is_async: bool
) -> None:
    vanish(world.prm, 0 if strategy == "best_of_n" else 1)
    started = time.monotonic()
    result = search(world.context(), strategy, is_async=is_async)
    assert time.monotonic() - started < 15
    check_clean(result)
    lost = [line for line in result["degradations"] if "verifier was lost" in line]
    assert len(lost) == 1
    assert "decided by majority" in lost[0]
    assert world.prm.url.removesuffix("/v1") in lost[0]
    assert result["vote"] == "majority"
    counts = [row["count"] for row in result["votes"]]
    assert counts == sorted(counts, reverse=True)
    assert result["answer"] == result["votes"][0]["answer"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("strategy", ["best_of_n", "beam_search"])
def test_a_policy_that_is_gone_is_an_error_that_says_what_to_do(
    world: World, strategy: str, is_async: bool
) -> None:
    world.policy.refuse()
    started = time.monotonic()
    with pytest.raises(PolicyFailedError) as caught:
        search(world.context(), strategy, is_async=is_async)
    assert time.monotonic() - started < 10
    said = str(caught.value)
    assert f"cannot connect to {world.policy.url.removesuffix('/v1')}" in said
    assert "check that the model runs, then ask again" in said


def calls_before_an_answer(world: World, strategy: str) -> int:
    """Calls after which a search has an answer, and still goes on."""
    states = stream_search(
        QUESTION, context=world.context(), strategy=strategy, seed=SEED
    )
    for state in states:
        if finished(state.get("tree", [])) and state.get("proposed"):
            break
    calls = world.policy.calls
    list(states)
    assert world.policy.calls > calls
    return calls


@pytest.mark.parametrize("strategy", ["best_first", "mcts"])
def test_a_policy_that_goes_in_mid_search_leaves_the_answers_that_there_are(
    world: World, strategy: str
) -> None:
    vanish(world.policy, calls_before_an_answer(world, strategy))
    started = time.monotonic()
    result = search(world.context(), strategy)
    assert time.monotonic() - started < 10
    check_clean(result)
    assert result["answer"] is not None
    assert result["stop_reason"] == "policy"
    assert "cannot connect" in result["degradations"][-1]


@pytest.mark.parametrize("strategy", ["beam_search", "dvts", "majority_vote"])
def test_a_policy_that_goes_before_there_is_an_answer_is_an_error(
    world: World, strategy: str
) -> None:
    vanish(world.policy, 0 if strategy == "majority_vote" else 2)
    started = time.monotonic()
    with pytest.raises(PolicyFailedError, match="cannot connect"):
        search(world.context(early_stop="certain"), strategy)
    assert time.monotonic() - started < 10


def test_some_requests_of_a_call_may_fail_for_good(world: World) -> None:
    # Every third call fails: of a round's requests some are lost, others are not.
    world.policy.behave(lambda number: "500" if number % 3 == 1 else None)
    result = search(world.context("?retries=0&timeout=2"), "beam_search")
    assert world.policy.faults["500"] > 0
    check_clean(result)
    assert result["answer"] is not None


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_verifier_that_stalls_does_not_outlast_the_time_limit(
    world: World, is_async: bool
) -> None:
    context = world.context("?timeout=600", budget=Budget(samples=8, seconds=5))
    search(context, "best_of_n")
    world.prm.behave(first(99, "stall"))
    started = time.monotonic()
    result = search(context, "best_of_n", is_async=is_async)
    assert time.monotonic() - started < 15
    check_clean(result)
    (line,) = result["degradations"]
    assert "did not answer in the time that was left" in line
    assert result["answer"] is not None
    assert result["vote"] == "majority"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_policy_that_stalls_does_not_outlast_the_time_limit(
    world: World, is_async: bool
) -> None:
    context = world.context("?timeout=600", budget=Budget(samples=8, seconds=5))
    search(context, "beam_search")
    world.policy.behave(lambda number: "stall" if number else None)
    started = time.monotonic()
    result = search(context, "beam_search", is_async=is_async)
    assert time.monotonic() - started < 15
    check_clean(result)
    assert result["stop_reason"] == "seconds"
    assert result["text"]


async def test_cancelled_searches_end_their_calls(
    world: World, policy_server: str
) -> None:
    for one in world:
        one.behave(lambda number: "stall" if number >= 5 else None)
    context = world.context()
    tasks = [
        asyncio.create_task(
            asolve(QUESTION, context=context, strategy="beam_search", seed=seed)
        )
        for seed in range(20)
    ]
    await asyncio.sleep(1)
    assert sum(one.busy for one in world)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
    await asyncio.to_thread(settled, world)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    metrics = f"{policy_server.removesuffix('/v1')}/metrics"
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(metrics)).text
    running = re.findall(r"vllm:num_requests_(?:running|waiting)\{.*\} (.*)", text)
    assert running
    assert set(running) == {"0.0"}


async def test_200_searches_at_once_with_a_fifth_of_all_calls_failing(
    world: World,
) -> None:
    # Those that take long are tested one by one.
    kinds = [kind for kind in KINDS if kind not in ("busy", "stall")]
    world.policy.behave(share(0.2, seed=1, kinds=kinds))
    world.prm.behave(share(0.2, seed=2, kinds=kinds))
    context = world.context(
        "?retries=1&timeout=60", budget=Budget(samples=4, tokens=300), beam_width=2
    )
    ends = await asyncio.gather(
        *(
            asolve(
                QUESTION,
                context=context,
                strategy="beam_search" if number % 4 == 0 else "best_of_n",
                seed=number,
            )
            for number in range(200)
        ),
        return_exceptions=True,
    )
    results = [end for end in ends if not isinstance(end, BaseException)]
    errors = [end for end in ends if isinstance(end, BaseException)]
    assert all(isinstance(error, PolicyFailedError) for error in errors), errors
    # Four tries of a call of which a fifth fails: 0.2^4 a search.
    assert len(results) >= 190, errors[:3]
    for one in world:
        assert 0.15 < one.faults.total() / one.calls < 0.25
    for result in results:
        check_clean(result)
        complete = result["candidates"]
        lost = [line for line in result["degradations"] if "was lost" in line]
        assert bool(lost) == (result["vote"] == "majority")
        if not result["degradations"]:
            assert len(complete) == 4 or result["strategy"] == "beam_search"
            assert all(final["score"] is not None for final in complete)
    await asyncio.to_thread(settled, world)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    for one in world:
        # What is still open is kept alive for the next call.
        assert one.connections <= 256


def test_a_server_that_is_killed_and_started_again_is_gone_on_with(
    tag_prm_server: str,
) -> None:
    port = free_port()
    with running(WEIGHTS / "policy", port=port) as server, proxy(server.url) as policy:
        context = SearchContext(
            policy=f"{policy.url}?retries=40&timeout=90",
            prm=tag_prm_server,
            budget=Budget(samples=8),
        )
        before = search(context, "beam_search")

        def plan(number: int) -> None:
            if number == 2:
                server.kill()

        policy.behave(plan)
        with ThreadPoolExecutor(1) as thread:
            work = thread.submit(search, context, "beam_search")
            server.process.wait(30)
            with serving(WEIGHTS / "policy", port=port):
                result = work.result(120)
    check_clean(result)
    assert result["degradations"] == []
    assert answers(result) == answers(before)
