from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessageChunk

from langchain_tts._chat.tools import TurnKeywords, with_tools
from langchain_tts._chat.turn_messages import call_chunks, turn_message
from langchain_tts.search.state import Message, ToolCall
from langchain_tts.search.turn_check import turn_check
from langchain_tts.search.turns import InvalidCall, tools_of, write_turn

TOOL = {
    "name": "add",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
    },
}


def _message(text: str, **keywords: Any) -> Any:
    tools, rule = TurnKeywords(tools=[TOOL], **keywords).read("whole", [])
    assert rule is not None
    question = [Message(role="user", content="1+1?")]
    offered = tools_of(with_tools(question, tools))
    return turn_message(text, turn_check(offered, rule))


def _call(**arguments: Any) -> ToolCall:
    return ToolCall(name="add", arguments=arguments)


def _merged(message: Any) -> AIMessageChunk:
    """What is left of a message in a stream: each call as a chunk, and an end."""
    parts = [
        AIMessageChunk(content="", tool_call_chunks=[chunk])
        for chunk in call_chunks(message)
    ]
    return sum(parts, start=AIMessageChunk(content=message.content))


def test_calls_get_ids_of_their_own() -> None:
    message = _message(write_turn("I add.", [_call(a=1), _call(a=1)]))
    assert message.content == "I add."
    assert [call["args"] for call in message.tool_calls] == [{"a": 1}] * 2
    first, second = (call["id"] for call in message.tool_calls)
    assert first != second
    assert all(len(one) == 9 and one.isalnum() for one in (first, second))
    assert message.invalid_tool_calls == []


def test_calls_are_the_same_in_a_stream() -> None:
    message = _message(write_turn("Ich füge hinzu", [_call(a=1), _call(a=2)]))
    merged = _merged(message)
    assert merged.tool_calls == message.tool_calls
    assert merged.content == message.content
    assert merged.invalid_tool_calls == []


def test_a_turn_that_cannot_be_used_makes_no_calls() -> None:
    broken = InvalidCall('{"name": "add", 3', "")
    text = write_turn(
        "", [_call(a=1), _call(a="x"), ToolCall(name="sub", arguments={}), broken]
    )
    message = _message(text)
    assert message.tool_calls == []
    fine, wrong, unknown, unreadable = message.invalid_tool_calls
    assert (fine["name"], fine["args"]) == ("add", '{"a": 1}')
    assert "argument 'a' must be a whole number" in wrong["error"]
    assert wrong["args"] == '{"a": "x"}'
    assert "there is no tool 'sub'" in unknown["error"]
    assert unreadable["args"] == broken.text
    assert "the call is no JSON" in unreadable["error"]
    # The first one is fine, but the turn is not.
    assert unreadable["error"] in fine["error"]


def test_an_invalid_call_stays_invalid_in_a_stream() -> None:
    broken = InvalidCall('{"name": "add"', "")
    message = _message(write_turn("", [_call(a="x"), broken]))
    merged = _merged(message)
    assert merged.tool_calls == []
    calls = zip(merged.invalid_tool_calls, message.invalid_tool_calls, strict=True)
    for streamed, call in calls:
        assert streamed["id"] == call["id"]
        assert streamed["args"] == f"invalid ({call['error']}): {call['args']}"


def test_calls_that_the_rule_forbids_are_not_made() -> None:
    two = write_turn("", [_call(a=1), _call(a=2)])
    message = _message(two, parallel_tool_calls=False)
    assert message.tool_calls == []
    assert len(message.invalid_tool_calls) == 2
    schema = {"type": "object"}
    message = _message(two, tool_choice="none", response_format=schema)
    assert message.tool_calls == []


def test_an_answer_by_a_schema_is_its_json_alone() -> None:
    schema = {"type": "object", "required": ["b"]}
    text = '```json\n{"b": 1}\n```'
    assert _message(text, response_format=schema).content == '{"b": 1}'
