"""LangChain messages to the plain messages that a policy's chat template takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

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


class MessageError(ValueError):
    """A message that cannot be given to the policy."""


def to_messages(messages: Sequence[BaseMessage]) -> list[Message]:
    """Convert a conversation, merging neighbours of one role.

    Chat templates expect turns, so two messages in a row of one role become one,
    separated by a blank line. Messages that call tools, or answer such calls, stay
    apart.

    Raises:
        MessageError: If a message holds anything but text, or is of an unknown kind.
    """
    converted: list[Message] = []
    for position, message in enumerate(messages):
        one = _converted(message, position)
        if converted and _can_merge(converted[-1], one):
            merged = f"{converted[-1]['content']}\n\n{one['content']}"
            converted[-1] = Message(role=one["role"], content=merged)
        else:
            converted.append(one)
    return converted


def _converted(message: BaseMessage, position: int) -> Message:
    one = Message(role=_role(message, position), content=_text(message, position))
    if isinstance(message, AIMessage) and message.tool_calls:
        one["tool_calls"] = [
            ToolCall(name=call["name"], arguments=call["args"], id=call["id"] or "")
            for call in message.tool_calls
        ]
    if isinstance(message, ToolMessage):
        one["tool_call_id"] = message.tool_call_id
    return one


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


def _text(message: BaseMessage, position: int) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(_block_text(block, position) for block in message.content)


def _block_text(block: object, position: int) -> str:
    if isinstance(block, str):
        return block
    kind = block.get("type") if isinstance(block, dict) else type(block).__name__
    if isinstance(block, dict) and kind == "text":
        return str(block["text"])
    msg = (
        f"message {position} holds a content block of type {kind!r}; "
        "the policy reads text only: give text blocks or a string"
    )
    raise MessageError(msg)
