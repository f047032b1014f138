"""A conversation as chat templates of Hugging Face tokenizers take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tts.search.turns import said, tools_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.search.state import Message


def template_arguments(
    messages: Sequence[Message],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """A conversation, and the tools that it offers (None: it offers none).

    A system message that only brings the tools is left out: the template writes them.
    """
    chat = [_written(message) for message in said(messages)]
    return chat, tools_of(messages) or None


def _written(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {
        "role": message["role"],
        "content": message["content"],
    }
    if "tool_calls" in message:
        written["tool_calls"] = [
            {
                "type": "function",
                **({"id": call["id"]} if "id" in call else {}),
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in message["tool_calls"]
        ]
    if "tool_call_id" in message:
        written["tool_call_id"] = message["tool_call_id"]
    return written
