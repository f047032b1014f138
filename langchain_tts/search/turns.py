"""Turns: what an assistant says when it may call tools, or must answer by a schema.

A turn is text, tool calls, or both. In a search tree it is one step, whose text is
written as Hermes models write it, whatever form an engine gave it in:

    <tool_call>
    {"name": "calculator", "arguments": {"expression": "12*7"}}
    </tool_call>
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from typing_extensions import TypedDict

from langchain_tts.search.json_text import read_json
from langchain_tts.search.state import Message, ToolCall

TurnVote = Literal["whole", "by_name", "by_field"]
"""How structured turns are counted. `whole`: equal as a whole. `by_name`: first the set
of tools that are called, then, among those, their arguments. `by_field`: each field of
an object (or argument of a call) for itself."""

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
# The last one may have been cut, or left open.
_CALL = re.compile(rf"{_OPEN}(.*?){_CLOSE}|{_OPEN}(.*)", re.DOTALL)


class TurnRule(TypedDict):
    """What the assistant's next turn may be, and how turns are voted on."""

    choice: str
    """`auto`; `any`: at least one call; `none`: no call; or the name of the tool that
    is to be called."""
    parallel: bool
    """Whether one turn may make several calls."""
    schema: dict[str, Any] | None
    """JSON schema that a turn without calls has to fit as JSON; None: free text."""
    vote: TurnVote
    ignored: list[str]
    """Arguments (or fields) that do not count in a vote, at any depth: `argument`, or
    `tool.argument` for one tool only."""


class InvalidCall(NamedTuple):
    """A call that cannot be made."""

    text: str
    """What was written."""
    error: str
    """What is wrong with it."""


class Turn(NamedTuple):
    """A turn, read."""

    content: str
    calls: list[ToolCall]
    invalid: list[InvalidCall]


def tools_of(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The tools that a conversation offers, in OpenAI's format."""
    return [tool for message in messages for tool in message.get("tools", ())]


def said(messages: Sequence[Message]) -> list[Message]:
    """A conversation without a system message that only brings the tools."""
    return [one for one in messages if one["content"] or "tools" not in one]


def read_turn(text: str) -> Turn:
    """Take a turn apart; calls that are no JSON object with a name are invalid."""
    calls: list[ToolCall] = []
    invalid: list[InvalidCall] = []
    for found in _CALL.finditer(text):
        written = (found[1] if found[1] is not None else found[2]).strip()
        call = _read_call(written)
        if isinstance(call, InvalidCall):
            invalid.append(call)
        else:
            calls.append(call)
    return Turn(text.partition(_OPEN)[0].strip(), calls, invalid)


def _read_call(written: str) -> ToolCall | InvalidCall:
    try:
        call = read_json(written)
    except ValueError as error:
        return InvalidCall(written, f"the call is no JSON: {error}")
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return InvalidCall(written, 'the call is no JSON object with a "name"')
    arguments = call.get("arguments", {})
    if not isinstance(arguments, dict):
        return InvalidCall(written, 'its "arguments" are no JSON object')
    return ToolCall(name=call["name"], arguments=arguments)


def broken_call(name: str, arguments: str, error: str) -> InvalidCall:
    """A call whose arguments are no JSON object, with these as they came."""
    text = f'{{"name": {json.dumps(name)}, "arguments": {arguments}}}'
    return InvalidCall(text, error)


def call_id(call: ToolCall, place: int, number: int) -> str:
    """What a call's result refers to: its id, or where it stands.

    Args:
        call: The call.
        place: Of its message in the conversation.
        number: Of the call in its message.
    """
    return call.get("id") or f"call_{place}_{number}"


def write_turn(content: str, calls: Sequence[ToolCall | InvalidCall]) -> str:
    """Write a turn as one text; what `read_turn` reads.

    Args:
        content: The text before the calls; may be empty.
        calls: The calls; an invalid one is written as it was.
    """
    return "\n".join([*filter(None, [content]), *map(_write_call, calls)])


def _write_call(call: ToolCall | InvalidCall) -> str:
    if isinstance(call, InvalidCall):
        written = call.text
    else:
        written = json.dumps(
            {"name": call["name"], "arguments": call["arguments"]}, ensure_ascii=False
        )
        # Inside a string, where it would end the call.
        written = written.replace(_CLOSE, rf"\u003c{_CLOSE[1:]}")
    return f"{_OPEN}\n{written}\n{_CLOSE}"
