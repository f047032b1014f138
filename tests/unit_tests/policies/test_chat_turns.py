"""Turns of LangChain chat models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.runnables import Runnable

from langchain_tts.policies.chat import ChatModelPolicy
from langchain_tts.search.state import Message
from langchain_tts.search.turns import TurnRule, read_turn
from tests.unit_tests.chat_models import Answer, ScriptedChat, said
from tests.unit_tests.tiny_models import request
from tests.unit_tests.tiny_tools import chat, rule, tool, turn_request

SCHEMA = {
    "title": "Point",
    "description": "A point.",
    "type": "object",
    "properties": {"x": {"type": "integer"}},
}
ANSWER = {
    "type": "function",
    "function": {"name": "answer", "description": "A point.", "parameters": SCHEMA},
}
TIMES = {
    "name": "calculator",
    "args": {"expression": "12*7"},
    "id": "1",
    "type": "tool_call",
}
HERMES = (
    '<tool_call>\n{"name": "calculator", "arguments": {"expression": "12*7"}}\n'
    "</tool_call>"
)
POINT = {"name": "answer", "args": {"x": 1}, "id": "2", "type": "tool_call"}


def scripted(answer: Answer, **settings: Any) -> ScriptedChat:
    return ScriptedChat(script=lambda _m, _s: answer, **settings)


def turn_of(answer: Answer, **changes: Any) -> Any:
    """The only sample of a request, and what came with it."""
    [generation] = ChatModelPolicy(scripted(answer)).invoke(
        [turn_request(seeds=[0], **changes)]
    )
    (sample,) = generation["samples"]
    return sample, generation


def text_of(answer: Answer, **changes: Any) -> str:
    sample, _ = turn_of(answer, **changes)
    assert sample["finish_reason"] == "stop"
    (step,) = sample["steps"]
    assert (step["token_ids"], step["logprob"]) == ([], 0.0)
    return str(step["text"])


def bound(turn: TurnRule, messages: list[Message], **settings: Any) -> Any:
    """The tools that a model was given, how, and the settings of the call."""
    model = scripted(said("1"), **settings)
    wanted = turn_request(seeds=[3], turn=turn, messages=messages)
    ChatModelPolicy(model).invoke([wanted])
    ((_, call),) = model.record.calls
    call = {name: call[name] for name in call if name != "tools"}
    return model.record.bound, call


def test_whoever_has_bind_tools_takes_turns() -> None:
    assert ChatModelPolicy(scripted(said("1"))).takes_turns
    assert not ChatModelPolicy(FakeListChatModel(responses=["1"])).takes_turns


@pytest.mark.parametrize(
    ("choice", "options"),
    [
        ("auto", {}),
        ("any", {"tool_choice": "any"}),
        ("calculator", {"tool_choice": "calculator"}),
    ],
)
def test_tools_are_bound_once_a_request(choice: str, options: dict[str, Any]) -> None:
    given, _ = bound(rule(choice), chat())
    assert given == [([tool()], options)]


def test_where_no_tool_may_be_called_none_is_bound() -> None:
    assert bound(rule("none"), chat())[0] == []


def test_a_model_that_knows_of_parallel_calls_is_told() -> None:
    class Parallel(ScriptedChat):
        def bind_tools(
            self,
            tools: Sequence[Any],
            *,
            tool_choice: str | None = None,
            parallel_tool_calls: bool | None = None,
            **kwargs: Any,
        ) -> Runnable[Any, AIMessage]:
            return super().bind_tools(tools, parallel=parallel_tool_calls)

    for parallel, told in ((True, None), (False, False)):
        model = Parallel(script=lambda _m, _s: said("1"))
        turn = rule(parallel=parallel)
        ChatModelPolicy(model).invoke([turn_request(seeds=[0], turn=turn)])
        assert model.record.bound == [([tool()], {"parallel": told})]
    # The other has no such argument.
    assert bound(rule(parallel=False), chat())[0] == [([tool()], {})]


def test_each_call_has_the_tools_and_the_settings_of_the_request() -> None:
    model = scripted(said("", tool_calls=[TIMES], usage=(10, 4, 7)))
    wanted = turn_request(seeds=[3, 4], temperature=0.5, max_tokens=9)
    [generation] = ChatModelPolicy(model).invoke([wanted])
    assert len(model.record.bound) == 1
    for messages, settings in model.record.calls:
        assert settings.pop("seed") in {3, 4}
        assert settings == {"temperature": 0.5, "max_tokens": 9, "tools": [tool()]}
        assert [type(message) for message in messages] == [HumanMessage]
    assert generation["prompt_tokens"] == 2 * 6
    assert generation["generated_tokens"] == 2 * 7


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (said("It is\n\n84. "), "It is\n\n84."),
        (said("", tool_calls=[TIMES]), HERMES),
        (said("I see.", tool_calls=[TIMES, TIMES]), f"I see.\n{HERMES}\n{HERMES}"),
        (
            said([{"type": "text", "text": "I see."}], tool_calls=[TIMES]),
            f"I see.\n{HERMES}",
        ),
        (
            said("", tool_calls=[TIMES], response_metadata={"stop_reason": "tool_use"}),
            HERMES,
        ),
    ],
)
def test_a_message_is_one_step_in_hermes_form(message: AIMessage, text: str) -> None:
    assert text_of(message) == text


def test_calls_that_langchain_cannot_read_are_invalid() -> None:
    broken = invalid_tool_call(name="calculator", args='{"x": ', id="7", error="cut")
    nothing = invalid_tool_call(name=None, args=None, id=None, error=None)
    message = said("", tool_calls=[TIMES], invalid_tool_calls=[broken, nothing])
    turn = read_turn(text_of(message))
    assert [call["name"] for call in turn.calls] == ["calculator"]
    assert [call.text for call in turn.invalid] == [
        '{"name": "calculator", "arguments": {"x": }',
        '{"name": "", "arguments": }',
    ]


def test_a_turn_that_was_cut_is_cut() -> None:
    told = {"finish_reason": "length"}
    sample, _ = turn_of(said("I", tool_calls=[TIMES], response_metadata=told))
    assert sample["finish_reason"] == "length"
    assert sample["steps"][0]["text"] == f"I\n{HERMES}"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (said(" "), "without any text or tool call"),
        (said("", additional_kwargs={"refusal": "no"}, tool_calls=[TIMES]), "refused"),
    ],
)
def test_what_is_no_turn_has_failed(answer: Answer, problem: str) -> None:
    sample, generation = turn_of(answer)
    assert sample == {"steps": [], "finish_reason": "failed"}
    assert problem in generation["problem"]


def test_a_schema_is_a_response_format_where_the_profile_says_so() -> None:
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
    native = {"profile": {"structured_output": True}}
    question = request()["messages"]
    given, call = bound(rule("none", schema=SCHEMA), question, **native)
    assert (given, call["response_format"]) == ([], wanted)
    given, call = bound(rule("auto", schema=SCHEMA), chat(), **native)
    assert (given, call["response_format"]) == ([([tool()], {})], wanted)
    # What has to be a call is no answer by a schema.
    given, call = bound(rule("any", schema=SCHEMA), chat(), **native)
    assert "response_format" not in call


@pytest.mark.parametrize(
    ("choice", "messages", "tools", "asked"),
    [
        ("none", request()["messages"], [ANSWER], "answer"),
        ("none", chat(), [ANSWER], "answer"),
        ("auto", chat(), [tool(), ANSWER], "any"),
        ("any", chat(), [tool()], "any"),
        ("calculator", chat(), [tool()], "calculator"),
    ],
)
def test_else_a_schema_is_a_tool_that_has_to_be_called(
    choice: str, messages: Any, tools: list[Any], asked: str
) -> None:
    given, _ = bound(rule(choice, schema=SCHEMA), messages)
    assert given == [(tools, {"tool_choice": asked})]


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ([POINT], '{"x": 1}'),
        ([POINT, {**POINT, "args": {"x": 2}}], '{"x": 1}'),
        ([POINT, TIMES], HERMES),
        ([TIMES], HERMES),
    ],
)
def test_what_that_tool_is_given_is_the_answer(calls: list[Any], text: str) -> None:
    message = said("", tool_calls=calls)
    assert text_of(message, turn=rule(schema=SCHEMA)) == text


def test_the_answers_tool_gets_a_name_that_no_other_has() -> None:
    messages = chat("1", tool("answer"))
    ((tools, _),), _ = bound(rule(schema=SCHEMA), messages)
    assert [one["function"]["name"] for one in tools] == ["answer", "answer_"]
    # A call of the user's own tool is a call.
    message = said("", tool_calls=[POINT])
    text = text_of(message, turn=rule(schema=SCHEMA), messages=messages)
    assert read_turn(text).calls == [{"name": "answer", "arguments": {"x": 1}}]


def test_a_history_of_tools_becomes_langchains() -> None:
    history: Any = [
        {"role": "system", "content": "Be brief.", "tools": [tool()]},
        {"role": "user", "content": "12*7="},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"name": "calculator", "arguments": {"expression": "12*7"}, "id": "1"},
                {"name": "now", "arguments": {}},
            ],
        },
        {"role": "tool", "content": "84", "tool_call_id": "1"},
    ]
    model = scripted(said("84"))
    ChatModelPolicy(model).invoke([turn_request(seeds=[0], messages=history)])
    ((messages, _),) = model.record.calls
    now = {"name": "now", "args": {}, "id": "call_2_1", "type": "tool_call"}
    assert messages == [
        SystemMessage("Be brief."),
        HumanMessage("12*7="),
        AIMessage("", tool_calls=[TIMES, now]),
        ToolMessage("84", tool_call_id="1"),
    ]


def test_what_is_not_reported_is_charged_with_the_tools_and_the_calls() -> None:
    policy = ChatModelPolicy(scripted(said("", tool_calls=[TIMES])))
    wanted = turn_request(seeds=[0], max_tokens=1000)
    [generation] = policy.invoke([wanted])
    assert generation["generated_tokens"] == len(HERMES)
    # A token a byte, and 16 for each message and each tool.
    written = (
        '{"type": "function", "function": {"name": "calculator", "description": '
        '"What it does.", "parameters": {"type": "object", "properties": '
        '{"expression": {"type": "string"}}, "required": ["expression"]}}}'
    )
    assert generation["prompt_tokens"] == 3 * 16 + len("12+34=") + len(written)


def test_a_call_that_raises_loses_its_turn_only() -> None:
    def script(_messages: Any, settings: dict[str, Any]) -> Answer:
        return (
            OSError("gone") if settings["seed"] == 1 else said("", tool_calls=[TIMES])
        )

    policy = ChatModelPolicy(ScriptedChat(script=script))
    [generation] = policy.invoke([turn_request(seeds=[1, 2])])
    reasons = [sample["finish_reason"] for sample in generation["samples"]]
    assert reasons == ["failed", "stop"]
    assert generation["problem"] == "OSError: gone"
