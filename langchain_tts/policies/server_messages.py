"""A conversation as OpenAI-compatible servers take it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_tts.engines.templates import template_arguments
from langchain_tts.search.turns import call_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.search.state import Message


def openai_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages of a chat completion; the tools are not among them.

    They differ from those of chat templates in that arguments are JSON texts, and that
    each call has an id.
    """
    chat, _ = template_arguments(messages)
    for place, message in enumerate(chat):
        for number, call in enumerate(message.get("tool_calls", ())):
            function = call["function"]
            function["arguments"] = json.dumps(
                function["arguments"], ensure_ascii=False
            )
            call["id"] = call_id(call, place, number)
    return chat
