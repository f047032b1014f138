"""The policy on a real vLLM server: the same answers as in this process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import torch
from langchain_core.messages import AIMessage
from transformers import AutoModelForCausalLM, AutoTokenizer

from langchain_tts import TTSChatModel
from langchain_tts.budget import Budget
from langchain_tts.engines.errors import PromptTooLongError
from langchain_tts.engines.loops import Network
from langchain_tts.engines.server import ServerPool, ServerRefusedError
from langchain_tts.policies import resolve_policy
from langchain_tts.policies.base import Generation, Policy
from langchain_tts.policies.server import ServerPolicy
from langchain_tts.policies.transformers import TransformersPolicy
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import asolve, solve
from langchain_tts.tinymath import WEIGHTS
from tests.integration_tests.servers import wait_until_busy, wait_until_idle

QUESTIONS = ("What is 12*7+5?", "What is (12+7)*3-8?", "What is 91-17-4?", "1+1?")
LONG = "What is " + "+".join(map(str, range(10, 99))) + "?"
"""More tokens than a block of the CPU's prefix cache has (128)."""


class Meddling(httpx.AsyncBaseTransport):
    """The real network, except that answers are changed on their way.

    Args:
        change: Gets the path and the JSON of an answer that is not streamed.
    """

    def __init__(self, change: Callable[[str, Any], None] | None = None) -> None:
        self._real = httpx.AsyncHTTPTransport()
        self._change = change
        self.hosts: list[str] = []
        """Where what was to be generated was sent."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v1/completions":
            self.hosts.append(request.url.host)
        response = await self._real.handle_async_request(request)
        if "json" not in response.headers.get("content-type", ""):
            return response
        told = json.loads(await response.aread())
        if self._change:
            self._change(path, told)
        return httpx.Response(response.status_code, json=told)

    async def aclose(self) -> None:
        await self._real.aclose()


@pytest.fixture
def meddle() -> Iterator[Callable[..., tuple[Network, Meddling]]]:
    opened: list[Network] = []

    def build(*change: Callable[[str, Any], None]) -> tuple[Network, Meddling]:
        transport = Meddling(*change)
        opened.append(Network(transport))
        return opened[-1], transport

    yield build
    for network in opened:
        network.close()


@pytest.fixture(scope="module")
def here() -> TransformersPolicy:
    return TransformersPolicy(WEIGHTS / "policy")


@pytest.fixture(scope="module")
def policy(policy_server: str) -> ServerPolicy:
    return ServerPolicy([policy_server])


def request(question: str, *seeds: int, **options: Any) -> Any:
    return {
        "messages": [{"role": "user", "content": question}],
        "prefix": [],
        "n": len(seeds),
        "seeds": list(seeds),
        "by_step": False,
        "max_tokens": 200,
        "temperature": 1.0,
        "deadline": None,
        **options,
    }


def generate(policy: Policy, *requests: Any) -> list[Generation]:
    return policy.submit(requests).result(60)


def same(theirs: list[Generation], ours: list[Generation]) -> None:
    """The same samples; log-probabilities up to rounding."""
    for their, our in zip(theirs, ours, strict=True):
        for left, right in zip(their["samples"], our["samples"], strict=True):
            assert left["finish_reason"] == right["finish_reason"]
            for step, wanted in zip(left["steps"], right["steps"], strict=True):
                assert step["text"] == wanted["text"]
                assert step["token_ids"] == wanted["token_ids"]
                assert step["logprob"] == pytest.approx(wanted["logprob"], abs=1e-3)


def test_it_knows_what_the_server_runs(
    policy: ServerPolicy, here: TransformersPolicy
) -> None:
    assert policy.model == "tinymath"
    assert policy.by_tokens
    assert policy.counts_locally
    assert policy.num_parameters == here.num_parameters
    assert policy.context_window == here.context_window == 1024


@pytest.mark.parametrize("by_step", [True, False])
@pytest.mark.parametrize("max_tokens", [3, 200])
def test_greedy_answers_are_those_of_transformers(
    policy: ServerPolicy, here: TransformersPolicy, by_step: bool, max_tokens: int
) -> None:
    limits = {"temperature": 0.0, "by_step": by_step, "max_tokens": max_tokens}
    requests = [request(question, 1, 2, **limits) for question in QUESTIONS]
    theirs = generate(policy, *requests)
    same(theirs, generate(here, *requests))
    reasons = {one["samples"][0]["finish_reason"] for one in theirs}
    assert reasons == {"length" if max_tokens == 3 else "step" if by_step else "stop"}


def test_an_answer_in_steps_is_the_answer_in_one(policy: ServerPolicy) -> None:
    (whole,) = generate(policy, request(QUESTIONS[0], 1, temperature=0.0))
    prefix: list[int] = []
    steps, reason = [], "step"
    while reason == "step":
        one = request(QUESTIONS[0], 1, temperature=0.0, by_step=True, prefix=prefix)
        (generation,) = generate(policy, one)
        (sample,) = generation["samples"]
        reason = sample["finish_reason"]
        steps += sample["steps"]
        prefix = [token for step in steps for token in step["token_ids"]]
    wanted = whole["samples"][0]["steps"]
    assert [step["token_ids"] for step in steps] == [s["token_ids"] for s in wanted]
    assert [step["text"] for step in steps] == [s["text"] for s in wanted]
    assert reason == whole["samples"][0]["finish_reason"] == "stop"


def test_a_sample_depends_on_its_seed_alone(policy: ServerPolicy) -> None:
    seeds = (2**62, 2**62 + 1, 2**62 + 2, 7, 2**63 - 1)
    (together,) = generate(policy, request(LONG, *seeds, temperature=1.5))
    alone = [
        generate(policy, request(LONG, seed, temperature=1.5))[0] for seed in seeds
    ]
    ids = [
        [step["token_ids"] for step in sample["steps"]]
        for one in (together, *alone)
        for sample in one["samples"]
    ]
    assert ids[:5] == ids[5:]
    assert len({str(one) for one in ids[:5]}) == 5


def test_log_probabilities_are_those_at_temperature_one(policy: ServerPolicy) -> None:
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "policy")
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS / "policy", dtype="float32")
    asked = request(QUESTIONS[1], 5, 6, 7, temperature=2.0, max_tokens=60)
    chat: list[int] = tokenizer.apply_chat_template(
        asked["messages"], add_generation_prompt=True, return_dict=False
    )
    (generation,) = generate(policy, asked)
    for sample in generation["samples"]:
        ids = list(chat)
        for step in sample["steps"]:
            start = len(ids)
            ids += step["token_ids"]
            with torch.inference_mode():
                logits = model(torch.tensor([ids])).logits[0, start - 1 : -1]
            wanted = logits.log_softmax(-1).gather(1, torch.tensor([ids[start:]]).T)
            assert step["logprob"] == pytest.approx(float(wanted.sum()), abs=1e-3)
        assert len(ids) > len(chat)


@pytest.mark.parametrize("ends", [True, False])
def test_a_step_that_somebody_wrote_is_read_as_transformers_reads_it(
    policy: ServerPolicy, here: TransformersPolicy, ends: bool
) -> None:
    messages = request(QUESTIONS[0])["messages"]
    prefix = here.read_step(messages, [], "12*7=85", ends=False)["token_ids"]
    theirs = policy.read_step(messages, prefix, "85+5=90", ends=ends)
    ours = here.read_step(messages, prefix, "85+5=90", ends=ends)
    assert theirs["token_ids"] == ours["token_ids"]
    assert theirs["logprob"] == pytest.approx(ours["logprob"], abs=1e-3)
    with pytest.raises(PromptTooLongError):
        policy.read_step(messages, [], "1" * 1024, ends=ends)


def test_cached_tokens_are_those_of_the_first_sibling(policy: ServerPolicy) -> None:
    question = LONG.replace("is", "was")
    prompt = policy.count_prompt_tokens(request(question)["messages"])
    assert 256 < prompt < 384
    (first,) = generate(policy, request(question, 1, 2, 3, 4))
    (again,) = generate(policy, request(question, 5, 6, 7, 8))
    # Siblings find what the first of them computed; that is not what was there before.
    assert (first["prompt_tokens"], first["cached_tokens"]) == (prompt, 0)
    assert (again["prompt_tokens"], again["cached_tokens"]) == (prompt - 256, 256)


def test_without_token_ids_the_text_is_continued(
    policy_server: str,
    here: TransformersPolicy,
    meddle: Callable[..., tuple[Network, Meddling]],
) -> None:
    def forget_ids(path: str, told: Any) -> None:
        for choice in told.get("choices", ()) if path == "/v1/completions" else ():
            choice["token_ids"] = None

    network, _ = meddle(forget_ids)
    policy = ServerPolicy([policy_server], on=network)
    assert not policy.by_tokens
    requests = [request(question, 1, temperature=0.0) for question in QUESTIONS]
    same(generate(policy, *requests), generate(here, *requests))
    (step,) = generate(here, request(QUESTIONS[0], 1, temperature=0.0, by_step=True))
    prefix = step["samples"][0]["steps"][0]["token_ids"]
    after = request(QUESTIONS[0], 1, temperature=0.0, by_step=True, prefix=prefix)
    same(generate(policy, after), generate(here, after))


def test_a_tokenizer_that_only_the_server_has_gives_the_same(
    policy_server: str,
    here: TransformersPolicy,
    meddle: Callable[..., tuple[Network, Meddling]],
) -> None:
    def hide_files(path: str, told: Any) -> None:
        if path == "/v1/models":
            told["data"][0]["root"] = "somewhere/else"

    network, _ = meddle(hide_files)
    policy = ServerPolicy([policy_server], on=network)
    assert not policy.counts_locally
    assert policy.by_tokens
    assert (policy.num_parameters, policy.context_window) == (0, 1024)
    messages = request(QUESTIONS[0])["messages"]
    assert policy.count_prompt_tokens(messages) == here.count_prompt_tokens(messages)
    for by_step in (True, False):
        limits = {"temperature": 0.0, "by_step": by_step}
        requests = [request(question, 1, **limits) for question in QUESTIONS]
        same(generate(policy, *requests), generate(here, *requests))
    read = policy.read_step(messages, [], "12*7=84", ends=True)
    assert read == here.read_step(messages, [], "12*7=84", ends=True) | {
        "logprob": pytest.approx(read["logprob"])
    }
    result = solve(
        messages, context=SearchContext(policy=policy, prm="tinymath", budget=Budget(4))
    )
    assert result["answer"]


def test_subtrees_keep_their_server_and_share_two(
    policy_server: str, meddle: Callable[..., tuple[Network, Meddling]]
) -> None:
    network, transport = meddle()
    twins = [policy_server, policy_server.replace("127.0.0.1", "localhost")]
    policy = ServerPolicy(twins, on=network)
    homes: dict[str, set[str]] = {}
    for question in [f"What is {number}+1?" for number in range(12)]:
        for seed in range(3):
            transport.hosts.clear()
            generate(policy, request(question, seed, max_tokens=4))
            homes.setdefault(question, set()).update(transport.hosts)
    assert all(len(hosts) == 1 for hosts in homes.values())
    assert set.union(*homes.values()) == {"127.0.0.1", "localhost"}


def test_a_wave_for_one_prefix_spills_over_to_the_idle_server(
    policy_server: str, meddle: Callable[..., tuple[Network, Meddling]]
) -> None:
    network, transport = meddle()
    twins = [policy_server, policy_server.replace("127.0.0.1", "localhost")]
    policy = ServerPolicy(twins, on=network)
    transport.hosts.clear()
    futures = [
        policy.submit([request(QUESTIONS[0], seed, max_tokens=16)])
        for seed in range(0, 200, 5)
    ]
    for future in futures:
        future.result(60)
    assert len(transport.hosts) == 40
    counts = sorted(map(transport.hosts.count, ("127.0.0.1", "localhost")))
    assert counts[0] >= 8


def endless(**options: Any) -> dict[str, Any]:
    """A request that takes many seconds."""
    return {
        "model": "tinymath",
        "prompt": [23, 24, 263],
        "n": 256,
        "max_tokens": 1000,
        "temperature": 1.0,
        "ignore_eos": True,
        **options,
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_cancelling_reaches_the_server(policy_server: str, stream: bool) -> None:
    pool = ServerPool([policy_server])
    body = endless(stream=stream, stream_interval=16)
    asking: Any = pool.events if stream else pool.request
    future = pool.run(asking("/v1/completions", body))
    await wait_until_busy(policy_server, future)
    future.cancel()
    await wait_until_idle(policy_server, 20)


async def test_a_deadline_keeps_what_has_come_and_stops_the_server(
    policy_server: str,
) -> None:
    pool = ServerPool([policy_server])
    body = endless(stream=True, stream_interval=16, return_token_ids=True, logprobs=0)
    # Enough for the first events, also of a server that has a slow machine's time.
    deadline = time.monotonic() + 8
    done = pool.run(pool.events("/v1/completions", body, deadline=deadline))
    events, complete = done.result(30)
    assert time.monotonic() - deadline < 6
    assert not complete
    written = [len(event["choices"][0]["token_ids"]) for event in events]
    assert 64 <= sum(written) < 256 * 400
    await wait_until_idle(policy_server, 20)


@pytest.mark.parametrize("strategy", ["beam_search", "dvts", "best_of_n"])
def test_a_search_runs_on_a_server(policy_server: str, strategy: str) -> None:
    context = SearchContext(
        policy=policy_server, prm="tinymath", budget=Budget(8, seconds=60.0)
    )
    messages = request(QUESTIONS[0])["messages"]
    result = solve(messages, context=context, strategy=strategy, seed=3)
    assert result["answer"] == "89"
    assert not result["degradations"]
    assert result["spent"]["generated_tokens"] > 50
    again = asyncio.run(asolve(messages, context=context, strategy=strategy, seed=3))
    assert again["answer"] == result["answer"]
    texts = [
        [candidate["text"] for candidate in one["candidates"]]
        for one in (again, result)
    ]
    assert texts[0] == texts[1]


async def test_searches_at_once_leave_nothing_behind(policy_server: str) -> None:
    policy = resolve_policy(policy_server)
    assert isinstance(policy, ServerPolicy)
    context = SearchContext(policy=policy, prm="tinymath", budget=Budget(4))
    results = await asyncio.gather(
        *(
            asolve(request(question)["messages"], context=context, seed=1)
            for question in QUESTIONS * 3
        )
    )
    assert [one["answer"] for one in results[:4]] == [
        one["answer"] for one in results[4:8]
    ]
    network = policy._pool._network
    assert [replica.load for replica in policy._pool._replicas] == [0]
    await wait_until_idle(policy_server, 20)
    assert not asyncio.all_tasks(network._loop)


def test_the_chat_model_runs_on_a_server(policy_server: str) -> None:
    model = TTSChatModel(policy=policy_server, prm="tinymath", budget=8, seed=3)
    answer = model.invoke(QUESTIONS[0])
    assert isinstance(answer, AIMessage)
    assert answer.response_metadata["tts"]["answer"] == "89"


def test_a_model_that_is_not_served_is_answered_with_those_that_are(
    policy_server: str,
) -> None:
    with pytest.raises(ServerRefusedError, match="it serves tinymath: name one"):
        resolve_policy(f"{policy_server}?model=other")
    pool = ServerPool([policy_server])
    refused = pool.run(pool.request("/v1/completions", endless(model="other")))
    with pytest.raises(ServerRefusedError, match="it serves tinymath: name one"):
        refused.result(30)
