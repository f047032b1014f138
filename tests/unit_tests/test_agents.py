"""LangChain's agents with a model that searches for each of its turns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from langchain.agents.structured_output import (
    AutoStrategy,
    ProviderStrategy,
    ToolStrategy,
)
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call
from langchain_core.runnables import ConfigurableField
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from langchain_tts.search.state import Message, ToolCall
from langchain_tts.search.turns import write_turn
from tests.unit_tests.agents import (
    ASK,
    QUESTION,
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

Call = Literal["invoke", "ainvoke"]
ADDED = tool_call(name="add", args={"a": 1, "b": 2}, id="c")


class Answer(BaseModel):
    """The answer."""

    number: int


def _run(agent: Any, call: Call = "invoke", config: Any = None) -> Any:
    if call == "ainvoke":
        return asyncio.run(agent.ainvoke(ASK, config))
    return agent.invoke(ASK, config)


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
def test_the_agent_calls_a_tool_and_answers(call: Call) -> None:
    messages = _run(agent_with(model(), TOOLS), call)["messages"]
    assert kinds(messages) == ["human", "ai", "tool", "ai"]
    (asked,) = messages[1].tool_calls
    assert (asked["name"], asked["args"]) == ("multiply", {"a": 6, "b": 7})
    assert (messages[2].content, messages[2].tool_call_id) == ("42", asked["id"])
    assert messages[3].text == "It is 42."


def test_the_policy_sees_tools_calls_and_results_apart() -> None:
    watched = policy(multiplies)
    agent = agent_with(model(watched), TOOLS, system_prompt="Use tools.")
    called = _run(agent)["messages"][1].tool_calls[0]
    system, *rest = watched.requests[-1]["messages"]
    assert (system["role"], system["content"]) == ("system", "Use tools.")
    names = [offered["function"]["name"] for offered in system["tools"]]
    assert names == ["multiply", "add", "divide"]
    assert rest == [
        {"role": "user", "content": QUESTION},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "name": "multiply",
                    "arguments": {"a": 6, "b": 7},
                    "id": called["id"],
                }
            ],
        },
        {"role": "tool", "content": "42", "tool_call_id": called["id"]},
    ]


def test_calls_of_one_turn_are_all_made() -> None:
    def turns(messages: Any, _place: int) -> str:
        if said := results(messages):
            return f"They are {' and '.join(said)}."
        return write_turn(
            "Two at once.",
            [
                ToolCall(name="multiply", arguments={"a": 6, "b": 7}),
                ToolCall(name="add", arguments={"a": 6, "b": 7}),
            ],
        )

    messages = _run(agent_with(model(turns), TOOLS))["messages"]
    assert messages[1].text == "Two at once."
    assert len({call["id"] for call in messages[1].tool_calls}) == 2
    assert [m.content for m in tool_messages(messages)] == ["42", "13"]
    assert messages[-1].text == "They are 42 and 13."


def test_several_turns_until_the_answer() -> None:
    def turns(messages: Any, _place: int) -> str:
        said = results(messages)
        if not said:
            return calling("multiply", a=6, b=7)
        if len(said) == 1:
            return calling("add", a=int(said[0]), b=8)
        return f"It is {said[-1]}."

    messages = _run(agent_with(model(turns), TOOLS))["messages"]
    assert kinds(messages) == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert messages[-1].text == "It is 50."


def test_a_tool_error_reaches_the_policy_which_may_do_better() -> None:
    def turns(messages: Any, _place: int) -> str:
        said = results(messages)
        if not said:
            return calling("divide", a=84, b=0)
        if len(said) == 1:
            return calling("divide", a=84, b=2)
        return f"First {said[0]}, then {said[1]}."

    messages = _run(agent_with(model(turns), TOOLS))["messages"]
    statuses = [m.status for m in tool_messages(messages)]
    assert statuses == ["error", "success"]
    assert messages[-1].text == "First division by zero, then 42.0."


def test_where_no_call_fits_its_tool_the_error_lets_the_model_mend_it() -> None:
    wrong = calling("multiply", a="six", b=7)

    def mends(messages: Sequence[Message], _place: int) -> str:
        return wrong if messages[-1]["role"] == "user" else "It is 42."

    messages = agent_with(model(mends), TOOLS).invoke(ASK)["messages"]
    assert kinds(messages) == ["human", "ai", "tool", "ai"]
    assert "no valid turn" in tts(messages[1])["degradations"][0]
    assert "valid integer" in messages[2].text
    assert messages[3].text == "It is 42."


def test_where_no_call_can_be_read_the_agent_ends_and_says_why() -> None:
    wrong = '<tool_call>\n{"name": "multiply", "arguments": {"a": 6,\n</tool_call>'
    messages = agent_with(model(lambda _messages, _place: wrong), TOOLS).invoke(ASK)[
        "messages"
    ]
    assert kinds(messages) == ["human", "ai"]
    (invalid,) = messages[1].invalid_tool_calls
    assert "no JSON" in invalid["error"]


@pytest.mark.parametrize(
    "wrong",
    [
        calling("multiply", a=6, b=8),
        calling("multiply", a="six", b=7),
        calling("multiply", a=6),
        calling("subtract", a=6, b=7),
        '<tool_call>\n{"name": "multiply", "arguments": {"a": 6,\n</tool_call>',
        "It is 41, I think.",
    ],
    ids=["other", "type", "missing", "unknown", "no JSON", "text"],
)
def test_the_vote_decides_where_candidates_disagree(wrong: str) -> None:
    # The first sample is wrong, and every third one: three of eight.
    turns = mostly(multiplies, wrong)
    messages = agent_with(model(turns), TOOLS).invoke(ASK)["messages"]
    assert [m.content for m in tool_messages(messages)][:1] == ["42"]
    assert not messages[1].invalid_tool_calls


@pytest.mark.parametrize(
    "wrong",
    [
        calling("multiply", a="six", b=7),
        calling("subtract", a=6, b=7),
        '<tool_call>\n{"name": "multiply", "arguments": {"a": 6,\n</tool_call>',
    ],
    ids=["type", "unknown", "no JSON"],
)
def test_a_call_that_cannot_be_made_never_wins_while_another_can(wrong: str) -> None:
    # Seven of eight agree on it.
    def turns(messages: Any, place: int) -> str:
        return wrong if place and not results(messages) else multiplies(messages)

    messages = agent_with(model(turns), TOOLS).invoke(ASK)["messages"]
    assert kinds(messages) == ["human", "ai", "tool", "ai"]
    assert messages[2].content == "42"


def test_a_history_with_results_as_text() -> None:
    watched = policy(lambda _messages, _place: "Still 42.")
    history = [
        HumanMessage(QUESTION),
        AIMessage(
            "", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "c"}]
        ),
        ToolMessage("3", tool_call_id="c", name="add"),
        AIMessage("It is 3."),
        HumanMessage("Sure?"),
    ]
    agent_with(model(watched), TOOLS).invoke({"messages": history})
    asked = watched.requests[0]["messages"][1:]
    call = ToolCall(name="add", arguments={"a": 1, "b": 2}, id="c")
    assert asked == [
        Message(role="user", content=QUESTION),
        Message(role="assistant", content="", tool_calls=[call]),
        Message(role="tool", content="3", tool_call_id="c"),
        Message(role="assistant", content="It is 3."),
        Message(role="user", content="Sure?"),
    ]


def test_a_history_with_content_in_blocks() -> None:
    watched = policy(lambda _messages, _place: "Still 3.")
    used = {"type": "tool_use", "id": "c", "name": "add", "input": {"a": 1, "b": 2}}
    history = [
        HumanMessage([{"type": "text", "text": QUESTION}]),
        AIMessage(
            [{"type": "text", "text": "Adding."}, used],
            tool_calls=[ADDED],
        ),
        ToolMessage([{"type": "text", "text": "3"}], tool_call_id="c", name="add"),
    ]
    agent_with(model(watched), TOOLS).invoke({"messages": history})
    asked = watched.requests[0]["messages"][1:]
    assert [m["content"] for m in asked] == [QUESTION, "Adding.", "3"]
    assert asked[1]["tool_calls"][0]["arguments"] == {"a": 1, "b": 2}


def _answers_in_a_tool(messages: Any, _place: int) -> str:
    said = results(messages)
    return calling("Answer", number=int(said[-1])) if said else multiplies(messages)


def _answers_in_json(messages: Any, _place: int) -> str:
    said = results(messages)
    return json.dumps({"number": int(said[-1])}) if said else multiplies(messages)


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
@pytest.mark.parametrize(
    ("turns", "strategy"),
    [
        (_answers_in_a_tool, ToolStrategy(Answer)),
        (_answers_in_json, ProviderStrategy(Answer)),
        (_answers_in_a_tool, AutoStrategy(Answer)),
        (_answers_in_a_tool, Answer),
    ],
    ids=["tool", "provider", "auto", "schema"],
)
def test_structured_answers(turns: Any, strategy: Any, call: Call) -> None:
    wrong = mostly(turns, "I do not know.")
    agent = agent_with(model(wrong), TOOLS, response_format=strategy)
    assert _run(agent, call)["structured_response"] == Answer(number=42)


@pytest.mark.parametrize("strategy", [AutoStrategy(Answer), Answer])
def test_a_policy_that_keeps_to_a_schema_answers_by_it(strategy: Any) -> None:
    able = model(_answers_in_json, profile={"structured_output": True})
    agent = agent_with(able, TOOLS, response_format=strategy)
    assert agent.invoke(ASK)["structured_response"] == Answer(number=42)


@pytest.mark.parametrize("strategy", [ToolStrategy(Answer), ProviderStrategy(Answer)])
def test_structured_answers_without_tools(strategy: Any) -> None:
    tool = isinstance(strategy, ToolStrategy)

    def turns(_messages: Any, _place: int) -> str:
        return calling("Answer", number=42) if tool else '{"number": 42}'

    wrong = mostly(turns, calling("Answer", number=7) if tool else '{"number": 7}')
    agent = agent_with(model(wrong), [], response_format=strategy)
    assert agent.invoke(ASK)["structured_response"] == Answer(number=42)


def test_a_structured_answer_that_fits_no_schema_is_asked_for_again() -> None:
    def turns(messages: Any, _place: int) -> str:
        return calling("Answer", number=42 if results(messages) else "many")

    agent = agent_with(model(turns), [], response_format=ToolStrategy(Answer))
    assert agent.invoke(ASK)["structured_response"] == Answer(number=42)


def _budgets(messages: Any) -> set[tuple[str, int]]:
    searches = [tts(message) for message in messages if message.type == "ai"]
    return {(s["strategy"], s["budget"]["samples"]) for s in searches}


def test_the_budget_of_an_agent_is_the_models() -> None:
    messages = agent_with(model(budget=4), TOOLS).invoke(ASK)["messages"]
    assert _budgets(messages) == {("majority_vote", 4)}


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
def test_the_budget_may_come_with_the_agents_configuration(call: Call) -> None:
    agent = agent_with(model(), TOOLS)
    config = {"configurable": {"budget": 3, "strategy": "greedy"}}
    messages = _run(agent, call, config)["messages"]
    assert _budgets(messages) == {("greedy", 3)}
    assert _budgets(_run(agent, call)["messages"]) == {("majority_vote", 8)}


@pytest.mark.parametrize("way", ["bind", "with_config", "configurable_fields"])
def test_a_bound_budget_outlives_the_binding_of_tools(way: str) -> None:
    config: Any = None
    chosen: Any = model()
    if way == "bind":
        chosen = chosen.bind(budget=2)
    elif way == "with_config":
        chosen = chosen.with_config(configurable={"budget": 2})
    else:
        # Under its own name: an agent takes the model out of what declares its fields.
        chosen = chosen.configurable_fields(budget=ConfigurableField(id="budget"))
        config = {"configurable": {"budget": 2}}
    messages = _run(agent_with(chosen, TOOLS), config=config)["messages"]
    assert _budgets(messages) == {("majority_vote", 2)}


def test_messages_are_streamed_without_discarded_candidates() -> None:
    agent = agent_with(model(mostly(multiplies, "It is 41.")), TOOLS)
    parts = list(agent.stream(ASK, stream_mode="messages"))
    text = "".join(m.text for m, _ in parts if m.type in {"ai", "AIMessageChunk"})
    assert text == "It is 42."
    assert [m.content for m, _ in parts if m.type == "tool"] == ["42"]


@pytest.mark.parametrize("subgraphs", [False, True])
def test_updates_and_values_are_the_agents(*, subgraphs: bool) -> None:
    agent = agent_with(model(), TOOLS)
    updates = [
        part["data"]
        for part in agent.stream(
            ASK, stream_mode="updates", version="v2", subgraphs=subgraphs
        )
        if not part["ns"]
    ]
    assert [list(update) for update in updates] == [["model"], ["tools"], ["model"]]
    values = list(agent.stream(ASK, stream_mode="values"))
    assert [len(value["messages"]) for value in values] == [1, 2, 3, 4]


@pytest.mark.parametrize("subgraphs", [False, True])
def test_an_agent_inside_a_graph_streams_its_messages_only(*, subgraphs: bool) -> None:
    agent = agent_with(model(mostly(multiplies, "It is 41.")), TOOLS, name="solver")
    graph = StateGraph(MessagesState)
    graph.add_node("solver", agent)
    graph.add_edge(START, "solver").add_edge("solver", END)
    compiled: Any = graph.compile()
    parts = compiled.stream(
        ASK, stream_mode="messages", subgraphs=subgraphs, version="v2"
    )
    messages = [part["data"][0] for part in parts]
    said = [m.text for m in messages if m.type in {"ai", "AIMessageChunk"} and m.text]
    assert not any("41" in text for text in said)
    assert "".join(said) == ("It is 42." if subgraphs else "".join(said))


def test_a_tools_own_progress_is_streamed() -> None:
    def report(a: int) -> str:
        """Reports its progress."""
        get_stream_writer()({"half": a // 2})
        return "done"

    def turns(messages: Any, _place: int) -> str:
        return "Done." if results(messages) else calling("report", a=8)

    agent = agent_with(model(turns), [report])
    assert {"half": 4} in list(agent.stream(ASK, stream_mode="custom"))


async def test_events_of_an_agent_show_one_model_run_a_turn() -> None:
    agent = agent_with(model(), TOOLS)
    events = [event async for event in agent.astream_events(ASK)]
    starts = [event["event"] for event in events if event["event"].endswith("_start")]
    assert starts.count("on_chat_model_start") == 2


async def test_twenty_agents_at_once() -> None:
    asked = [
        {"messages": [HumanMessage(f"What is 6*7? Number {number}.")]}
        for number in range(20)
    ]
    agent = agent_with(model(mostly(multiplies, "It is 41.")), TOOLS)
    states = await agent.abatch(asked)
    assert {state["messages"][-1].text for state in states} == {"It is 42."}
    questions = [state["messages"][0].text for state in states]
    assert questions == [f"What is 6*7? Number {number}." for number in range(20)]
