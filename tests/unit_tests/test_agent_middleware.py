"""Middleware, checkpoints and people around an agent whose model searches."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    wrap_model_call,
)
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command

from langchain_tts.policies.base import Generation
from langchain_tts.strategies._calls import PolicyFailedError
from tests.unit_tests.agents import (
    ASK,
    TOOLS,
    agent_with,
    calling,
    kinds,
    model,
    mostly,
    multiplies,
    policy,
    results,
    tool_messages,
    tts,
)
from tests.unit_tests.scripted import ScriptedPolicy

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
Where = Literal["memory", "sqlite"]


@contextmanager
def _saver(where: Where, folder: Path) -> Iterator[BaseCheckpointSaver[Any]]:
    if where == "memory":
        yield InMemorySaver()
        return
    with SqliteSaver.from_conn_string(str(folder / "saved.sqlite")) as saver:
        yield saver


class Failing(ScriptedPolicy):
    """Fails so many times before it answers."""

    def __init__(self, times: int) -> None:
        super().__init__(policy(multiplies).script)
        self.times = times

    def submit(self, requests: Any) -> Future[list[Generation]]:
        if self.times:
            self.times -= 1
            future: Future[list[Generation]] = Future()
            future.set_exception(RuntimeError("out of memory"))
            return future
        return super().submit(requests)


def test_middleware_may_set_the_budget_of_a_call() -> None:
    @wrap_model_call
    def thrifty(request: Any, handler: Any) -> Any:
        answered = any(message.type == "tool" for message in request.messages)
        settings = {"budget": 1 if answered else 6}
        return handler(request.override(model_settings=settings))

    agent = agent_with(model(), TOOLS, middleware=[thrifty])
    messages = agent.invoke(ASK)["messages"]
    searches = [tts(message) for message in messages if message.type == "ai"]
    assert [search["budget"]["samples"] for search in searches] == [6, 1]


def test_middleware_may_change_the_model() -> None:
    other = model(lambda _messages, _place: "From the other.")

    @wrap_model_call
    def changed(request: Any, handler: Any) -> Any:
        return handler(request.override(model=other))

    agent = agent_with(model(), TOOLS, middleware=[changed])
    assert agent.invoke(ASK)["messages"][-1].text == "From the other."


def test_a_retry_asks_again_after_a_search_gave_up() -> None:
    lost = Failing(1)
    with pytest.raises(PolicyFailedError, match="out of memory"):
        agent_with(model(lost, max_retries=0), TOOLS).invoke(ASK)
    once = Failing(1)
    retry = ModelRetryMiddleware(max_retries=1, initial_delay=0.0, on_failure="error")
    agent = agent_with(model(once, max_retries=0), TOOLS, middleware=[retry])
    assert agent.invoke(ASK)["messages"][-1].text == "It is 42."


def test_a_fallback_model_takes_over() -> None:
    fallback = ModelFallbackMiddleware(model())
    agent = agent_with(model(Failing(1), max_retries=0), TOOLS, middleware=[fallback])
    assert agent.invoke(ASK)["messages"][-1].text == "It is 42."


def test_a_search_counts_as_one_model_call() -> None:
    limit: Any = ModelCallLimitMiddleware(run_limit=2, exit_behavior="error")
    agent = agent_with(model(), TOOLS, middleware=[limit])
    assert agent.invoke(ASK)["messages"][-1].text == "It is 42."
    limit = ModelCallLimitMiddleware(run_limit=1, exit_behavior="end")
    agent = agent_with(model(), TOOLS, middleware=[limit])
    assert "limit" in agent.invoke(ASK)["messages"][-1].text


def test_a_summary_is_due_at_a_share_of_the_policys_window() -> None:
    # The profile tells how much the policy can read: half of it is used up.
    def turns(messages: Any, _place: int) -> str:
        last = messages[-1]["content"]
        if "summar" in last.lower() and last != "And now?":
            return "They counted."
        return f"There are {len(messages)} messages."

    reader = policy(turns)
    reader.context_window = 2000
    searching = model(reader)
    middleware: Any = SummarizationMiddleware(
        searching, trigger=("fraction", 0.5), keep=("messages", 1)
    )
    agent = agent_with(searching, [], middleware=[middleware])
    long = [HumanMessage("count " * 700), HumanMessage("And now?")]
    messages = agent.invoke({"messages": long})["messages"]
    assert "They counted." in messages[0].text
    assert [m.text for m in messages[1:2]] == ["And now?"]
    short = agent.invoke({"messages": [HumanMessage("count"), long[1]]})["messages"]
    assert kinds(short) == ["human", "human", "ai"]


def _asks_first(saver: BaseCheckpointSaver[Any]) -> Any:
    people: Any = HumanInTheLoopMiddleware(interrupt_on={"multiply": True})
    searching = model(mostly(multiplies, "It is 41."))
    return agent_with(searching, TOOLS, middleware=[people], checkpointer=saver)


DECISIONS: dict[str, tuple[dict[str, Any], str]] = {
    "approve": ({"type": "approve"}, "42"),
    "edit": (
        {
            "type": "edit",
            "edited_action": {"name": "multiply", "args": {"a": 6, "b": 8}},
        },
        "48",
    ),
    "reject": ({"type": "reject", "message": "not today"}, "not today"),
}


@pytest.mark.parametrize("where", ["memory", "sqlite"])
@pytest.mark.parametrize("decision", DECISIONS)
def test_a_person_decides_about_a_call(
    decision: str, where: Where, tmp_path: Path
) -> None:
    decided, result = DECISIONS[decision]
    with _saver(where, tmp_path) as saver:
        waiting = _asks_first(saver).invoke(ASK, THREAD)
        (interrupt,) = waiting["__interrupt__"]
        (action,) = interrupt.value["action_requests"]
        assert (action["name"], action["args"]) == ("multiply", {"a": 6, "b": 7})
        assert not tool_messages(waiting["messages"])
        # By another agent: nothing but the checkpoint knows what was asked.
        resume: Any = Command(resume={"decisions": [decided]})
        messages = _asks_first(saver).invoke(resume, THREAD)["messages"]
    # The middleware says more about it than the tool does.
    assert result in tool_messages(messages)[0].text
    assert result in messages[-1].text


@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_a_conversation_goes_on_in_its_thread(where: Where, tmp_path: Path) -> None:
    def turns(messages: Any, _place: int) -> str:
        return f"Question {sum(m['role'] == 'user' for m in messages)}."

    with _saver(where, tmp_path) as saver:
        agent = agent_with(model(turns), TOOLS, checkpointer=saver)
        agent.invoke(ASK, THREAD)
        messages = agent.invoke(ASK, THREAD)["messages"]
        assert [m.text for m in messages[1::2]] == ["Question 1.", "Question 2."]
        other: RunnableConfig = {"configurable": {"thread_id": "2"}}
        assert agent.invoke(ASK, other)["messages"][-1].text == "Question 1."


def _saved_bytes(budget: int, folder: Path) -> int:
    """What a conversation of an agent takes in its file."""
    folder.mkdir()
    with _saver("sqlite", folder) as saver:
        searching = model(mostly(multiplies, "It is 41."), budget=budget)
        agent_with(searching, TOOLS, checkpointer=saver).invoke(ASK, THREAD)
        spaces = {
            saved.config["configurable"]["checkpoint_ns"] for saved in saver.list(None)
        }
    assert spaces == {""}
    file = sqlite3.connect(folder / "saved.sqlite")
    (checkpoints,) = file.execute("select sum(length(checkpoint)) from checkpoints")
    (writes,) = file.execute("select sum(length(value)) from writes")
    file.close()
    total: int = checkpoints[0] + writes[0]
    return total


def test_a_checkpoint_does_not_grow_with_the_search(tmp_path: Path) -> None:
    small = _saved_bytes(8, tmp_path / "small")
    large = _saved_bytes(256, tmp_path / "large")
    # Numbers of more digits, and no candidates.
    assert large < 1.05 * small
    assert large < 40_000


def test_a_resumed_agent_does_not_search_again(tmp_path: Path) -> None:
    asked = policy(multiplies)
    people: Any = HumanInTheLoopMiddleware(interrupt_on={"multiply": True})
    with _saver("sqlite", tmp_path) as saver:
        agent = agent_with(model(asked), TOOLS, middleware=[people], checkpointer=saver)
        agent.invoke(ASK, THREAD)
        before = len(asked.requests)
        agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
    # The first turn's search was saved with its message: only the answer is new.
    assert len(asked.requests) - before == before


def test_several_tools_wait_for_one_decision_each() -> None:
    people: Any = HumanInTheLoopMiddleware(
        interrupt_on={"multiply": True, "add": False}
    )

    def turns(messages: Any, _place: int) -> str:
        said = results(messages)
        if said:
            return f"It is {' and '.join(said)}."
        return "\n".join([calling("multiply", a=6, b=7), calling("add", a=6, b=7)])

    agent = agent_with(
        model(turns), TOOLS, middleware=[people], checkpointer=InMemorySaver()
    )
    waiting = agent.invoke(ASK, THREAD)
    assert len(waiting["__interrupt__"][0].value["action_requests"]) == 1
    resume: Any = Command(resume={"decisions": [{"type": "approve"}]})
    assert agent.invoke(resume, THREAD)["messages"][-1].text == "It is 42 and 13."
