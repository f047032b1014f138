"""How a search goes on, told to handlers and to graphs around it."""

from __future__ import annotations

import asyncio
import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_tts import TTSChatModel
from langchain_tts._chat import watching
from langchain_tts._chat.progress import EVENT
from langchain_tts.search.state import path
from langchain_tts.strategies import STRATEGIES
from langchain_tts.strategies.run import solve
from tests.unit_tests.counting import counting_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.graph.state import CompiledStateGraph

QUESTION = "What is 6*7?"
SOLUTION = "step 1\n\nstep 2\n\nAnswer: \\boxed{42}"

Report = dict[str, Any]


class Listener(BaseCallbackHandler):
    """Keeps the progress of searches."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.runs: list[str] = []
        self.chat_model: str | None = None
        self.tags: list[str] = []

    def on_chat_model_start(self, *_args: Any, run_id: Any, **_: Any) -> None:
        self.chat_model = str(run_id)

    def on_custom_event(
        self, name: str, data: Any, *, run_id: Any, tags: Any = None, **_: Any
    ) -> None:
        assert name == EVENT
        self.reports.append(data)
        self.runs.append(str(run_id))
        self.tags = tags


class AsyncListener(AsyncCallbackHandler):
    """Keeps the progress of searches."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    async def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        assert name == EVENT
        await asyncio.sleep(0)
        self.reports.append(data)


class Deaf(BaseCallbackHandler):
    """Takes no custom events."""

    @property
    def ignore_custom_event(self) -> bool:
        return True

    def on_custom_event(self, *_args: Any, **_kwargs: Any) -> None:
        pytest.fail("it said that it would not listen")


def _invoke(model: Any, value: Any, config: Any) -> None:
    model.invoke(value, config)


def _ainvoke(model: Any, value: Any, config: Any) -> None:
    asyncio.run(model.ainvoke(value, config))


def _stream(model: Any, value: Any, config: Any) -> None:
    list(model.stream(value, config))


def _astream(model: Any, value: Any, config: Any) -> None:
    async def consume() -> None:
        async for _ in model.astream(value, config):
            pass

    asyncio.run(consume())


every_way = pytest.mark.parametrize("call", [_invoke, _ainvoke, _stream, _astream])


@every_way
def test_a_handler_is_told_of_every_superstep(
    call: Callable[[Any, Any, Any], None],
) -> None:
    listener = Listener()
    call(counting_model(), QUESTION, {"callbacks": [listener], "tags": ["mine"]})
    nodes = ["propose", "score", "select"]
    assert [r["node"] for r in listener.reports] == [*nodes * 3, "aggregate"]
    assert [r["round"] for r in listener.reports] == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    certain = [r["certain"] for r in listener.reports]
    assert certain[0] == "step 1"
    assert certain[3] == "step 1\n\nstep 2"
    assert certain[-1] == SOLUTION
    stops = [r["stop_reason"] for r in listener.reports]
    assert stops == [None] * 9 + ["finished"]
    assert {r["strategy"] for r in listener.reports} == {"beam_search"}
    assert set(listener.runs) == {listener.chat_model}
    assert {r["run_id"] for r in listener.reports} == {listener.chat_model}
    assert listener.tags == ["mine"]


def test_a_report_is_plain_json_with_all_that_was_spent_so_far() -> None:
    listener = Listener()
    counting_model().invoke(QUESTION, {"callbacks": [listener]})
    assert json.loads(json.dumps(listener.reports)) == listener.reports
    assert {frozenset(r) for r in listener.reports} == {
        frozenset(
            {
                "type",
                "run_id",
                "strategy",
                "node",
                "round",
                "candidates",
                "certain",
                "spent",
                "budget",
                "stop_reason",
            }
        )
    }
    first = listener.reports[0]
    assert first["type"] == "tts_progress"
    assert first["spent"]["generated_tokens"] == 16
    assert first["budget"]["samples"] == 8
    assert listener.reports[-1]["spent"]["generated_tokens"] == 48
    assert first["candidates"][0] == {
        "id": 0,
        "parent": None,
        "text": "step 1",
        "score": None,
        "status": "active",
    }


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_reports_add_up_to_the_whole_tree(strategy: str) -> None:
    model = counting_model(strategy=strategy)
    listener = Listener()
    model.invoke(QUESTION, {"callbacks": [listener]})
    known = {c["id"]: c for r in listener.reports for c in r["candidates"]}
    result = solve(
        [{"role": "user", "content": QUESTION}],
        context=model.search_context(),
        strategy=strategy,
        seed=1,
    )
    fields = ("id", "parent", "text", "score", "status")
    assert [known[i] for i in range(len(known))] == [
        {field: candidate[field] for field in fields}  # type: ignore[literal-required]
        for candidate in result["tree"]
    ]
    winner = result["candidates"][0]["id"]
    steps = [step["id"] for step in path(result["tree"], winner)]
    assert "\n\n".join(known[i]["text"] for i in steps) == result["text"]


