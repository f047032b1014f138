"""JSON of models: what is none, and which values are equal."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_tts.search.json_text import DEEPEST, canonical, read_json

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Without halves of characters (Cs), which no file could hold.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcé", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a: object, b: object) -> bool:
    """Equality of JSON values, by their definition."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@settings(deadline=None)
@given(VALUES, VALUES)
def test_equal_values_and_no_others_have_equal_texts(a: object, b: object) -> None:
    assert (canonical(a) == canonical(b)) == same(a, b)
    assert same(json.loads(canonical(a)), a)


@settings(deadline=None)
@given(VALUES)
def test_what_is_written_is_read_again(value: object) -> None:
    for ascii_only in (True, False):
        assert same(read_json(json.dumps(value, ensure_ascii=ascii_only)), value)


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ("1", "1.0", True),
        ("100", "1e2", True),
        ("0", "-0.0", True),
        ("0.1", "0.10", True),
        ("1", "true", False),
        ("0", "false", False),
        ("0", "null", False),
        ('"1"', "1", False),
        ('{"a": 1, "b": [2]}', '{"b": [2.0], "a": 1}', True),
        ('{"a": {"x": 1, "y": 2}}', '{"a": {"y": 2, "x": 1}}', True),
        ("[1, 2]", "[2, 1]", False),
        ('{"a": null}', "{}", False),
        ('"\\u00e9"', '"é"', True),
        ('"\\ud83d\\ude00"', '"😀"', True),
        # Of equal keys the last one counts.
        ('{"a": 1, "a": 2}', '{"a": 2}', True),
        ("9007199254740993", "9007199254740992", False),
    ],
)
def test_values_are_equal_as_json(a: str, b: str, *, equal: bool) -> None:
    assert (canonical(read_json(a)) == canonical(read_json(b))) is equal


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("{", "Expecting"),
        ("[1,]", "Expecting value"),
        ("NaN", "NaN is no number"),
        ('{"a": [Infinity]}', "Infinity is no number"),
        ("-Infinity", "-Infinity is no number"),
        ("1e999", "1e999 is no number, or too large"),
        ("-1e999", "-1e999 is no number, or too large"),
        ("1" * 401, "11111111111111111111… is no number, or too large"),
        ('"\\ud800"', "half of a character"),
        ('{"\\udc00": 1}', "half of a character"),
        ('"\ud800"', "half of a character"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), f"more than {DEEPEST} levels"),
        ("[" * 10_000, f"more than {DEEPEST} levels"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, f"more than {DEEPEST} levels"),
    ],
)
def test_what_others_could_not_read_is_no_json(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        read_json(text)
    assert len(str(caught.value)) < 100


def test_the_deepest_json_is_read_and_written() -> None:
    text = "[" * DEEPEST + "]" * DEEPEST
    assert canonical(read_json(text)) == text
    assert read_json("1" * 400) == int("1" * 400)


def test_large_json_takes_no_long_time() -> None:
    text = json.dumps([{"b": i, "a": [f"x{i}", 1.0]} for i in range(20_000)])
    started = time.monotonic()
    assert len(canonical(read_json(text))) > 600_000
    assert time.monotonic() - started < 3


def test_ignored_keys_are_left_out_at_any_depth() -> None:
    value = {"a": 1, "b": [{"a": 2, "c": {"a": 3, "d": 4}}]}
    assert canonical(value, {"a"}) == '{"b": [{"c": {"d": 4}}]}'
    assert value["a"] == 1
