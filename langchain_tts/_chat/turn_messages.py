"""Turns as LangChain's messages: text, calls, and calls that cannot be made."""

from __future__ import annotations

import json
import secrets
import string
from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCallChunk
from langchain_core.messages.tool import (
    invalid_tool_call,
    tool_call,
    tool_call_chunk,
)

if TYPE_CHECKING:
    from langchain_tts.search.turn_check import CheckedTurn, TurnCheck

_ID_CHARACTERS = string.ascii_letters + string.digits


def turn_message(text: str, check: TurnCheck) -> AIMessage:
    """A turn as a message.

    Calls that do not fit their tools come here only if no candidate had better ones.
    They are made all the same, as other chat models do: the tool's error is what the
    model can mend them by. Where a call cannot even be read, or the rule forbids such a
    turn, all its calls come out as invalid, so that nothing is done by halves.

    Args:
        text: The turn.
        check: Tells what the turn may be.
    """
    checked = check.read(text)
    if checked.turn.invalid or checked.breach:
        return AIMessage(
            checked.turn.content, invalid_tool_calls=_invalid_calls(checked)
        )
    calls = [
        tool_call(name=call["name"], args=call["arguments"], id=_new_id())
        for call in checked.turn.calls
    ]
    return AIMessage(checked.turn.content, tool_calls=calls)


def _invalid_calls(checked: CheckedTurn) -> list[InvalidToolCall]:
    """All calls of a turn that cannot be used, each with what is wrong with it."""
    turn = checked.turn
    errors = {misfit.text: misfit.error for misfit in checked.misfits}
    written = [
        (call["name"], call["arguments"], json.dumps(call, ensure_ascii=False))
        for call in turn.calls
    ]
    invalid = [
        invalid_tool_call(
            name=name,
            args=json.dumps(arguments, ensure_ascii=False),
            id=_new_id(),
            error=errors.get(text, checked.problem),
        )
        for name, arguments, text in written
    ]
    invalid += [
        invalid_tool_call(name=None, args=one.text, id=_new_id(), error=one.error)
        for one in turn.invalid
    ]
    return invalid


def call_chunks(message: AIMessage) -> list[ToolCallChunk]:
    """The calls of a message as a stream has them: whole, and each with its place.

    Who merges a stream reads the arguments again, and would make a call of whatever
    can be read, or completed, as an object. Those of an invalid call are therefore told
    in words, with what is wrong, for which chunks have no place.
    """
    written: list[tuple[str | None, str | None, str | None]] = [
        (call["name"], json.dumps(call["args"], ensure_ascii=False), call["id"])
        for call in message.tool_calls
    ]
    written += [
        (call["name"], f"invalid ({call['error']}): {call['args']}", call["id"])
        for call in message.invalid_tool_calls
    ]
    # Where content is blocks, 0 is the place of the text.
    return [
        tool_call_chunk(name=name, args=args, id=call_id, index=place)
        for place, (name, args, call_id) in enumerate(written, start=1)
    ]


def _new_id() -> str:
    """What a call's result refers to. Some chat templates take nine characters only."""
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(9))
