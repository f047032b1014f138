"""JSON schemas: whether a value fits, why not in plain words, and broken schemas."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_tts.search.json_text import DEEPEST
from langchain_tts.search.schema_fit import SchemaFit

ITEM = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["name", "count"],
}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1},
        "unit": {"enum": ["C", "F"]},
        "mode": {"const": "fast"},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "on": {"type": ["boolean", "null"]},
    },
    "required": ["city"],
    "$defs": {"item": ITEM},
}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"city": "Rome"}, None),
        ({"city": "Rome", "days": 1.0, "limit": None, "more": [1]}, None),
        ({"city": "Rome", "items": [{"name": "a", "count": 1}]}, None),
        ({}, "argument 'city' is missing"),
        ({"city": 5}, "argument 'city' must be a string, but is 5"),
        (
            {"city": "Rome", "days": True},
            "argument 'days' must be a whole number, but is true",
        ),
        (
            {"city": "Rome", "days": "3"},
            "argument 'days' must be a whole number, but is \"3\"",
        ),
        (
            {"city": "Rome", "on": 1},
            "argument 'on' must be true or false or null, but is 1",
        ),
        (
            {"city": "Rome", "unit": "K"},
            'argument \'unit\' must be one of ["C", "F"], but is "K"',
        ),
        (
            {"city": "Rome", "mode": "slow"},
            'argument \'mode\' must be "fast", but is "slow"',
        ),
        (
            {"city": "Rome", "limit": "x"},
            "argument 'limit' has none of the expected forms: it is \"x\"",
        ),
        (
            {"city": "Rome", "days": 0},
            "argument 'days' is wrong: 0 is less than the minimum of 1",
        ),
        (
            {"city": "Rome", "items": [{"name": "a", "count": 1}, {}]},
            "argument 'items[1].name', 'items[1].count' are missing",
        ),
        ([], "the whole must be an object, but is []"),
    ],
)
def test_a_misfit_is_told_in_plain_words(value: Any, why: str | None) -> None:
    assert SchemaFit(SCHEMA, "argument").misfit(value) == why


def test_a_reason_is_short_whatever_the_value() -> None:
    fit = SchemaFit({"properties": {"a": {"type": "string"}}}, "field")
    why = fit.misfit({"a": ["x" * 1000] * 1000})
    assert why is not None
    assert why.startswith("field 'a' must be a string, but is [\"xxx")
    assert len(why) < 110


@pytest.mark.parametrize(
    ("schema", "flaw"),
    [
        ({"$ref": "#"}, "recursion"),
        ({"$ref": "https://example.org/schema.json"}, "https://example.org"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "does not exist"),
        ({"type": "strin"}, "'strin' is not valid"),
        ({"properties": {"a": {"pattern": "\\p{L}("}}}, "is not a 'regex'"),
        ({"$schema": 5}, ""),
        ({"required": "city"}, "is not of type 'array'"),
        (5, ""),
    ],
)
def test_a_broken_schema_checks_nothing_and_says_so(schema: Any, flaw: str) -> None:
    fit = SchemaFit(schema, "argument")
    assert fit.flaw is not None
    assert flaw in fit.flaw
    assert len(fit.flaw) <= 60
    assert fit.misfit({"a": object}) is None


def test_a_schema_of_an_unknown_dialect_is_read_as_the_newest() -> None:
    schema = {"$schema": "https://example.org/dialect", "type": "object"}
    fit = SchemaFit(schema, "argument")
    assert fit.flaw is None
    assert fit.misfit([]) == "the whole must be an object, but is []"


def test_values_as_deep_as_can_be_read_are_checked_by_schemas_of_themselves() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    fit = SchemaFit(node, "argument")
    assert fit.flaw is None
    value: dict[str, Any] = {"next": 1}
    for _ in range(DEEPEST - 4):
        value = {"next": value}
    why = fit.misfit(value)
    assert why is not None
    assert why.endswith("must be an object, but is 1")


def test_what_cannot_be_checked_does_not_fit() -> None:
    fit = SchemaFit({"properties": {"a": {"multipleOf": 0.5}}}, "argument")
    assert fit.misfit({"a": 10**399}) == "it cannot be checked by the schema"
    endless: dict[str, Any] = {}
    endless["next"] = endless
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    why = SchemaFit(node, "argument").misfit(endless)
    assert why == "it has too many levels to be checked"
