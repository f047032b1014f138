"""Reading parentheses: a text as nested lists of words, within limits on its size."""

from __future__ import annotations

import re

MAX_CHARACTERS = 20_000
MAX_WORDS = 5_000
MAX_DEPTH = 50

Expression = str | list["Expression"]
"""A word, or a list in parentheses."""

_WORD = r"[A-Za-z0-9_.+\-*/<>=]+"
_PIECE = re.compile(rf"\s+|;[^\n]*|(?P<piece>[()]|{_WORD})")
_SHOWN = 40


class ConstraintError(ValueError):
    """Constraints that are not in the solver's language."""


def read_expressions(text: str) -> list[Expression]:
    """The top-level expressions of a text.

    Raises:
        ConstraintError: If a character is not of the language, parentheses do not
            match, or the text is too long or too deep.
    """
    if len(text) > MAX_CHARACTERS:
        msg = f"{len(text)} characters; constraints have at most {MAX_CHARACTERS}"
        raise ConstraintError(msg)
    open_lists: list[list[Expression]] = [[]]
    for piece in _pieces(text):
        if piece == "(":
            if len(open_lists) > MAX_DEPTH:
                msg = f"parentheses are more than {MAX_DEPTH} deep; use more constants"
                raise ConstraintError(msg)
            open_lists.append([])
        elif piece == ")":
            closed = open_lists.pop()
            if not open_lists:
                msg = "there is a ')' without its '('"
                raise ConstraintError(msg)
            open_lists[-1].append(closed)
        else:
            open_lists[-1].append(piece)
    if len(open_lists) > 1:
        msg = f"{len(open_lists) - 1} '(' without a ')': the constraints are cut off"
        raise ConstraintError(msg)
    return open_lists[0]


def shown(expression: Expression) -> str:
    """The beginning of an expression, for an error."""
    text = _written(expression)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _written(expression: Expression) -> str:
    if isinstance(expression, str):
        return expression
    return f"({' '.join(map(_written, expression))})"


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    place = 0
    while place < len(text):
        found = _PIECE.match(text, place)
        if found is None:
            msg = (
                f"character {text[place]!r} is not of the language; names are letters, "
                "digits and _, without quotes"
            )
            raise ConstraintError(msg)
        place = found.end()
        if found["piece"]:
            pieces.append(found["piece"])
    if len(pieces) > MAX_WORDS:
        msg = f"{len(pieces)} words and parentheses; there may be {MAX_WORDS}"
        raise ConstraintError(msg)
    return pieces
