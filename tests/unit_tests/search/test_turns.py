"""Turns as text: read, and written so that they are read again."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_tts.search.state import ToolCall
from langchain_tts.search.turns import InvalidCall, Turn, read_turn, write_turn
from tests.unit_tests.search.test_json_text import VALUES
from tests.unit_tests.turn_models import call, calls, raw

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CALLS = st.builds(
    lambda name, arguments: ToolCall(name=name, arguments=arguments),
    TEXTS,
    st.dictionaries(TEXTS, VALUES, max_size=3),
)


@settings(deadline=None)
@given(TEXTS.map(str.strip), st.lists(CALLS, max_size=3))
def test_a_turn_is_read_as_it_was_written(content: str, made: list[ToolCall]) -> None:
    assert read_turn(write_turn(content, made)) == Turn(content, made, [])


@pytest.mark.parametrize(
    "text", ["</tool_call>", "<tool_call>", "a</tool_call>\n<tool"]
)
def test_an_argument_may_hold_the_marks_of_a_call(text: str) -> None:
    made = [ToolCall(name="say", arguments={"text": text, text: 1})] * 2
    assert read_turn(write_turn("", made)).calls == made


def test_content_calls_and_what_is_none_are_told_apart() -> None:
    turn = read_turn(
        calls(call("add", x=1), raw("add(2)"), call("find", city="Rōma"), content="So:")
    )
    assert turn.content == "So:"
    assert turn.calls == [
        {"name": "add", "arguments": {"x": 1}},
        {"name": "find", "arguments": {"city": "Rōma"}},
    ]
    [invalid] = turn.invalid
    assert invalid.text == "add(2)"
    assert invalid.error.startswith("the call is no JSON: ")


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("", "the call is no JSON"),
        ("[1]", 'the call is no JSON object with a "name"'),
        ('{"arguments": {}}', 'the call is no JSON object with a "name"'),
        ('{"name": 5, "arguments": {}}', 'the call is no JSON object with a "name"'),
        ('{"name": "f", "arguments": "{}"}', 'its "arguments" are no JSON object'),
        ('{"name": "f", "arguments": {"x": NaN}}', "NaN is no number"),
        ('{"name": "f", "arguments": {"x": 1e999}}', "1e999 is no number"),
        ('{"name": "f", "arguments": {"x": "\\ud800"}}', "half of a character"),
        ('{"name": "f", "arguments": {"x": ' + "[" * 10_000, "more than 64 levels"),
    ],
)
def test_a_call_that_cannot_be_made_says_why(written: str, error: str) -> None:
    turn = read_turn(raw(written))
    assert turn.calls == []
    [invalid] = turn.invalid
    assert invalid.text == written
    assert error in invalid.error


def test_a_call_without_arguments_has_none() -> None:
    assert read_turn(raw('{"name": "now"}')).calls == [{"name": "now", "arguments": {}}]


def test_a_call_that_was_cut_is_invalid_and_stays_as_it_was() -> None:
    text = call("add", x=1) + '\n<tool_call>\n{"name": "ad'
    turn = read_turn(text)
    assert turn.calls == [{"name": "add", "arguments": {"x": 1}}]
    assert [invalid.text for invalid in turn.invalid] == ['{"name": "ad']
    again = read_turn(write_turn("", [*turn.calls, *turn.invalid]))
    assert again == turn
    assert isinstance(again.invalid[0], InvalidCall)


def test_many_open_calls_take_no_long_time() -> None:
    started = time.monotonic()
    assert len(read_turn("<tool_call>" * 50_000).invalid) == 1
    assert len(read_turn(call("add", x=1) * 5_000).calls) == 5_000
    assert time.monotonic() - started < 3
