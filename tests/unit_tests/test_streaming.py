"""Streams of the chat model: text as soon as it is certain, and all else at the end."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import aclosing, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_tts import TTSChatModel, register_strategy
from langchain_tts.search.select import Selection, rank
from langchain_tts.strategies import (
    STRATEGIES,
    StrategyError,
    get_strategy,
    step_strategy,
)
from tests.unit_tests.counting import CountingPolicy, counting_model
from tests.unit_tests.fakes import TreePolicy, TreePrm, random_language
from tests.unit_tests.scripted import ScriptedPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langgraph.graph.state import CompiledStateGraph

    from langchain_tts.policies.base import Generation, GenerationRequest
    from langchain_tts.search.state import Candidate

QUESTION = "What is 6*7?"
PIECES = ["step 1", "\n\nstep 2", "\n\nAnswer: \\boxed{4", "2}"]
"""All candidates write the same steps; one in three answers 41."""
SOLUTION = "".join(PIECES)


def _texts(chunks: Sequence[AIMessageChunk]) -> list[str]:
    return [str(chunk.text) for chunk in chunks if chunk.text]


def _merged(chunks: Sequence[AIMessageChunk]) -> AIMessageChunk:
    merged = chunks[0]
    for chunk in chunks[1:]:
        merged += chunk
    return merged


def _timeless(message: AIMessage) -> dict[str, Any]:
    """What an invoked and a streamed message have in common."""
    search = {**message.response_metadata["tts"], "seconds": None}
    search["spent"] = {**search["spent"], "seconds": None}
    return {
        "content": message.content,
        "usage": message.usage_metadata,
        "metadata": {**message.response_metadata, "tts": search},
    }


def test_text_comes_as_soon_as_all_candidates_share_it() -> None:
    assert _texts(list(counting_model().stream(QUESTION))) == PIECES


async def test_an_async_stream_is_the_same() -> None:
    assert (
        _texts([chunk async for chunk in counting_model().astream(QUESTION)]) == PIECES
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_stream_adds_up_to_what_invoke_gives(strategy: str) -> None:
    # Watched subtrees advance together, so that the others are told to do so here.
    model = counting_model(strategy=strategy, parameters={"lockstep": True})
    whole = _timeless(model.invoke(QUESTION))
    for chunks in (
        list(model.stream(QUESTION)),
        [chunk async for chunk in model.astream(QUESTION)],
    ):
        assert _timeless(_merged(chunks)) == whole
        assert len({chunk.id for chunk in chunks}) == 1
        assert [c.chunk_position for c in chunks] == [None] * (len(chunks) - 1) + [
            "last"
        ]
        full = [bool(chunk.usage_metadata) for chunk in chunks]
        assert full == [bool(chunk.response_metadata) for chunk in chunks]
        assert full == [False] * (len(chunks) - 1) + [True]


@pytest.mark.parametrize("strategy", ["mcts", "best_first", "levin", "greedy"])
def test_what_may_begin_anew_is_streamed_at_the_end(strategy: str) -> None:
    texts = _texts(list(counting_model(strategy=strategy).stream(QUESTION)))
    assert len(texts) == 1


@pytest.mark.parametrize("strategy", ["majority_vote", "best_of_n", "revision"])
def test_whole_answers_are_streamed_once_all_of_them_are_there(strategy: str) -> None:
    texts = _texts(list(counting_model(strategy=strategy).stream(QUESTION)))
    assert texts == ["".join(PIECES[:3]), PIECES[3]]


def test_a_stream_ends_before_a_stop_sequence_and_holds_its_beginning_back() -> None:
    model = counting_model(stop=["\n\nstep 3", "boxed"])
    assert _texts(list(model.stream(QUESTION))) == [
        "step 1",
        "\n\nstep 2",
        "\n\nAnswer: \\",
    ]
    model = counting_model(stop=["1\n\nstep 2"])
    assert _texts(list(model.stream(QUESTION))) == ["step "]


def test_reasoning_is_streamed_with_the_answer() -> None:
    model = counting_model(reasoning=True)
    chunks = list(model.stream(QUESTION))
    assert len(chunks) == 1
    assert chunks[0].content == model.invoke(QUESTION).content


@tool
def add(number: int) -> int:
    """Add 'one' to a number."""
    return number + 1


@pytest.mark.parametrize("strategy", ["greedy", "majority_vote", "beam_search"])
def test_a_turn_with_tool_calls_comes_whole(strategy: str) -> None:
    model = counting_model(policy=ScriptedPolicy(), prm=None, strategy=strategy)
    bound = model.bind_tools([add], tool_choice="any")
    asked = "Call 'add' with 3."
    whole = bound.invoke(asked)
    first, *others = list(bound.stream(asked))
    assert whole.tool_calls
    calls = [[(c["name"], c["args"]) for c in m.tool_calls] for m in (whole, first)]
    assert calls[0] == calls[1]
    assert first.usage_metadata == whole.usage_metadata
    assert not any(other.content or other.tool_calls for other in others)


async def test_streams_of_content_blocks_are_streams_of_the_same_text() -> None:
    model = counting_model(output_version="v1")
    chunks = list(model.stream(QUESTION))
    later = [chunk async for chunk in model.astream(QUESTION)]
    for merged in (_merged(chunks), _merged(later)):
        assert merged.content_blocks == [{"type": "text", "text": SOLUTION, "index": 0}]
    reader = Reading()
    message = model.invoke(QUESTION, {"callbacks": [reader]})
    assert message.content == [{"type": "text", "text": SOLUTION}]
    assert reader.chunks == []


class SlowPolicy(CountingPolicy):
    """Waits with a call until it is let go."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self.go = threading.Semaphore(0)
        self.asked = 0

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        self.asked += 1
        assert self.go.acquire(timeout=20)
        return super().submit(requests)


