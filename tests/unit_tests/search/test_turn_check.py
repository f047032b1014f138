"""Which turns can be used, and why the others cannot."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_tts.search.turn_check import TurnCheck, turn_check
from tests.unit_tests.turn_models import ADD, TOOLS, call, calls, raw, rule, tool

ONE, ROME = call("add", x=1), call("find", city="Rome")
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("It is 13.", None),
        (ONE, None),
        (calls(ONE, ROME, content="Both."), None),
        (call("add", x=1, y=2.5, z="more"), None),
        ("", "it is empty"),
        (call("add"), "tool 'add': argument 'x' is missing"),
        (
            call("find", city=["Rome"]),
            "tool 'find': argument 'city' must be a string, but is [\"Rome\"]",
        ),
        (
            call("subtract", x=1),
            "there is no tool 'subtract'; the tools are: 'add', 'find'",
        ),
        (
            raw("add 1"),
            "the call is no JSON: Expecting value: line 1 column 1 (char 0)",
        ),
        (
            calls(ONE, call("find"), call("add")),
            (
                "tool 'find': argument 'city' is missing; "
                "tool 'add': argument 'x' is missing"
            ),
        ),
    ],
)
def test_a_turn_can_be_used_if_all_its_calls_can_be_made(
    text: str, why: str | None
) -> None:
    assert TurnCheck(TOOLS, rule()).read(text).problem == why


def test_each_call_that_cannot_be_made_keeps_its_reason() -> None:
    checked = TurnCheck(TOOLS, rule()).read(calls(raw("{"), ONE, call("find")))
    assert [misfit.text for misfit in checked.misfits] == [
        "{",
        '{"name": "find", "arguments": {}}',
    ]
    assert [misfit.error.partition(":")[0] for misfit in checked.misfits] == [
        "the call is no JSON",
        "tool 'find'",
    ]
    assert checked.turn.calls[0]["name"] == "add"


NOT_ADD = "it has to call tool 'add', and no other"


@pytest.mark.parametrize(
    ("choice", "text", "why"),
    [
        ("any", ONE, None),
        ("any", "Hello", "it calls no tool, but one has to be called"),
        ("any", "", "it calls no tool, but one has to be called"),
        ("none", "Hello", None),
        ("none", ONE, "it calls a tool, but none may be called"),
        ("add", ONE, None),
        ("add", calls(ONE, ONE), None),
        ("add", "Hello", NOT_ADD),
        ("add", ROME, NOT_ADD),
        ("add", calls(ONE, ROME), NOT_ADD),
    ],
)
def test_the_choice_of_tools_is_kept(choice: str, text: str, why: str | None) -> None:
    assert TurnCheck(TOOLS, rule(choice=choice)).read(text).problem == why


def test_without_parallel_calls_one_is_the_most() -> None:
    check = TurnCheck(TOOLS, rule(parallel=False))
    assert check.read(ONE).problem is None
    twice = "it makes 2 calls, but one at most may be made"
    assert check.read(calls(ONE, ROME)).problem == twice
    assert (check.read(calls(ONE, raw("{"))).problem or "").startswith(twice)


@pytest.mark.parametrize(
    ("text", "plain", "why"),
    [
        ('{"name": "Ada", "age": 36}', '{"name": "Ada", "age": 36}', None),
        ('```json\n{"name": "Ada"}\n```', '{"name": "Ada"}', None),
        ('```\n{"name": "Ada"}```', '{"name": "Ada"}', None),
        ('{"age": 36}', '{"age": 36}', "field 'name' is missing"),
        ("Ada", "Ada", "the answer is no JSON: Expecting value: "),
        (
            'It is {"name": "Ada"}',
            'It is {"name": "Ada"}',
            "the answer is no JSON: Expecting value: ",
        ),
        ("[]", "[]", "the whole must be an object, but is []"),
        ("", "", "it is empty; the answer is no JSON: "),
    ],
)
def test_an_answer_by_a_schema_is_json_that_fits(
    text: str, plain: str, why: str | None
) -> None:
    checked = TurnCheck(TOOLS, rule(schema=PERSON)).read(text)
    assert checked.text == plain
    assert (checked.problem or "").startswith(why or "")
    assert (checked.problem is None) == (why is None)


def test_calls_need_not_fit_the_schema_of_answers() -> None:
    checked = TurnCheck(TOOLS, rule(schema=PERSON)).read(calls(ONE, content="Hm."))
    assert checked.problem is None
    assert checked.text == calls(ONE, content="Hm.")


@pytest.mark.parametrize("schema", [{"type": "strin"}, {"$ref": "#/nowhere"}])
def test_broken_schemas_check_nothing_and_are_told_of(schema: dict[str, Any]) -> None:
    broken = tool("odd")
    broken["function"]["parameters"] = schema
    check = TurnCheck([broken, ADD], rule(schema=schema))
    odd, answers = check.notes
    assert odd.startswith("arguments of tool 'odd' were not checked, its schema is ")
    assert answers.startswith("answers were not checked by their schema, which is ")
    assert check.read(call("odd", anything=[1])).problem is None
    assert check.read(call("add")).problem is not None
    assert check.read("[1]").problem is None
    assert check.read("{").problem is not None


def test_a_tool_without_parameters_takes_any() -> None:
    bare = {"type": "function", "function": {"name": "now"}}
    check = TurnCheck([bare], rule())
    assert check.notes == []
    assert check.read(raw('{"name": "now"}')).problem is None
    assert check.read(call("now", zone=1)).problem is None


def test_equal_tools_and_rules_share_a_check() -> None:
    first = turn_check(TOOLS, rule())
    assert turn_check([*TOOLS], rule()) is first
    assert turn_check(TOOLS[:1], rule()) is not first
    assert turn_check(TOOLS, rule(choice="any")) is not first