@every_way
@pytest.mark.parametrize("callbacks", [[], [Deaf()], [BaseCallbackHandler()]])
def test_nobody_who_listens_costs_nothing(
    call: Callable[[Any, Any, Any], None],
    callbacks: list[BaseCallbackHandler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        pytest.fail("the search was watched, but nobody listens")

    monkeypatch.setattr(watching, "watch", refuse)
    monkeypatch.setattr(watching, "awatch", refuse)
    # Of this strategy nothing is certain before the end, so a stream needs no watching.
    model = counting_model(strategy="mcts")
    call(model, QUESTION, {"callbacks": callbacks})
    if call in (_invoke, _ainvoke):
        call(counting_model(), QUESTION, {"callbacks": callbacks})
        call(_graph(counting_model()), _asked(), {"callbacks": callbacks})


async def test_async_handlers_and_event_streams_are_told() -> None:
    listener = AsyncListener()
    await counting_model().ainvoke(QUESTION, {"callbacks": [listener]})
    assert len(listener.reports) == 10
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    chain = prompt | counting_model() | StrOutputParser()
    events = [event async for event in chain.astream_events({"question": QUESTION})]
    told = [event for event in events if event["event"] == "on_custom_event"]
    assert [event["name"] for event in told] == [EVENT] * 10
    [start] = [event for event in events if event["event"] == "on_chat_model_start"]
    assert {event["run_id"] for event in told} == {start["run_id"]}
    kinds = [e["event"] for e in events]
    assert kinds.index("on_custom_event") < kinds.index("on_chat_model_stream")


def test_a_listener_that_fails_does_not_end_the_search(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(BaseCallbackHandler):
        def on_custom_event(self, *_args: Any, **_kwargs: Any) -> None:
            msg = "no more, please"
            raise ValueError(msg)

    with caplog.at_level(logging.WARNING):
        message = counting_model().invoke(QUESTION, {"callbacks": [Failing()]})
    assert message.text == SOLUTION
    assert "no more, please" in caplog.text

    class Strict(Failing):
        raise_error = True

    with pytest.raises(ValueError, match="no more, please"):
        counting_model().invoke(QUESTION, {"callbacks": [Strict()]})


# Graphs around the model


def _asked() -> dict[str, Any]:
    return {"messages": [HumanMessage(QUESTION)]}


def _graph(model: TTSChatModel) -> CompiledStateGraph[Any, Any, Any, Any]:
    """An application's own graph."""

    def answer(state: MessagesState, config: Any) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"], config)]}

    async def aanswer(state: MessagesState, config: Any) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    from langchain_core.runnables import RunnableLambda

    graph = StateGraph(MessagesState)
    graph.add_node("answer", RunnableLambda(answer, afunc=aanswer))
    return graph.add_edge(START, "answer").add_edge("answer", END).compile()


def _agent(model: TTSChatModel) -> CompiledStateGraph[Any, Any, Any, Any]:
    return create_agent(model, tools=[])


def _streaming_graph(model: TTSChatModel) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A graph that streams its model."""

    def answer(state: MessagesState) -> dict[str, Any]:
        *_, last = model.stream(state["messages"])
        return {"messages": [last]}

    graph = StateGraph(MessagesState).add_node("answer", answer)
    return graph.add_edge(START, "answer").add_edge("answer", END).compile()


@pytest.mark.parametrize("subgraphs", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("make", [_graph, _agent, _streaming_graph])
def test_a_graph_that_streams_custom_data_is_told(
    make: Callable[[TTSChatModel], Any], *, asynchronous: bool, subgraphs: bool
) -> None:
    graph = make(counting_model())
    options: Any = {"stream_mode": "custom", "subgraphs": subgraphs}

    async def consume() -> list[Any]:
        return [part async for part in graph.astream(_asked(), **options)]

    if asynchronous and make is not _streaming_graph:
        parts = asyncio.run(consume())
    else:
        parts = list(graph.stream(_asked(), **options))
    if subgraphs:
        assert {namespace for namespace, _ in parts} == {()}
        parts = [part for _, part in parts]
    assert len(parts) == 10
    assert {part["type"] for part in parts} == {EVENT}
    assert parts[-1]["certain"] == SOLUTION
    assert len({part["run_id"] for part in parts}) == 1


def test_a_graph_that_streams_nothing_custom_is_not_written_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refuse = partial(pytest.fail, "the search was watched, but nobody listens")
    monkeypatch.setattr(watching, "watch", refuse)
    agent: Any = _agent(counting_model())
    for mode in ("values", "updates"):
        assert list(agent.stream(_asked(), stream_mode=mode))


def test_calls_at_once_can_be_told_apart() -> None:
    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": counting_model().batch([state["messages"]] * 3)}

    graph = StateGraph(MessagesState).add_node("answer", answer)
    compiled: Any = graph.add_edge(START, "answer").add_edge("answer", END).compile()
    parts = list(compiled.stream(_asked(), stream_mode="custom"))
    runs = {part["run_id"] for part in parts}
    assert len(runs) == 3
    for run in runs:
        assert len([part for part in parts if part["run_id"] == run]) == 10
