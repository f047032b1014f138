"""The calculator against values worked out by hand."""

from __future__ import annotations

import pytest

from langchain_tts.tinymath.calculator import CALCULATOR, calculate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("12*7", "84"),
        ("7/2", "3.5"),
        ("1/3", "0.3333333333"),
        ("2/3*3", "2"),
        ("(3+4)*(5-9)", "-28"),
        (" 2 + 2 ", "4"),
        ("-(-3)", "3"),
        ("0.1+0.2", "0.3"),
        ("1/10000000", "1e-07"),
        ("1/3+9" + "0" * 150, "9e+150"),
        ("9" * 30 + "+1", "1" + "0" * 30),
    ],
)
def test_a_value_is_exact_where_it_is_whole(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "12*",
        "2**99999999",
        "9//2",
        "x+1",
        "__import__('os')",
        "(1).real",
        "True+1",
        "'a'*3",
        "1j*1j",
        "1 if 2 else 3",
        "1e999",
        "1*(2,3)",
        "1.2.3",
        "12 7",
        "1\x00",
        "0777",
        "...",
    ],
)
def test_what_is_no_arithmetic_is_said_to_be_unreadable(expression: str) -> None:
    assert calculate(expression) == f"Error: cannot read {expression}"


def test_a_division_by_zero_is_an_error_text() -> None:
    assert calculate("5/(3-3)") == "Error: division by zero"


@pytest.mark.parametrize("text", ["1" + "+1" * 100, "(" * 5000, "-" * 10_000 + "1"])
def test_what_is_too_long_is_refused(text: str) -> None:
    assert calculate(text) == f"Error: cannot read {text[:200]}"


def test_the_tool_takes_one_text() -> None:
    function = CALCULATOR["function"]
    assert function["name"] == "calculator"
    assert list(function["parameters"]["properties"]) == ["expression"]
