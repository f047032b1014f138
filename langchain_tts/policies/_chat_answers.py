"""What a chat model's message is to a search: an answer, a cut one, or none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_tts.search.state import ToolCall
from langchain_tts.search.turns import InvalidCall, broken_call, write_turn

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, InvalidToolCall
    from langchain_core.messages import ToolCall as LangChainCall

    from langchain_tts.search.state import FinishReason

_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
"""What integrations call the reason why a model stopped."""

_CUT = {
    "length",
    "max_tokens",
    "max_output_tokens",
    "model_length",
    "model_context_window_exceeded",
}
_REFUSED = {
    "blocklist",
    "content_filter",
    "content_filtered",
    "guardrail_intervened",
    "prohibited_content",
    "recitation",
    "refusal",
    "safety",
    "spii",
}


class Answer(NamedTuple):
    """A message as a search takes it."""

    text: str
    """Empty where nothing can be used."""
    finish_reason: FinishReason
    problem: str | None
    """Why it cannot be used."""


def read_answer(message: AIMessage) -> Answer:
    """Read a message: its text blocks only, and why it ended.

    A reason that is not known counts as the end of the answer.
    """
    if (message.tool_calls or message.invalid_tool_calls) and not _refusal(message):
        problem = "the model called a tool; give a model without tools bound to it"
        return Answer("", "failed", problem)
    return _judged(message, str(message.text).strip(), "any text")


def read_turn_answer(message: AIMessage, answer_tool: str | None = None) -> Answer:
    """Read a message that may call tools: its text is the whole turn in Hermes form.

    Args:
        message: What the model said.
        answer_tool: The tool whose arguments are the answer as JSON. A turn that calls
            other tools too is a call of these.
    """
    calls = list(map(_call, message.tool_calls))
    broken = list(map(_broken_call, message.invalid_tool_calls))
    others = [call for call in calls if call["name"] != answer_tool]
    answers = [call for call in calls if call["name"] == answer_tool]
    if answers and not others:
        text = json.dumps(answers[0]["arguments"], ensure_ascii=False)
    else:
        text = write_turn(str(message.text).strip(), [*others, *broken])
    return _judged(message, text, "any text or tool call")


def _judged(message: AIMessage, text: str, wanted: str) -> Answer:
    refusal = _refusal(message)
    if refusal:
        return Answer("", "failed", refusal)
    if _reason(message.response_metadata) in _CUT:
        return Answer(text, "length", None)
    if not text:
        return Answer("", "failed", f"the model answered without {wanted}")
    return Answer(text, "stop", None)


def _call(call: LangChainCall) -> ToolCall:
    return ToolCall(name=call["name"], arguments=call["args"])


def _broken_call(call: InvalidToolCall) -> InvalidCall:
    error = call["error"] or "it cannot be read"
    return broken_call(call["name"] or "", call["args"] or "", error)


def _refusal(message: AIMessage) -> str | None:
    reason = _reason(message.response_metadata)
    told = message.additional_kwargs.get("refusal")
    if reason in _REFUSED or told or _refusal_block(message):
        return f"the model refused to answer ({reason or 'none'})"
    return None


def _reason(metadata: dict[str, Any]) -> str | None:
    for key in _REASONS:
        if isinstance(metadata.get(key), str):
            return str(metadata[key]).lower()
    # OpenAI's Responses API.
    details = metadata.get("incomplete_details")
    if isinstance(details, dict) and isinstance(details.get("reason"), str):
        return str(details["reason"]).lower()
    return None


def _refusal_block(message: AIMessage) -> bool:
    content = message.content
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "refusal" for block in content
    )
