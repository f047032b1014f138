"""The form of an answer: what it is made of, read from its text one layer at a time."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from langchain_tts._answers_latex import (
    brackets,
    has_text,
    normalise,
    number,
    split,
    unwrap_text,
    without_units,
)

_LONGEST = 400
"""Characters of an answer that is read as mathematics; a longer one is only itself."""

_NAME = re.compile(
    r"\\?[A-Za-z]+(?:_(?:\w|\{\w+\}))?(?:\([^()]*\)|'+)?|\([A-Za-z](?:,[A-Za-z])+\)"
)
_VARIABLE = re.compile(r"[A-Za-z](?:_\w)?|\\(?:alpha|beta|gamma|theta|lambda|phi)")
_ORDER = re.compile(r"(\\[lg]e(?![A-Za-z])|[<>])")
_DESCENDING = frozenset({">", r"\ge"})
_MATRIX = re.compile(r"\\begin\{([pb]matrix)\}(.*)\\end\{\1\}", re.DOTALL)
_PLUS_MINUS = re.compile(r"\\pm\s*")
_WORDS = re.compile(r"[A-Za-z]{3,}(?:[ '-][A-Za-z]{2,})*")
# Numerals with a base, ratios, ellipses, numbers in a row: sympy would misread them.
_UNREADABLE = re.compile(
    r"\d_|:|\\[lc]?dots|\\begin|(?<!_)\d \d|\.\d*\.|[$#&?;]|\\p?mod"
)


@dataclass(frozen=True)
class Form:
    """What an answer is made of.

    Args:
        text: The value, normalised; a number as an exact fraction.
        kind: `number`; `expression`, which sympy can read; `words`, which are only
            themselves; `set`, `union`, `matrix`, `row`; or a pair of brackets.
        parts: What a set, union, matrix, row or pair of brackets encloses.
        name: What has this value: `x` in `x=5`, nothing in `5`.
    """

    text: str
    kind: str = "words"
    parts: tuple["Form", ...] = ()
    name: str = ""

    def relation(self) -> "Form":
        """Return `x=5` as the equation that it also is."""
        if not self.name:
            return self
        is_leaf = self.kind in {"number", "expression"}
        return Form(f"{self.name}={self.text}", "expression" if is_leaf else "words")


@lru_cache(maxsize=4096)
def read(answer: str) -> Form:
    """Read an answer; its text is empty if there is nothing in it."""
    if len(answer) > _LONGEST:
        return Form(answer.strip())
    return _form(normalise(answer))


def _form(text: str) -> Form:
    """Take one layer off a normalised answer: the first reader that can does."""
    for reader in _READERS:
        if (form := reader(text)) is not None:
            return form
    if _WORDS.fullmatch(text):
        return Form(text.casefold())
    if _UNREADABLE.search(text) or has_text(text):
        return Form(text)
    return Form(text, "expression")


def _number(text: str) -> Form | None:
    value = number(text)
    return None if value is None else Form(str(value), "number")


def _list(text: str) -> Form | None:
    items = split(text, {","})
    return _set(text, items) if len(items) > 1 else None


def _union(text: str) -> Form | None:
    pieces = split(text, {r"\cup"})
    if len(pieces) > 1:
        return Form(text, "union", tuple(map(_form, pieces)))
    return None


def _bounds(text: str) -> Form | None:
    r"""Read `a < x \le b`, `x > a` and the like as the interval they describe."""
    parts = [part.strip() for part in _ORDER.split(text)]
    if len(parts) == 3:  # noqa: PLR2004 - one side is unbounded
        ends = (r"-\infty", "<", ">", r"\infty")
        if parts[1] in _DESCENDING:
            ends = ends[::-1]
        if _VARIABLE.fullmatch(parts[0]):
            parts = [*ends[:2], *parts]
        else:
            parts = [*parts, ends[1], ends[3]]
    if len(parts) != 5 or not _VARIABLE.fullmatch(parts[2]):  # noqa: PLR2004
        return None
    descending = parts[1] in _DESCENDING
    if descending != (parts[3] in _DESCENDING):
        return None
    low, left, name, right, high = reversed(parts) if descending else parts
    kind = ("(" if left in "<>" else "[") + (")" if right in "<>" else "]")
    return Form(text, kind, (_form(low), _form(high)), name)


def _named(text: str) -> Form | None:
    r"""Read `x=5`, `x=2+3=5`, `f(2)=5` or `x \in (0,1]`."""
    sides = split(text, {"=", r"\in"})
    if len(sides) > 1 and _NAME.fullmatch(name := unwrap_text(sides[0]) or sides[0]):
        return replace(_form(sides[-1]), name=name)
    return None


def _measured(text: str) -> Form | None:
    value = without_units(text)
    return None if value == text else _form(value)


def _text(text: str) -> Form | None:
    content = unwrap_text(text)
    return None if content is None else _form(normalise(content))


def _matrix(text: str) -> Form | None:
    match = _MATRIX.fullmatch(text)
    if match is None:
        return None
    rows = [split(row, {"&"}) for row in split(match[2], {"\\\\"})]
    parts = (Form(" & ".join(row), "row", tuple(map(_form, row))) for row in rows)
    return Form(text, "matrix", tuple(parts))


def _enclosed(text: str) -> Form | None:
    pair = brackets(text)
    if pair is None:
        return None
    opener, content, closer = pair
    items = split(content, {","})
    if len(items) < 2:  # noqa: PLR2004 - one element needs no brackets
        return Form(text) if {opener, closer} & {"[", "]"} else _form(content.strip())
    if opener in {"{", r"\{"}:
        return _set(text, items)
    return Form(text, opener + closer, tuple(map(_form, items)))


def _plus_minus(text: str) -> Form | None:
    return _set(text, [text]) if text.count(r"\pm") == 1 else None


def _set(text: str, items: list[str]) -> Form:
    r"""Collect elements in any order; `a \pm b` stands for two."""
    elements: list[str] = []
    for item in items:
        if item.count(r"\pm") == 1:
            elements += [_PLUS_MINUS.sub(sign, item) for sign in "+-"]
        else:
            elements.append(item)
    return Form(text, "set", tuple(_form(e.removeprefix("+")) for e in elements))


_READERS = (
    _number,
    _list,
    _union,
    _bounds,
    _named,
    _measured,
    _text,
    _matrix,
    _enclosed,
    _plus_minus,
)
