"""Answers by a schema: the forms in which LangChain asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Literal, TypeGuard, get_args

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import (
    BaseOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
)
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import (
    convert_to_json_schema,
    convert_to_openai_tool,
)
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel

ANY_OBJECT: dict[str, Any] = {"type": "object"}
"""JSON schema of an answer in JSON mode."""

_JSON_TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}
_SCHEMA_KEYS = {"properties", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"}


class ResponseFormatError(ValueError):
    """A response format that cannot be kept."""


def response_schema(response_format: object) -> dict[str, Any] | None:
    """The JSON schema that a response format asks for; None: free text.

    Args:
        response_format: OpenAI's form (`{"type": "json_schema", ...}`, `json_object`,
            `text`), a JSON schema, a pydantic class or a TypedDict.

    Raises:
        ResponseFormatError: If it is none of these.
    """
    if response_format is None:
        return None
    if not isinstance(response_format, Mapping):
        return _converted(response_format)
    kind = response_format.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return ANY_OBJECT
    if kind == "json_schema":
        described = response_format.get("json_schema")
        schema = described.get("schema") if isinstance(described, Mapping) else None
        if isinstance(schema, Mapping):
            return dict(schema)
        raise ResponseFormatError(_message(response_format))
    return _converted(response_format)


def _converted(schema: Any) -> dict[str, Any]:
    if isinstance(schema, Mapping) and _is_json_schema(schema):
        return dict(schema)
    try:
        return convert_to_json_schema(schema)
    except (TypeError, ValueError) as error:
        raise ResponseFormatError(_message(schema)) from error


def _is_json_schema(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return bool(schema.keys() & _SCHEMA_KEYS) or (
        isinstance(kind, str) and kind in _JSON_TYPES
    )


def _message(given: object) -> str:
    return (
        f"response_format is {given!r}; give a JSON schema, a pydantic class, a "
        "TypedDict, or {'type': 'json_schema', 'json_schema': {'name': ..., "
        "'schema': ...}}"
    )


Method = Literal["function_calling", "json_schema", "json_mode"]
"""How an answer in the form of a schema is asked for."""


def structured_output(
    model: BaseChatModel,
    schema: dict[str, Any] | type,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    settings: Mapping[str, Any],
) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
    """A chat model with a parser after it.

    Args:
        model: The model.
        schema: A pydantic class, a TypedDict, a JSON schema or an OpenAI function.
        method: How the answer is asked for.
        include_raw: Whether what came from the model is given, too.
        strict: Whether what the schema does not name is wrong.
        settings: Of the model's calls.

    Raises:
        ResponseFormatError: If there is no such method, or it cannot be strict.
    """
    if method not in get_args(Method):
        msg = f"method is {method!r}; it is one of {', '.join(get_args(Method))}"
        raise ResponseFormatError(msg)
    told = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    settings = {**settings, "ls_structured_output_format": told}
    if method == "function_calling":
        parser = _call_parser(schema)
        bound = model.bind_tools([schema], tool_choice="any", strict=strict, **settings)
    elif method == "json_schema":
        parser = _json_parser(schema)
        wanted = {
            "type": "json_schema",
            "json_schema": _described(schema, strict=strict),
        }
        bound = model.bind(response_format=wanted, **settings)
    else:
        parser = _json_parser(schema)
        bound = model.bind(response_format={"type": "json_object"}, **settings)
    return _with_raw(bound, parser) if include_raw else bound | parser


def _is_pydantic(schema: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _call_parser(schema: dict[str, Any] | type) -> BaseOutputParser[Any]:
    if _is_pydantic(schema):
        return PydanticToolsParser(tools=[schema], first_tool_only=True)
    name = convert_to_openai_tool(schema)["function"]["name"]
    return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


def _json_parser(schema: dict[str, Any] | type) -> BaseOutputParser[Any]:
    if _is_pydantic(schema):
        return PydanticOutputParser(pydantic_object=schema)
    return JsonOutputParser()


def _described(schema: dict[str, Any] | type, *, strict: bool | None) -> dict[str, Any]:
    """A schema with its name, as OpenAI's response format has it."""
    converted = convert_to_json_schema(schema, strict=strict or None)
    return {"name": converted["title"], "schema": converted}


def _with_raw(
    model: Runnable[LanguageModelInput, AIMessage], parser: BaseOutputParser[Any]
) -> Runnable[LanguageModelInput, dict[str, Any]]:
    """The message, what was read in it, and the error if nothing could be."""
    read = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    unread = RunnablePassthrough.assign(parsed=lambda _: None)
    readable = read.with_fallbacks([unread], exception_key="parsing_error")
    return RunnableMap(raw=model) | readable
