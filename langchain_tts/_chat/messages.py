"""LangChain messages to the plain messages that a policy's chat template takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_tts.search.state import Message, ToolCall

if TYPE_CHECKING:
    from collections.abc import Sequence

Role = Literal["system", "user", "assistant", "tool"]

_ROLES: dict[type[BaseMessage], Role] = {
    SystemMessage: "system",
    HumanMessage: "user",
    AIMessage: "assistant",
    ToolMessage: "tool",
}
_ROLE_NAMES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "tool": "tool",
}

_NOT_SAID = {
    # What the model thought.
    "reasoning",
    "reasoning_content",
    "redacted_thinking",
    "thinking",
    # What `tool_calls` holds, in the providers' forms.
    "function_call",
    "input_json_delta",
    "invalid_tool_call",
    "tool_call",
    "tool_call_chunk",
    "tool_use",
}
"""Blocks of an AI message that are not part of its text."""

_MEDIA = ("image", "audio", "video", "file", "document", "media")
"""What the type of a block that is no text has in it."""


class MessageError(ValueError):
    """A message that cannot be given to the policy."""


def to_messages(messages: Sequence[BaseMessage]) -> list[Message]:
    """Convert a conversation, merging neighbours of one role.

    Chat templates expect turns, so two messages in a row of one role become one,
    separated by a blank line. Messages that call tools, or answer such calls, stay
    apart. What a model thought before an answer is not shown to it again.

    Raises:
        MessageError: If a message holds anything but text, or is of an unknown kind.
    """
    converted: list[Message] = []
    for position, message in enumerate(messages):
        for one in _converted(message, position):
            if converted and _can_merge(converted[-1], one):
                merged = f"{converted[-1]['content']}\n\n{one['content']}"
                converted[-1] = Message(role=one["role"], content=merged)
            else:
                converted.append(one)
    return converted


def _converted(message: BaseMessage, position: int) -> list[Message]:
    role, blocks = _role(message, position), _blocks(message)
    results = [
        Message(
            role="tool",
            content=_tool_text(_listed(block.get("content", "")), position),
            tool_call_id=str(block.get("tool_use_id", "")),
        )
        for block in blocks
        if isinstance(block, dict) and block.get("type") == "tool_result"
    ]
    blocks = [block for block in blocks if _kind(block) != "tool_result"]
    if results and not blocks:
        return results
    read = _tool_text if role == "tool" else _text
    one = Message(role=role, content=read(blocks, position))
    if isinstance(message, AIMessage) and message.tool_calls:
        one["tool_calls"] = [
            ToolCall(name=call["name"], arguments=call["args"], id=call["id"] or "")
            for call in message.tool_calls
        ]
    if isinstance(message, ToolMessage):
        one["tool_call_id"] = message.tool_call_id
    return [*results, one]


def _can_merge(first: Message, second: Message) -> bool:
    return first["role"] == second["role"] != "tool" and not (
        "tool_calls" in first or "tool_calls" in second
    )


def _role(message: BaseMessage, position: int) -> Role:
    for kind, role in _ROLES.items():
        if isinstance(message, kind):
            return role
    if isinstance(message, ChatMessage) and message.role in _ROLE_NAMES:
        return _ROLE_NAMES[message.role]
    named = getattr(message, "role", message.type)
    msg = (
        f"message {position} has the role {named!r}; "
        "use a system, human, AI or tool message"
    )
    raise MessageError(msg)


def _blocks(message: BaseMessage) -> list[Any]:
    """The content that the policy is to read."""
    blocks = _listed(message.content)
    if isinstance(message, AIMessage):
        return [block for block in blocks if _kind(block) not in _NOT_SAID]
    return blocks


def _listed(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _kind(block: object) -> object:
    if isinstance(block, str):
        return "text"
    return block.get("type") if isinstance(block, dict) else type(block).__name__


def _text(blocks: list[Any], position: int) -> str:
    return "".join(_block_text(block, position) for block in blocks)


def _tool_text(blocks: list[Any], position: int) -> str:
    """What a tool returned: its texts as they are, and other data as JSON."""
    return "".join(
        json.dumps(block, ensure_ascii=False)
        if isinstance(block, dict) and _is_data(block)
        else _block_text(block, position)
        for block in blocks
    )


def _is_data(block: dict[str, Any]) -> bool:
    kind = str(block.get("type"))
    return kind != "text" and not any(media in kind for media in _MEDIA)


def _block_text(block: object, position: int) -> str:
    if isinstance(block, str):
        return block
    kind = _kind(block)
    if isinstance(block, dict) and kind == "text":
        return str(block["text"])
    msg = (
        f"message {position} holds a content block of type {kind!r}; "
        "the policy reads text only: give text blocks or a string"
    )
    raise MessageError(msg)
