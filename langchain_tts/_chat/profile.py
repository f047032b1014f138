"""What is known of a model before it is loaded, as LangChain's profiles tell it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel, ModelProfile

from langchain_tts._chat.turn_models import EMBEDDED, EMBEDDED_TOOLS
from langchain_tts._names import SERVER, parse_name
from langchain_tts.policies import Policy, name_of, source_of
from langchain_tts.strategies.context import AnyPolicy

_CONSTRAINED = ("vllm", SERVER)
"""Backends that keep to a schema while they write."""

_TEXT_ONLY = ModelProfile(
    text_inputs=True,
    image_inputs=False,
    image_url_inputs=False,
    pdf_inputs=False,
    audio_inputs=False,
    video_inputs=False,
    image_tool_message=False,
    pdf_tool_message=False,
    text_outputs=True,
    image_outputs=False,
    audio_outputs=False,
    video_outputs=False,
    temperature=True,
)


def profile_of(policy: AnyPolicy) -> ModelProfile:
    """The profile of a search with a policy. Nothing is loaded, and nobody is asked."""
    known = ModelProfile(**_TEXT_ONLY)
    if isinstance(policy, BaseChatModel):
        return ModelProfile(**{**(policy.profile or {}), **_TEXT_ONLY})
    name, tools = "", False
    if isinstance(policy, Policy):
        # What has a name is what it is called: of these, not all that could call tools
        # have a chat template for it.
        name = name_of(policy) or ""
        tools = policy.takes_turns and not name
        window: int | None = policy.context_window
    else:
        name, window = policy, _window(policy)
    if window:
        known["max_input_tokens"] = window
        known["max_output_tokens"] = window
    constrained = parse_name(name).backend in _CONSTRAINED
    calls = constrained or tools or name in {EMBEDDED, EMBEDDED_TOOLS}
    known["tool_calling"] = known["tool_choice"] = calls
    known["tool_call_streaming"] = calls
    known["structured_output"] = constrained
    return known


def _window(name: str) -> int | None:
    """Tokens that a named policy reads, with its answer, if its files are here."""
    if limit := parse_name(name).options.get("max_model_len"):
        return int(limit)
    source = source_of(name)
    file = Path(source or "").expanduser() / "config.json"
    if source is None or not file.is_file():
        return None
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return config.get("max_position_embeddings")
