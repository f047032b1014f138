"""Tools and choices of a call, in LangChain's forms, as the rule of the next turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import (
    convert_to_openai_function,
    convert_to_openai_tool,
)

from langchain_tts._chat.structured import response_schema
from langchain_tts.search.state import Message
from langchain_tts.search.turns import TurnRule, TurnVote

ToolLike = Mapping[str, Any] | type | Callable[..., Any] | BaseTool
"""What LangChain takes for a tool."""

_CHOICES = {
    None: "auto",
    False: "auto",
    "auto": "auto",
    True: "any",
    "any": "any",
    "required": "any",
    "none": "none",
}
"""What LangChain and OpenAI call the choices that name no tool."""


ADDED_BY_LANGCHAIN = (
    "stream",
    "ls_structured_output_format",
    "structured_output_format",
)
"""Arguments of a call that are not for the model."""


class ToolError(ValueError):
    """Tools, or a choice of them, that cannot be used."""


def openai_tools(
    tools: Sequence[ToolLike], *, strict: bool | None = None
) -> list[dict[str, Any]]:
    """Tools in OpenAI's format: functions, classes, schemas, or such dictionaries.

    Args:
        tools: The tools.
        strict: Whether arguments that a tool does not name are wrong.

    Raises:
        ToolError: If one is no function.
    """
    return [_openai_tool(tool, strict=strict) for tool in tools]


def _openai_tool(tool: ToolLike, *, strict: bool | None) -> dict[str, Any]:
    converted = convert_to_openai_tool(tool)
    if "function" not in converted:
        msg = (
            f"tool of type {converted.get('type')!r} is run by its provider; "
            "give functions, which your application runs"
        )
        raise ToolError(msg)
    nothing = {"type": "object", "properties": {}}
    function = {"parameters": nothing, **converted["function"]}
    if strict:
        function = convert_to_openai_function(function, strict=True)
    return {"type": "function", "function": function}


def tool_names(tools: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of tools in OpenAI's format."""
    return [tool["function"]["name"] for tool in tools]


def read_choice(choice: object, tools: Sequence[Mapping[str, Any]]) -> str:
    """Which tools the turn may call, as `TurnRule.choice` says it.

    Args:
        choice: `auto` (also None and False), `any` (also `required` and True), `none`,
            a tool's name, or `{"type": "function", "function": {"name": ...}}`.
        tools: The tools, in OpenAI's format.

    Raises:
        ToolError: If there is no such choice, or no such tool.
    """
    name = _chosen_name(choice)
    names = tool_names(tools)
    if name in names:
        return name
    if isinstance(choice, (str, bool)) or choice is None:
        found = _CHOICES.get(choice)
        if found == "any" and not names:
            msg = f"tool_choice is {choice!r}, but there are no tools; give some"
            raise ToolError(msg)
        if found is not None:
            return found
    msg = (
        f"tool_choice is {choice!r}; give 'auto', 'any', 'none' or the name of a tool: "
        f"{', '.join(names) or '(there are none)'}"
    )
    raise ToolError(msg)


def _chosen_name(choice: object) -> str:
    """The name in a choice; what is none is no tool's name."""
    if isinstance(choice, dict):
        function = choice.get("function")
        choice = function.get("name") if isinstance(function, dict) else None
    return choice if isinstance(choice, str) else ""


@dataclass(frozen=True)
class TurnKeywords:
    """What a call says about its turn; the names are LangChain's and OpenAI's."""

    tools: Sequence[ToolLike] | None = None
    tool_choice: str | bool | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    strict: bool | None = None
    response_format: object = None

    def read(
        self, vote: TurnVote, ignored: Sequence[str]
    ) -> tuple[list[dict[str, Any]], TurnRule | None]:
        """The tools, and the rule of the turn; None where it is nothing but text.

        Args:
            vote: How turns are counted.
            ignored: Arguments that do not count.

        Raises:
            ToolError: If a tool or the choice cannot be used.
            ResponseFormatError: If the format cannot.
        """
        tools = openai_tools(self.tools or (), strict=self.strict)
        choice = read_choice(self.tool_choice, tools)
        schema = response_schema(self.response_format)
        if choice == "none" or not tools:
            tools, choice = [], "none"
        if not tools and schema is None:
            return [], None
        rule = TurnRule(
            choice=choice,
            parallel=self.parallel_tool_calls is not False,
            schema=schema,
            vote=vote,
            ignored=list(ignored),
        )
        return tools, rule


TURN_KEYS = tuple(field.name for field in fields(TurnKeywords))
"""The call's keywords that are about its turn."""


def with_tools(
    messages: Sequence[Message], tools: Sequence[dict[str, Any]]
) -> list[Message]:
    """A conversation whose system message, which comes first, offers the tools."""
    if not tools:
        return list(messages)
    if messages and messages[0]["role"] == "system":
        return [{**messages[0], "tools": list(tools)}, *messages[1:]]
    return [Message(role="system", content="", tools=list(tools)), *messages]
