"""The one tool that the embedded tool models know: a calculator.

`calculate` is a plain function; `CALCULATOR` describes it as chat models take tools.
"""

from __future__ import annotations

import ast
import operator
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CALCULATOR: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Work out an arithmetic expression, for example 12*7.",
        "parameters": {
            "type": "object",
            "properties": {"expression": {"type": "string"}},
            "required": ["expression"],
        },
    },
}
"""The tool in OpenAI's format."""

_READABLE = re.compile(r"[0-9+\-*/(). ]{1,200}")
"""Without powers and exponents, so short an expression has a small value too."""
_SHOWN = 200

_BINARY: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_UNARY: dict[type[ast.unaryop], Callable[[Fraction], Fraction]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


class _UnreadableError(ValueError):
    """Not an expression of numbers, + - * / and parentheses."""


def calculate(expression: str) -> str:
    """Work out an arithmetic expression of numbers, + - * / and parentheses.

    Args:
        expression: For example `12*7` or `(3+4)/2`.

    Returns:
        The exact value if it is whole, else a decimal number; for what cannot be
        worked out, a text that begins with `Error:`.
    """
    try:
        value = _read(expression)
    except ZeroDivisionError:
        return "Error: division by zero"
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return f"Error: cannot read {expression[:_SHOWN]}"
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.10g}"


def _read(expression: str) -> Fraction:
    if not _READABLE.fullmatch(expression):
        raise _UnreadableError
    return _value(ast.parse(expression.strip(), mode="eval").body)


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand))
    if isinstance(node, ast.Constant):
        return Fraction(str(node.value))
    raise _UnreadableError
