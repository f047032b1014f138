"""Random checkpoints whose chat template shows tools, and what asks them for turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from tokenizers import pre_tokenizers

from langchain_tts.policies.base import GenerationRequest
from langchain_tts.search.state import Message
from langchain_tts.search.turns import TurnRule
from tests.unit_tests.tiny_models import request, save_model

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
TOOLS_TEMPLATE = (
    "{% if tools %}{{ '<tag>' }}"
    "{% for t in tools %}{{ t.function.name + ' ' }}{% endfor %}{% endif %}"
    "{% for m in messages %}{{ '<user>' + m['content'] }}"
    "{% for c in m.tool_calls or [] %}"
    '{{ \'<tool_call>{"name": "\' + c.function.name + \'", "arguments": \' }}'
    "{{ (c.function.arguments | tojson) + '}</tool_call>' }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


def tool(name: str = "calculator", argument: str = "expression") -> dict[str, Any]:
    """A function with one argument, which is a text."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": "What it does.",
            "parameters": {
                "type": "object",
                "properties": {argument: {"type": "string"}},
                "required": [argument],
            },
        },
    }


def chat(text: str = "12+34=", *tools: dict[str, Any]) -> list[Message]:
    """A question, with tools."""
    system = Message(role="system", content="", tools=list(tools or [tool()]))
    return [system, Message(role="user", content=text)]


def rule(choice: str = "auto", **changes: Any) -> TurnRule:
    values: dict[str, Any] = {
        "choice": choice,
        "parallel": True,
        "schema": None,
        "vote": "whole",
        "ignored": [],
        **changes,
    }
    return cast("TurnRule", values)


def turn_request(text: str = "12+34=", **changes: Any) -> GenerationRequest:
    """Ask for turns; of a plain conversation where `messages` is given."""
    return request(text, **{"messages": chat(text), "turn": rule(), **changes})


def save_tool_model(
    folder: Path, *, template: str = TOOLS_TEMPLATE, **changes: Any
) -> Path:
    """A random checkpoint that can write any text, with a template that has tools."""
    save_model(folder, letters=BYTES, window=512, **changes)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder
