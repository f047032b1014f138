"""How a LangChain chat model is asked for a turn."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.language_models.chat_models import BaseChatModel

from langchain_tts.search.turns import tools_of

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from langchain_tts.policies.base import GenerationRequest
    from langchain_tts.search.turns import TurnRule

_ANSWER = "answer"
_PARALLEL = "parallel_tool_calls"


class Asked(NamedTuple):
    """What is called for a request."""

    runnable: Runnable[Any, Any]
    """The model, or what its tools and its schema made of it."""
    answer_tool: str | None = None
    """The tool whose arguments are the answer, where the model knows no schemas."""


def calls_tools(model: BaseChatModel) -> bool:
    """Whether a chat model can be given tools."""
    return type(model).bind_tools is not BaseChatModel.bind_tools


def asked(model: BaseChatModel, request: GenerationRequest) -> Asked:
    """A chat model as a request wants it called.

    A schema is the model's `response_format` if its profile says that it has structured
    output. Otherwise it is one more tool, which has to be called if no other one is.
    Where no tool may be called, none is shown.

    Args:
        model: The chat model.
        request: For text, or for a turn.
    """
    turn = request.get("turn")
    if turn is None:
        return Asked(model)
    tools = tools_of(request["messages"])
    choice = turn["choice"] if tools else "none"
    tools = [] if choice == "none" else tools
    # A turn that has to be a call is no answer by a schema.
    schema = turn["schema"] if choice in {"auto", "none"} else None
    if schema is None:
        return Asked(_with_tools(model, tools, choice, turn))
    if (model.profile or {}).get("structured_output"):
        return Asked(
            _with_tools(model, tools, choice, turn).bind(
                response_format=_response_format(schema)
            )
        )
    name = _free_name(tools)
    tools = [*tools, _as_tool(schema, name)]
    choice = "any" if len(tools) > 1 else name
    return Asked(_with_tools(model, tools, choice, turn), name)


def _with_tools(
    model: BaseChatModel, tools: list[dict[str, Any]], choice: str, turn: TurnRule
) -> Runnable[Any, Any]:
    if not tools:
        return model
    options: dict[str, Any] = {} if choice == "auto" else {"tool_choice": choice}
    known = inspect.signature(model.bind_tools).parameters
    if not turn["parallel"] and _PARALLEL in known:
        options[_PARALLEL] = False
    return model.bind_tools(tools, **options)


def _response_format(schema: dict[str, Any]) -> dict[str, Any]:
    written = {"name": _ANSWER, "schema": schema, "strict": True}
    return {"type": "json_schema", "json_schema": written}


def _as_tool(schema: dict[str, Any], name: str) -> dict[str, Any]:
    text = schema.get("description") or "Give the answer."
    function = {"name": name, "description": text, "parameters": schema}
    return {"type": "function", "function": function}


def _free_name(tools: list[dict[str, Any]]) -> str:
    taken = {tool["function"]["name"] for tool in tools}
    name = _ANSWER
    while name in taken:
        name += "_"
    return name