def test_chunks_come_while_the_search_is_running() -> None:
    policy = SlowPolicy(steps=3)
    chunks = counting_model(policy=policy).stream(QUESTION)
    for call, text in enumerate(PIECES[:3], start=1):
        policy.go.release()
        assert next(chunks).text == text
        assert policy.asked == call
    assert next(chunks).text == PIECES[3]
    assert list(chunks) == []


async def test_async_chunks_come_while_the_search_is_running() -> None:
    policy = SlowPolicy(steps=3)
    async with aclosing(_astream(counting_model(policy=policy))) as chunks:
        for call, text in enumerate(PIECES[:3], start=1):
            policy.go.release()
            assert (await anext(chunks)).text == text
            assert policy.asked == call


def _astream(model: TTSChatModel) -> Any:
    return model.astream(QUESTION)


@pytest.mark.parametrize("place", ["alone", "chain"])
def test_a_stream_that_is_closed_ends_the_search(place: str) -> None:
    policy = CountingPolicy(steps=9)
    model = counting_model(policy=policy)
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    # Behind a parser LangChain's own sync chain reads a closed stream to its end.
    runnable: Any = model if place == "alone" else prompt | model
    value = QUESTION if place == "alone" else {"question": QUESTION}
    with closing(runnable.stream(value)) as chunks:
        next(chunks)
    assert len(policy.requests) == 1


@pytest.mark.parametrize("place", ["alone", "chain"])
async def test_an_async_stream_that_is_closed_ends_the_search(place: str) -> None:
    policy = CountingPolicy(steps=9)
    model = counting_model(policy=policy)
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    runnable: Any = model if place == "alone" else prompt | model | StrOutputParser()
    value = QUESTION if place == "alone" else {"question": QUESTION}
    async with aclosing(runnable.astream(value)) as chunks:
        await anext(chunks)
    await asyncio.sleep(0.05)
    assert len(policy.requests) == 1


class NeverPolicy(CountingPolicy):
    """Answers the first call, and never the second."""

    def __init__(self) -> None:
        super().__init__(steps=9)
        self.waiting: list[Future[list[Generation]]] = []
        self.stuck = threading.Event()

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        if not self.requests:
            return super().submit(requests)
        self.waiting.append(Future())
        self.stuck.set()
        return self.waiting[0]


