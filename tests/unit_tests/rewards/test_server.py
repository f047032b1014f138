"""What a PRM server may answer, and how it is asked."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.loops import Network
from langchain_tts.engines.replies import ServerError, ServerRefusedError
from langchain_tts.rewards._server_memory import ServerMemory, block_size
from langchain_tts.rewards.reader import (
    ClassHead,
    Head,
    LabelHead,
    Reading,
    ValueHead,
)
from langchain_tts.rewards.server import ServerReader
from langchain_tts.tinymath import WEIGHTS

MODEL = str(WEIGHTS / "tag-prm")
LABELS = LabelHead(5, 6)
Body = dict[str, Any]


def logit(prompt: list[int]) -> float:
    """What the scripted server takes for a prompt's quality."""
    return math.sin(sum(prompt))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


class World:
    """Servers that answer as vLLM does, from a memory of whole blocks."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Body]] = []
        self.block = 0
        self.suffix_only = False
        self.known: set[tuple[int, ...]] = set()
        self.spoil: Callable[[Body], Body] = lambda answer: answer
        self.network = Network(httpx.MockTransport(self._answer))

    def reader(self, head: Head = LABELS, hosts: int = 1) -> ServerReader:
        urls = [f"http://server{number}/v1" for number in range(hosts)]
        reader = ServerReader(urls, lambda _tokens: head, on=self.network, retries=0)
        self.asked.clear()
        return reader

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v1/models":
            card = {"id": "prm", "root": MODEL, "max_model_len": 512}
            return httpx.Response(200, json={"data": [card]})
        if path == "/tokenize":
            return httpx.Response(404, json={"detail": "Not Found"})
        body = json.loads(request.content)
        self.asked.append((request.url.host, body))
        answer = self._rows(body) if path == "/pooling" else self._labels(body)
        return httpx.Response(200, json=self.spoil(answer))

    def _cached(self, prompt: list[int]) -> int:
        if not self.block:
            return 0
        ends = range(self.block, len(prompt) + 1, self.block)
        hits = [e for e in ends if tuple(prompt[:e]) in self.known and e < len(prompt)]
        self.known |= {tuple(prompt[:end]) for end in ends}
        return max(hits, default=0)

    def _labels(self, body: Body) -> Body:
        good, bad = body["logprob_token_ids"]
        told = [
            {f"token_id:{bad}": -9.0, f"token_id:{good}": -9.0 + logit(prompt)}
            for prompt in body["prompt"]
        ]
        cached = [self._cached(prompt) for prompt in body["prompt"]]
        return {
            # Choices may come in any order.
            "choices": [
                {"index": index, "logprobs": {"top_logprobs": [labels]}}
                for index, labels in reversed(list(enumerate(told)))
            ],
            "usage": {"prompt_tokens_details": {"cached_tokens": cached[-1]}},
        }

    def _rows(self, body: Body) -> Body:
        items = []
        for index, prompt in enumerate(body["input"]):
            margins = [logit(prompt[: end + 1]) for end in range(len(prompt))]
            # As if a cache had the first half.
            margins = margins[len(prompt) // 2 :] if self.suffix_only else margins
            rows = np.array([[1.0, 1.0 + margin] for margin in margins], "<f4")
            data = base64.b64encode(rows.tobytes()).decode()
            items.append({"index": index, "data": data})
        return {"data": items}


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.network.close()


def expected(reading: Reading) -> list[float]:
    return [sigmoid(logit(reading.ids[: end + 1])) for end in reading.ends]


READINGS = [
    Reading([1, 2, 3, 4, 5, 6], [1, 3, 5]),
    Reading([1, 2, 3, 4, 9], [4]),
    Reading([1, 2, 3, 4, 9], [4]),
]


@pytest.mark.parametrize("head", [LABELS, ClassHead()], ids=["labels", "classes"])
def test_scores_come_back_in_order(world: World, head: Head) -> None:
    reads = world.reader(head).read(READINGS).result()
    for reading, read in zip(READINGS, reads, strict=True):
        assert read.scores == pytest.approx(expected(reading), abs=1e-6)
    # One request for all, and the one that is there twice is asked once.
    assert len(world.asked) == 1
    prompts = world.asked[0][1].get("prompt") or world.asked[0][1]["input"]
    assert len(prompts) == len({tuple(prompt) for prompt in prompts})
    assert reads[2].computed == 0


def test_positions_whose_rows_a_cache_has_are_asked_by_themselves(world: World) -> None:
    reader = world.reader(ClassHead())
    world.suffix_only = True
    (read,) = reader.read(READINGS[:1]).result()
    assert read.scores == pytest.approx(expected(READINGS[0]), abs=1e-6)
    assert [body["input"] for _, body in world.asked] == [
        [[1, 2, 3, 4, 5, 6]],
        [[1, 2]],
    ]


def without(field: str) -> Callable[[Body], Body]:
    return lambda answer: {k: v for k, v in answer.items() if k != field}


def fewer(answer: Body) -> Body:
    return {**answer, "choices": answer["choices"][1:]}


def twice(answer: Body) -> Body:
    return {**answer, "choices": [answer["choices"][0]] * len(answer["choices"])}


def more(answer: Body) -> Body:
    return {**answer, "choices": [*answer["choices"], answer["choices"][0]]}


def unlabelled(answer: Body) -> Body:
    for choice in answer["choices"]:
        choice["logprobs"] = {"top_logprobs": [{"token_id:7": -1.0}]}
    return answer


@pytest.mark.parametrize(
    "spoil", [fewer, twice, more, unlabelled, without("choices")], ids=str
)
def test_an_answer_that_does_not_hold_all_scores_can_be_tried_again(
    world: World, spoil: Callable[[Body], Body]
) -> None:
    reader = world.reader()
    world.spoil = spoil
    with pytest.raises(ServerError):
        reader.read(READINGS).result()
    world.spoil = lambda answer: answer
    (read, *_) = reader.read(READINGS).result()
    assert read.scores == pytest.approx(expected(READINGS[0]))


@pytest.mark.parametrize("data", [None, "", "no base64", "AAAA", [[0.1, 0.2]]])
def test_rows_that_are_no_rows_are_no_scores(world: World, data: object) -> None:
    reader = world.reader(ClassHead())

    def spoil(answer: Body) -> Body:
        return {"data": [{**item, "data": data} for item in answer["data"]]}

    world.spoil = spoil
    with pytest.raises(ServerError, match="2 numbers for each token"):
        reader.read(READINGS).result()


def test_numbers_that_are_none_are_no_scores(world: World) -> None:
    reader = world.reader(ClassHead())
    rows = np.full((6, 2), np.nan, "<f4")
    data = base64.b64encode(rows.tobytes()).decode()
    world.spoil = lambda _answer: {"data": [{"index": 0, "data": data}]}
    with pytest.raises(ServerError, match="2 numbers for each token"):
        reader.read(READINGS[:1]).result()


@pytest.mark.parametrize("head", [ValueHead(), LABELS], ids=["value", "labels"])
def test_a_server_of_another_kind_is_refused_at_load(world: World, head: Head) -> None:
    world.spoil = unlabelled if head == LABELS else lambda answer: answer
    with pytest.raises(ModelLoadError, match="cannot be read as its format asks"):
        world.reader(head)


def test_a_missing_key_is_not_a_wrong_pairing() -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": {"message": "no key"}})

    network = Network(httpx.MockTransport(refuse))
    with pytest.raises(ServerRefusedError, match="OPENAI_API_KEY"):
        ServerReader(["http://one/v1"], lambda _tokens: LABELS, on=network)
    network.close()


@pytest.mark.parametrize("block", [0, 4, 16])
def test_what_the_servers_cache_had_is_counted(world: World, block: int) -> None:
    world.block = block
    reader = world.reader()
    prompt = list(range(20, 60))
    readings = [Reading([*prompt, 1, 2], [41]), Reading([*prompt, 3, 4, 5], [42])]
    first = reader.read(readings).result()
    shared = 40 // block * block if block else 0
    assert [read.computed for read in first] == [42, 43 - shared]
    (longer,) = reader.read([Reading([*prompt, 1, 2, *range(70, 90)], [61])]).result()
    known = 42 // block * block if block else 0
    assert (longer.computed, longer.cached) == (62 - known, known)


def test_a_cache_that_was_lost_is_noticed(world: World) -> None:
    world.block = 4
    reader = world.reader()
    ids = list(range(20, 60))
    others = list(range(100, 140))
    reader.read([Reading(ids, [39]), Reading(others, [39])]).result()
    # The server was started again.
    world.known.clear()
    (read,) = reader.read([Reading([*ids, 9], [40])]).result()
    assert (read.computed, read.cached) == (41, 0)
    # It is not believed to have the others either.
    new = [Reading([*others, 1], [40]), Reading([7, 7, 7], [2])]
    assert [read.cached for read in reader.read(new).result()] == [0, 0]


def test_a_trajectory_stays_with_its_server(world: World) -> None:
    reader = world.reader(hosts=3)
    roots = [[7, 8, 9, 10 + number] for number in range(24)]
    reader.read([Reading(ids, [len(ids) - 1]) for ids in roots]).result()
    first = {tuple(p): host for host, body in world.asked for p in body["prompt"]}
    assert len(set(first.values())) == 3
    world.asked.clear()
    longer = [[*ids, 1, 2, 3] for ids in roots[::2]]
    reader.read([Reading(ids, [len(ids) - 1]) for ids in longer]).result()
    second = {tuple(p): host for host, body in world.asked for p in body["prompt"]}
    assert all(second[tuple(ids)] == first[tuple(ids[:4])] for ids in longer)


def test_a_call_of_many_prompts_is_a_few_requests(world: World) -> None:
    reader = world.reader()
    readings = [Reading([1, 2, number], [2]) for number in range(150)]
    reads = reader.read(readings).result()
    assert [len(body["prompt"]) for _, body in world.asked] == [64, 64, 22]
    for reading, read in zip(readings, reads, strict=True):
        assert read.scores == pytest.approx(expected(reading))


@pytest.mark.parametrize("size", [1, 16, 32, 128])
def test_a_caches_block_is_told_by_a_prompt_that_was_read_twice(size: int) -> None:
    assert block_size(512, 511 // size * size) == size


def test_no_cache_has_no_block() -> None:
    assert block_size(512, 0) == 0
    assert block_size(512, 333) == 0


def test_a_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langchain_tts.rewards._server_memory._REMEMBERED", 10)
    memory = ServerMemory(1)
    for number in range(50):
        memory.meet([number, number])
    assert len(memory._blocks) == len(memory._trajectories) == 10
    assert memory.meet([49, 49, 1]).cached == 2
    assert memory.meet([3, 3, 1]).cached == 0
