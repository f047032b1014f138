"""What a chat model's message is to a search: an answer, a cut one, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

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
    text = str(message.text).strip()
    reason = _reason(message.response_metadata)
    refusal = message.additional_kwargs.get("refusal")
    if reason in _REFUSED or refusal or _refusal_block(message):
        return Answer("", "failed", f"the model refused to answer ({reason or 'none'})")
    if message.tool_calls or message.invalid_tool_calls:
        problem = "the model called a tool; give a model without tools bound to it"
        return Answer("", "failed", problem)
    if reason in _CUT:
        return Answer(text, "length", None)
    if not text:
        return Answer("", "failed", "the model answered without any text")
    return Answer(text, "stop", None)


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
