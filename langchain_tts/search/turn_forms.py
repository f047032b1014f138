"""What a vote compares of turns: kinds, names of tools, arguments and fields.

Calls are compared as a set (with repetitions) of names and arguments, so neither their
order nor that of their keys counts. Texts are compared by the mathematical answers in
them, or else as they are written; answers by a schema as JSON values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from langchain_tts.search.json_text import canonical
from langchain_tts.search.state import ToolCall
from langchain_tts.search.turn_check import CheckedTurn
from langchain_tts.search.turns import TurnRule


class TextAnswer(NamedTuple):
    """The mathematical answer in a text."""

    text: str
    group: int
    """The class of equal answers that it belongs to."""


class TurnForm(NamedTuple):
    """A turn that can be used, as a vote sees it."""

    calls: bool
    """Whether it calls tools."""
    names: tuple[str, ...]
    """The tools that it calls, in alphabetical order."""
    whole: str | int
    """Equal for equal turns."""
    answer: str
    """Its calls or its answer, in words for a table."""
    fields: Mapping[str, Any] | None = None
    """The arguments of its one call, or the fields of its answer; None where it has
    several calls or no fields."""
    texts: Mapping[str, str] = MappingProxyType({})
    """Of the fields that count: their values, written so that equal ones are equal."""


def turn_form(
    checked: CheckedTurn, rule: TurnRule, answer: TextAnswer | None = None
) -> TurnForm:
    """The form of a turn that can be used.

    Args:
        checked: The turn.
        rule: What it may be.
        answer: The mathematical answer in its text, if there is one.
    """
    turn = checked.turn
    if turn.calls:
        return _of_calls(turn.calls, rule)
    if rule["schema"] is not None:
        return _of_value(checked.value, frozenset(rule["ignored"]))
    if answer is not None:
        return TurnForm(calls=False, names=(), whole=answer.group, answer=answer.text)
    return TurnForm(calls=False, names=(), whole=turn.content, answer=turn.content)


def _of_calls(calls: Sequence[ToolCall], rule: TurnRule) -> TurnForm:
    whole = f"[{', '.join(sorted(_call_text(call, rule) for call in calls))}]"
    fields = calls[0]["arguments"] if len(calls) == 1 else None
    return TurnForm(
        calls=True,
        names=tuple(sorted(call["name"] for call in calls)),
        whole=whole,
        answer=whole,
        fields=fields,
        texts=_texts(fields or {}, _ignored(calls[0], rule)),
    )


def _of_value(value: Any, ignored: frozenset[str]) -> TurnForm:
    whole = canonical(value, ignored)
    fields = value if isinstance(value, dict) else None
    return TurnForm(
        calls=False,
        names=(),
        whole=whole,
        answer=whole,
        fields=fields,
        texts=_texts(fields or {}, ignored),
    )


def _texts(fields: Mapping[str, Any], ignored: frozenset[str]) -> dict[str, str]:
    return {
        name: canonical(value, ignored)
        for name, value in fields.items()
        if name not in ignored
    }


def _call_text(call: ToolCall, rule: TurnRule) -> str:
    arguments = canonical(call["arguments"], _ignored(call, rule))
    return f'{{"name": {canonical(call["name"])}, "arguments": {arguments}}}'


def _ignored(call: ToolCall, rule: TurnRule) -> frozenset[str]:
    """The arguments of a call that do not count."""
    own = [one.removeprefix(f"{call['name']}.") for one in rule["ignored"]]
    return frozenset([*rule["ignored"], *own])
