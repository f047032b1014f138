"""Traces: one tree for each answer, wherever the model is called, and however."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.callbacks.usage import get_usage_metadata_callback
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tracers import BaseTracer
from langchain_core.tracers.context import tracing_v2_enabled

from langchain_tts import TTSChatModel
from tests.unit_tests.counting import counting_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.tracers.schemas import Run

QUESTION = "What is 6*7?"
SOLUTION = "step 1\n\nstep 2\n\nAnswer: \\boxed{42}"


class Recorder(BaseTracer):
    """Keeps every run, and every tree of runs that has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, Run] = {}
        self.trees: list[Run] = []

    def _start_trace(self, run: Run) -> None:
        super()._start_trace(run)
        self.runs[str(run.id)] = run

    def _persist_run(self, run: Run) -> None:
        self.trees.append(run)

    def line(self, run: Run) -> list[str]:
        """The names of the runs that a run is in, the outermost first, and its own."""
        names = [run.name]
        while run.parent_run_id is not None:
            run = self.runs[str(run.parent_run_id)]
            names.insert(0, run.name)
        return names

    def named(self, name: str) -> list[Run]:
        return [run for run in self.runs.values() if run.name == name]


def _invoke(runnable: Runnable[Any, Any], value: Any, config: Any) -> None:
    runnable.invoke(value, config)


def _ainvoke(runnable: Runnable[Any, Any], value: Any, config: Any) -> None:
    asyncio.run(runnable.ainvoke(value, config))


def _stream(runnable: Runnable[Any, Any], value: Any, config: Any) -> None:
    list(runnable.stream(value, config))


def _astream(runnable: Runnable[Any, Any], value: Any, config: Any) -> None:
    async def consume() -> None:
        async for _ in runnable.astream(value, config):
            pass

    asyncio.run(consume())


def _batch(runnable: Runnable[Any, Any], value: Any, config: Any) -> None:
    runnable.batch([value], config)


def _abatch(runnable: Runnable[Any, Any], value: Any, config: Any) -> None:
    asyncio.run(runnable.abatch([value], config))


def _events(runnable: Runnable[Any, Any], value: Any, config: Any) -> None:
    async def consume() -> None:
        async for _ in runnable.astream_events(value, config):
            pass

    asyncio.run(consume())


def _stream_messages(runnable: Any, value: Any, config: Any) -> None:
    if hasattr(runnable, "get_state"):
        list(runnable.stream(value, config, stream_mode=["messages", "custom"]))
    else:
        list(runnable.stream(value, config))


every_way = pytest.mark.parametrize(
    "call",
    [
        _invoke,
        _ainvoke,
        _stream,
        _astream,
        _batch,
        _abatch,
        _events,
        _stream_messages,
    ],
)


def _placed(place: str, model: TTSChatModel) -> tuple[Runnable[Any, Any], Any]:
    """The model in its place, and what that place is asked with."""
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    if place == "alone":
        return model, QUESTION
    if place == "chain":
        return prompt | model | StrOutputParser(), {"question": QUESTION}
    return create_agent(model, tools=[]), {"messages": [HumanMessage(QUESTION)]}


AROUND = {"alone": [], "chain": ["RunnableSequence"], "agent": ["LangGraph", "model"]}
"""The runs that the chat model's is in."""


