"""Terms of the solver's language, with their sorts checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_tts.solver.expressions import ConstraintError, Expression, shown

Sort = Literal["Int", "Real", "Bool"]

MAX_DIGITS = 40

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class _Operator:
    """What an operator takes and gives.

    Args:
        least: Arguments at least.
        most: Arguments at most; None: any number.
        takes: `numbers`, `Int` only, `Bool`, or `same`: all of one sort.
        gives: Its sort; `number`: Int if all arguments are, else Real.
    """

    least: int
    most: int | None
    takes: Literal["numbers", "Int", "Bool", "same"]
    gives: Literal["number", "Int", "Real", "Bool"]


_RELATION = _Operator(2, None, "numbers", "Bool")
_LOGIC = _Operator(2, None, "Bool", "Bool")
_NUMBERS = _Operator(2, None, "numbers", "number")
_WHOLE = _Operator(2, 2, "Int", "Int")

OPERATORS = {
    "+": _NUMBERS,
    "-": _Operator(1, None, "numbers", "number"),
    "*": _NUMBERS,
    "/": _Operator(2, None, "numbers", "Real"),
    "div": _WHOLE,
    "mod": _WHOLE,
    "abs": _Operator(1, 1, "numbers", "number"),
    "=": _Operator(2, None, "same", "Bool"),
    "distinct": _Operator(2, None, "same", "Bool"),
    "<": _RELATION,
    "<=": _RELATION,
    ">": _RELATION,
    ">=": _RELATION,
    "not": _Operator(1, 1, "Bool", "Bool"),
    "and": _Operator(1, None, "Bool", "Bool"),
    "or": _Operator(1, None, "Bool", "Bool"),
    "xor": _LOGIC,
    "=>": _LOGIC,
}
"""All but `ite`, which takes a Bool and two of one sort."""

RESERVED = {*OPERATORS, "ite", "true", "false", "let", "forall", "exists", "par", "as"}
"""What no constant can be called."""


@dataclass(frozen=True)
class Term:
    """A term whose sorts fit.

    Args:
        head: An operator, a constant's name, or a number.
        arguments: Of an operator; a constant or a number has none.
        sort: Of its value.
    """

    head: str
    arguments: tuple[Term, ...]
    sort: Sort

    def __str__(self) -> str:
        """The term in SMT-LIB 2."""
        if not self.arguments:
            return self.head
        return f"({self.head} {' '.join(map(str, self.arguments))})"

    def plain(self) -> list[Any]:
        """Head, sort and arguments as nested lists: JSON."""
        return [self.head, self.sort, *(one.plain() for one in self.arguments)]


def read_term(expression: Expression, constants: Mapping[str, Sort]) -> Term:
    """Read a term.

    Args:
        expression: Words and lists; their depth is limited by who read them.
        constants: What is declared.

    Raises:
        ConstraintError: If it is none, or sorts do not fit.
    """
    if isinstance(expression, str):
        return _word(expression, constants)
    if not expression or not isinstance(expression[0], str):
        msg = f"{shown(expression)} does not begin with an operator"
        raise ConstraintError(msg)
    name = expression[0]
    if name not in OPERATORS and name != "ite":
        known = ", ".join([*OPERATORS, "ite"])
        msg = f"{name!r} is no operator of the language; these are {known}"
        raise ConstraintError(msg)
    arguments = tuple(read_term(one, constants) for one in expression[1:])
    return Term(name, arguments, _result(name, arguments, expression))


def _word(word: str, constants: Mapping[str, Sort]) -> Term:
    if word in constants:
        return Term(word, (), constants[word])
    if word in ("true", "false"):
        return Term(word, (), "Bool")
    number = _NUMBER.fullmatch(word)
    if number is None:
        msg = f"{word!r} is neither a number nor a declared constant"
        raise ConstraintError(msg)
    if len(word) > MAX_DIGITS:
        msg = f"number {shown(word)} has more than {MAX_DIGITS} digits"
        raise ConstraintError(msg)
    return Term(word, (), "Real" if number[1] else "Int")


def _result(name: str, arguments: Sequence[Term], expression: Expression) -> Sort:
    """The sort of a term, if those of its arguments fit."""
    sorts = [argument.sort for argument in arguments]
    if name == "ite":
        if len(sorts) != 3 or sorts[0] != "Bool" or not _alike(sorts[1:]):  # noqa: PLR2004
            msg = f"{shown(expression)}: ite takes a Bool and two values of one sort"
            raise ConstraintError(msg)
        return _common(sorts[1:])
    rule = OPERATORS[name]
    if len(sorts) < rule.least or (rule.most is not None and len(sorts) > rule.most):
        msg = f"{shown(expression)} has {len(sorts)} arguments, which {name} cannot"
        raise ConstraintError(msg)
    if not _fitting(rule, sorts):
        msg = f"{shown(expression)}: {name} cannot take {', '.join(sorts)}"
        raise ConstraintError(msg)
    return _common(sorts) if rule.gives == "number" else rule.gives


def _fitting(rule: _Operator, sorts: Sequence[Sort]) -> bool:
    if rule.takes == "same":
        return _alike(sorts)
    if rule.takes == "numbers":
        return "Bool" not in sorts
    return set(sorts) == {rule.takes}


def _alike(sorts: Sequence[Sort]) -> bool:
    """Whether values can be compared: an Int is a Real where one is needed."""
    return len({sort == "Bool" for sort in sorts}) == 1


def _common(sorts: Sequence[Sort]) -> Sort:
    return "Real" if "Real" in sorts else sorts[0]
