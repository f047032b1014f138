"""The solver's language: a small part of SMT-LIB 2, read, checked, and written again.

    (declare-const NAME SORT)       SORT is Int, Real or Bool
    (declare-fun NAME () SORT)      the same
    (define-fun NAME () SORT TERM)  the same, with (assert (= NAME TERM))
    (assert TERM)

A term is a number, `true`, `false`, a declared constant, or one of the operators in
`terms`. There are no options, files, quantifiers, functions with arguments, `let`,
`push`, quoted names or texts. What only asks a solver to start (`check-sat` and the
like) is left out: who calls the solver does that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from langchain_tts.solver.expressions import (
    ConstraintError,
    Expression,
    read_expressions,
    shown,
)
from langchain_tts.solver.terms import RESERVED, Sort, Term, read_term

ANSWER = "answer"
"""The constant whose value is the answer."""

MAX_CONSTANTS = 200

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LEFT_OUT = {"check-sat", "get-model", "get-value", "set-logic", "exit"}
_DECLARE = {"declare-const": 3, "declare-fun": 4, "define-fun": 5}
"""Each with the number of its parts."""


@dataclass(frozen=True)
class Script:
    """Constraints that were read and checked.

    Args:
        constants: The declared constants and their sorts, in their order.
        assertions: Terms of the sort Bool.
    """

    constants: dict[str, Sort]
    assertions: tuple[Term, ...]

    def __str__(self) -> str:
        """The constraints in one fixed spelling."""
        declared = [f"(declare-const {n} {s})" for n, s in self.constants.items()]
        return "\n".join([*declared, *(f"(assert {term})" for term in self.assertions)])


def read_script(text: str, answer: str = ANSWER) -> Script:
    """Read constraints.

    Args:
        text: In the solver's language.
        answer: The constant that has to be declared.

    Raises:
        ConstraintError: If they are not in the language.
    """
    constants: dict[str, Sort] = {}
    assertions: list[Term] = []
    for command in read_expressions(text):
        assertions += _command(command, constants)
    if answer not in constants:
        declared = ", ".join(constants) or "none"
        msg = f"no constant {answer!r} is declared; declared are: {declared}"
        raise ConstraintError(msg)
    return Script(constants, tuple(assertions))


def _command(command: Expression, constants: dict[str, Sort]) -> Iterable[Term]:
    """Add what a command declares, and return what it asserts."""
    match command:
        case [str(name), *parts] if len(parts) + 1 == _DECLARE.get(name):
            return _declaration(name, parts, constants)
        case ["assert", term]:
            read = read_term(term, constants)
            if read.sort != "Bool":
                msg = f"{shown(term)} is asserted, but is a number; assert a relation"
                raise ConstraintError(msg)
            return [read]
        case [str(name), *_] if name in _LEFT_OUT:
            return []
    msg = (
        f"{shown(command)} is not of the language; the commands are "
        f"{', '.join(_DECLARE)} and assert"
    )
    raise ConstraintError(msg)


def _declaration(
    command: str, parts: list[Expression], constants: dict[str, Sort]
) -> Iterable[Term]:
    name, *arguments, sort = parts[:-1] if command == "define-fun" else parts
    if arguments not in ([], [[]]):
        msg = f"{shown(name)} has arguments; only constants can be declared"
        raise ConstraintError(msg)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in RESERVED:
        msg = f"{shown(name)} cannot be a name; use letters, digits and _"
        raise ConstraintError(msg)
    if sort not in get_args(Sort):
        msg = f"sort {shown(sort)} of {name} is unknown; it is Int, Real or Bool"
        raise ConstraintError(msg)
    if name in constants:
        msg = f"{name} is declared twice"
        raise ConstraintError(msg)
    if len(constants) == MAX_CONSTANTS:
        msg = f"more than {MAX_CONSTANTS} constants are declared"
        raise ConstraintError(msg)
    # Before the name is known: a definition may not use itself.
    value = read_term(parts[-1], constants) if command == "define-fun" else None
    constants[name] = sort  # type: ignore[assignment]
    if value is None:
        return []
    return [read_term(["=", name, parts[-1]], constants)]