@every_way
@pytest.mark.parametrize("place", AROUND)
def test_one_answer_is_one_tree_with_every_call_of_a_model_in_it(
    call: Callable[[Runnable[Any, Any], Any, Any], None], place: str
) -> None:
    recorder = Recorder()
    runnable, value = _placed(place, counting_model())
    call(
        runnable,
        value,
        {"callbacks": [recorder], "tags": ["mine"], "metadata": {"user": "ada"}},
    )
    assert len(recorder.trees) == 1
    [chat] = recorder.named("TTSChatModel")
    above = [*AROUND[place], "TTSChatModel"]
    assert recorder.line(chat) == above
    policy, prm = recorder.named("counting"), recorder.named("knowing")
    assert (len(policy), len(prm)) == (3, 3)
    for run, kind, node in [
        *[(run, "llm", "propose") for run in policy],
        *[(run, "tool", "score") for run in prm],
    ]:
        assert run.run_type == kind
        assert recorder.line(run) == [*above, "beam_search", node, run.name]
        assert "mine" in (run.tags or [])
        assert run.metadata["user"] == "ada"
        # What describes the chat model is not said of the models in it.
        assert "ls_model_name" not in run.metadata
        assert run.end_time is not None
        assert run.error is None
    assert chat.metadata["ls_model_name"] == "counting"
    assert [run.name for run in recorder.runs.values() if run.run_type == "llm"] == [
        "TTSChatModel",
        *["counting"] * 3,
    ]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_batch_has_a_tree_for_each_answer(*, asynchronous: bool) -> None:
    recorder = Recorder()
    model: Runnable[Any, Any] = counting_model()
    if asynchronous:
        asyncio.run(model.abatch([QUESTION] * 4, {"callbacks": [recorder]}))
    else:
        model.batch([QUESTION] * 4, {"callbacks": [recorder]})
    assert [tree.name for tree in recorder.trees] == ["TTSChatModel"] * 4
    assert len(recorder.named("counting")) == 12
    for chat in recorder.trees:
        mine = [r for r in recorder.named("counting") if r.trace_id == chat.id]
        assert len(mine) == 3


@every_way
@pytest.mark.parametrize("place", AROUND)
def test_usage_is_counted_once(
    call: Callable[[Runnable[Any, Any], Any, Any], None], place: str
) -> None:
    model = counting_model()
    message = model.invoke(QUESTION)
    handler = UsageMetadataCallbackHandler()
    runnable, value = _placed(place, model)
    with get_usage_metadata_callback() as ambient:
        call(runnable, value, {"callbacks": [handler]})
    assert handler.usage_metadata == {"counting": message.usage_metadata}
    assert ambient.usage_metadata == handler.usage_metadata


@pytest.mark.parametrize("subgraphs", [False, True])
def test_an_agents_messages_are_the_answers_and_no_candidates(
    *, subgraphs: bool
) -> None:
    agent, value = _placed("agent", counting_model())
    assert hasattr(agent, "get_state")
    parts: Any = agent.stream(value, stream_mode="messages", subgraphs=subgraphs)
    messages = [(part[1] if subgraphs else part)[0] for part in parts]
    assert "".join(message.text for message in messages) == SOLUTION
    assert len({message.id for message in messages}) == 1
    assert [bool(message.usage_metadata) for message in messages].count(True) == 1


def test_a_run_that_fails_is_one_tree_that_says_why() -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="empty"):
        counting_model().invoke(" ", {"callbacks": [recorder]})
    [tree] = recorder.trees
    assert "empty" in (tree.error or "")


class FakeLangSmith:
    """Stands in for LangSmith's client: keeps what would be sent."""

    def __init__(self) -> None:
        self.created: dict[str, dict[str, Any]] = {}
        self.updated: dict[str, dict[str, Any]] = {}

    def create_run(self, **run: Any) -> None:
        self.created[str(run["id"])] = run

    def update_run(self, run_id: Any, **run: Any) -> None:
        self.updated[str(run_id)] = run


@pytest.mark.parametrize("call", [_invoke, _ainvoke, _stream, _astream])
@pytest.mark.parametrize("place", AROUND)
def test_langsmith_sees_one_tree(
    call: Callable[[Runnable[Any, Any], Any, Any], None], place: str
) -> None:
    client: Any = FakeLangSmith()
    runnable, value = _placed(place, counting_model())
    with tracing_v2_enabled(project_name="tests", client=client):
        call(runnable, value, None)
    sent = client.created
    roots = [run for run in sent.values() if run.get("parent_run_id") is None]
    assert len(roots) == 1
    assert {run["trace_id"] for run in sent.values()} == {roots[0]["id"]}
    assert set(client.updated) == set(sent)
    chat = [run for run in sent.values() if run["name"] == "TTSChatModel"]
    assert len(chat) == 1
    kinds = {
        name: {run["run_type"] for run in sent.values() if run["name"] == name}
        for name in ("TTSChatModel", "counting", "knowing")
    }
    assert kinds == {"TTSChatModel": {"llm"}, "counting": {"llm"}, "knowing": {"tool"}}
