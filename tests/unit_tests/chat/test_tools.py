"""Tools and choices in LangChain's forms."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_tts._chat.structured import ResponseFormatError
from langchain_tts._chat.tools import (
    ToolError,
    TurnKeywords,
    openai_tools,
    read_choice,
    with_tools,
)
from langchain_tts.search.state import Message


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


class Add(BaseModel):
    """Add two numbers."""

    a: int
    b: int = 1


class AddDict(TypedDict):
    """Add two numbers."""

    a: int


FUNCTION: dict[str, Any] = {
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "integer", "default": 1},
        },
        "required": ["a"],
    },
}
ADD = {"type": "function", "function": FUNCTION}


@pytest.mark.parametrize("given", [add, tool(add), FUNCTION, ADD])
def test_functions_tools_and_dictionaries_become_one_form(given: Any) -> None:
    assert openai_tools([given]) == [ADD]


def test_classes_are_tools_by_their_names_and_fields() -> None:
    pydantic, typed = openai_tools([Add, AddDict])
    assert pydantic == {"type": "function", "function": {**FUNCTION, "name": "Add"}}
    assert typed["function"]["name"] == "AddDict"
    assert typed["function"]["parameters"]["required"] == ["a"]


def test_a_schema_is_a_tool_by_its_title() -> None:
    (converted,) = openai_tools([Add.model_json_schema()])
    assert converted["function"]["name"] == "Add"
    assert list(converted["function"]["parameters"]["properties"]) == ["a", "b"]


def test_a_tool_without_arguments_takes_an_empty_object() -> None:
    nothing = {"type": "object", "properties": {}}
    for strict in (None, True):
        (converted,) = openai_tools([{"name": "now"}], strict=strict)
        parameters = converted["function"]["parameters"]
        assert {key: parameters[key] for key in nothing} == nothing


def test_strict_tools_take_no_other_arguments() -> None:
    (strict,) = openai_tools([add], strict=True)
    assert strict["function"]["strict"] is True
    assert strict["function"]["parameters"]["additionalProperties"] is False
    assert openai_tools([add], strict=False) == [ADD]


def test_what_a_provider_runs_is_no_tool() -> None:
    with pytest.raises(ToolError, match="type 'web_search' is run by its provider"):
        openai_tools([{"type": "web_search"}])


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, "auto"),
        (False, "auto"),
        ("auto", "auto"),
        (True, "any"),
        ("any", "any"),
        ("required", "any"),
        ("none", "none"),
        ("add", "add"),
        ({"type": "function", "function": {"name": "add"}}, "add"),
    ],
)
def test_every_form_of_a_choice(given: Any, read: str) -> None:
    assert read_choice(given, [ADD]) == read


@pytest.mark.parametrize(
    "given", ["sub", {"function": {"name": "sub"}}, {"type": "any"}, {}, 3, "", ["add"]]
)
def test_an_unknown_choice_is_refused_with_the_tools_there_are(given: Any) -> None:
    with pytest.raises(ToolError, match=r"tool_choice is .*the name of a tool: add$"):
        read_choice(given, [ADD])


def test_a_call_cannot_be_wanted_where_there_are_no_tools() -> None:
    with pytest.raises(ToolError, match="there are no tools"):
        read_choice("any", [])
    with pytest.raises(ToolError, match=r"\(there are none\)"):
        read_choice("add", [])
    assert read_choice("auto", []) == "auto"


def _read(**keywords: Any) -> Any:
    return TurnKeywords(**keywords).read("whole", ["a"])


def test_the_rule_of_a_turn() -> None:
    tools, rule = _read(tools=[add], tool_choice="any", parallel_tool_calls=False)
    assert tools == [ADD]
    assert rule == {
        "choice": "any",
        "parallel": False,
        "schema": None,
        "vote": "whole",
        "ignored": ["a"],
    }
    assert _read(tools=[add])[1]["parallel"] is True


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"tools": []},
        {"tools": [add], "tool_choice": "none"},
        {"tools": [], "tool_choice": "auto", "response_format": {"type": "text"}},
    ],
)
def test_without_tools_and_without_a_schema_it_is_a_text(keywords: Any) -> None:
    assert _read(**keywords) == ([], None)


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("response_format", "schema"),
    [
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
            SCHEMA,
        ),
        ({"type": "json_object"}, {"type": "object"}),
        (SCHEMA, SCHEMA),
        ({"type": "array"}, {"type": "array"}),
        ({"$ref": "#/$defs/x"}, {"$ref": "#/$defs/x"}),
    ],
)
def test_every_form_of_a_response_format(response_format: Any, schema: Any) -> None:
    tools, rule = _read(tools=[], response_format=response_format)
    assert tools == []
    assert (rule["choice"], rule["schema"]) == ("none", schema)
    rule = _read(tools=[add], response_format=response_format)[1]
    assert (rule["choice"], rule["schema"]) == ("auto", schema)


def test_a_class_is_a_response_format() -> None:
    schema = _read(response_format=Add)[1]["schema"]
    assert schema["title"] == "Add"
    assert schema["required"] == ["a"]
    assert _read(response_format=AddDict)[1]["schema"]["title"] == "AddDict"


@pytest.mark.parametrize(
    "given",
    [
        {"type": "json_schema"},
        {"type": "xml"},
        3,
        "json",
        {"type": "json_schema", "json_schema": {}},
    ],
)
def test_an_unknown_response_format_is_refused(given: Any) -> None:
    with pytest.raises(ResponseFormatError, match=r"response_format is .*give a JSON"):
        _read(response_format=given)


def test_tools_are_part_of_the_conversations_own_system_message() -> None:
    system = Message(role="system", content="Be brief.")
    user = Message(role="user", content="1+1?")
    assert with_tools([system, user], [ADD]) == [{**system, "tools": [ADD]}, user]
    assert with_tools([user], [ADD]) == [
        {"role": "system", "content": "", "tools": [ADD]},
        user,
    ]
    assert with_tools([user], []) == [user]
    assert "tools" not in system