@pytest.mark.parametrize("call", ["astream", "ainvoke", "ainvoke and read"])
async def test_a_cancelled_call_cancels_the_policys_work(call: str) -> None:
    policy = NeverPolicy()
    model = counting_model(policy=policy)

    async def consume() -> None:
        if call == "ainvoke":
            await model.ainvoke(QUESTION)
        elif call == "astream":
            _ = [chunk async for chunk in model.astream(QUESTION)]
        else:
            await model.ainvoke(QUESTION, {"callbacks": [Reading()]})

    task = asyncio.create_task(consume())
    assert await asyncio.to_thread(policy.stuck.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert policy.waiting[0].cancelled()
    assert len(policy.waiting) == 1


class Reading(BaseCallbackHandler):
    """Takes the chunks of an answer, as LangGraph's and LangChain's own readers do."""

    def __init__(self) -> None:
        self.chunks: list[AIMessageChunk] = []

    def tap_output_aiter(self, _run: Any, output: AsyncIterator[Any]) -> Any:
        return output

    def tap_output_iter(self, _run: Any, output: Iterator[Any]) -> Any:
        return output

    def on_llm_new_token(self, *_token: Any, chunk: Any = None, **_: Any) -> None:
        if isinstance(getattr(chunk, "message", None), AIMessageChunk):
            self.chunks.append(chunk.message)


@pytest.mark.parametrize("changes", [{}, {"streaming": True}])
async def test_a_handler_that_reads_chunks_has_them_of_an_invoked_model(
    changes: dict[str, Any],
) -> None:
    model = counting_model(**changes)
    for asynchronous in (False, True):
        reader = Reading()
        config: Any = {"callbacks": [reader]}
        if asynchronous:
            message = await model.ainvoke(QUESTION, config)
        else:
            message = model.invoke(QUESTION, config)
        assert _texts(reader.chunks) == PIECES
        assert message.text == SOLUTION
        assert {chunk.id for chunk in reader.chunks} == {message.id}
        assert _timeless(_merged(reader.chunks)) == _timeless(message)


def test_a_model_that_is_not_to_stream_does_not() -> None:
    for changes in ({"disable_streaming": True}, {"streaming": False}):
        reader = Reading()
        message = counting_model(**changes).invoke(QUESTION, {"callbacks": [reader]})
        assert message.text == SOLUTION
        assert reader.chunks == []


def _graph(model: TTSChatModel) -> CompiledStateGraph[Any, Any, Any, Any]:
    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("answer", answer)
    return graph.add_edge(START, "answer").add_edge("answer", END).compile()


@pytest.mark.parametrize("subgraphs", [False, True])
def test_a_graph_that_streams_messages_has_the_answer_once(*, subgraphs: bool) -> None:
    value = {"messages": [HumanMessage(QUESTION)]}
    parts: Any = _graph(counting_model()).stream(
        value, stream_mode="messages", subgraphs=subgraphs
    )
    messages = [part[1][0] if subgraphs else part[0] for part in parts]
    assert _texts(messages) == PIECES
    assert len({message.id for message in messages}) == 1


async def test_events_have_the_text_in_pieces() -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    chain = prompt | counting_model() | StrOutputParser()
    events = [event async for event in chain.astream_events({"question": QUESTION})]
    chunks = [e["data"] for e in events if e["event"] == "on_chat_model_stream"]
    assert _texts([data["chunk"] for data in chunks if "chunk" in data]) == PIECES


@pytest.fixture
def fickle() -> Iterator[str]:
    """A strategy that says it continues its frontier only, and begins anew."""
    mcts = get_strategy("best_first")
    register_strategy(replace(mcts, name="fickle", certainty="frontier"))
    yield "fickle"
    del STRATEGIES["fickle"]


@pytest.fixture
def own() -> Iterator[str]:
    """A user's own strategy."""

    def best(
        tree: Sequence[Candidate], proposed: Sequence[int], _places: int, _width: int
    ) -> Selection:
        kept = rank(tree, proposed)[:1]
        return Selection(kept, [i for i in proposed if i not in kept])

    register_strategy(step_strategy("own", "keeps the best", best))
    yield "own"
    del STRATEGIES["own"]


def test_a_strategy_of_ones_own_is_streamed_at_the_end(own: str) -> None:
    assert _texts(list(counting_model(strategy=own).stream(QUESTION))) == [SOLUTION]


def test_a_strategy_that_is_less_sure_than_it_says_is_an_error(fickle: str) -> None:
    policy = TreePolicy(random_language(5, depth=5))
    model = counting_model(policy=policy, prm=TreePrm(), strategy=fickle, seed=3)
    expected = r"'fickle' is registered with certainty='frontier'.*certainty='end'"
    with pytest.raises(StrategyError, match=expected):
        _ = [list(model.stream(QUESTION, seed=seed)) for seed in range(20)]
