"""Votes over fields: each field of an object, or argument of a call, for itself.

What wins may be an object that nobody sampled. It is made of values that were sampled,
and has to be valid as a whole. Fields that do not count are those of the turn that is
most like it.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_tts.search.settle import tally
from langchain_tts.search.state import FinalCandidate, ToolCall, Vote, VoteRow
from langchain_tts.search.ties import score_key
from langchain_tts.search.turn_check import TurnCheck
from langchain_tts.search.turn_forms import TurnForm, turn_form
from langchain_tts.search.turns import read_turn, write_turn
from langchain_tts.search.vote import decide

_ABSENT = "left out"
"""What stands for a field that a turn does not have; no JSON text is that."""


class Composed(NamedTuple):
    """What the votes over fields make together."""

    base: int
    """Index of the turn with most of the winning values; of those the best."""
    rows: list[VoteRow]
    """The values of each field, the winner first."""
    tallies: list[list[int]]
    """The votes of each field's values, in the order in which they were sampled."""
    text: str | None
    """The turn, where nobody sampled it; None: it is the base."""
    answer: str
    """The turn, in words for a table."""
    problem: str | None
    """Why it cannot be used."""


class _Field(NamedTuple):
    """The vote over one field."""

    name: str
    keys: list[str | None]
    """The value of each turn, written so that equal ones are equal."""
    winner: int
    """The best turn with the winning value."""
    rows: list[VoteRow]
    tally: list[int]

    def won(self, index: int) -> bool:
        """Whether a turn has the winning value."""
        return self.keys[index] == self.keys[self.winner]


def compose(
    finals: Sequence[FinalCandidate],
    forms: Sequence[TurnForm | None],
    vote: Vote,
    check: TurnCheck,
) -> Composed:
    """Vote over each field.

    Args:
        finals: The trajectories, in any order.
        forms: Their forms; those that vote have fields, and None does not vote.
        vote: How to choose a value.
        check: What the result has to pass.
    """
    voters = {
        index: form.fields
        for index, form in enumerate(forms)
        if form is not None and form.fields is not None
    }
    fields = [_vote(finals, forms, name, vote) for name in field_names(finals, forms)]

    def likeness(index: int) -> tuple[int, float, int]:
        final = finals[index]
        same = sum(field.won(index) for field in fields)
        return same, score_key(final["score"] or 0.0), -final["id"]

    base = max(voters, key=likeness)
    rows = [row for field in fields for row in field.rows]
    tallies = [field.tally for field in fields]
    sampled = finals[base]["answer"] or ""
    if all(field.won(base) for field in fields):
        return Composed(base, rows, tallies, None, sampled, None)
    text = _written(finals[base]["text"], _joined(voters, base, fields))
    turn = check.read(text)
    if turn.problem is not None:
        return Composed(base, rows, tallies, None, sampled, turn.problem)
    answer = turn_form(turn, check.rule).answer
    return Composed(base, rows, tallies, text, answer, None)


def field_names(
    finals: Sequence[FinalCandidate], forms: Sequence[TurnForm | None]
) -> list[str]:
    """The fields that count, in the order in which they were first sampled."""
    order = sorted(range(len(finals)), key=lambda index: finals[index]["id"])
    voters = [form for form in (forms[index] for index in order) if form is not None]
    return list(dict.fromkeys(name for form in voters for name in form.texts))


def _vote(
    finals: Sequence[FinalCandidate],
    forms: Sequence[TurnForm | None],
    name: str,
    vote: Vote,
) -> _Field:
    keys = [form and form.texts.get(name, _ABSENT) for form in forms]
    numbers: dict[Hashable, int] = {}
    classes = [
        None if key is None else numbers.setdefault(key, len(numbers)) for key in keys
    ]
    shown: list[FinalCandidate] = [
        {**final, "answer": f"{name}: {key}"}
        for final, key in zip(finals, keys, strict=True)
    ]
    decision = decide(shown, classes, vote)
    return _Field(name, keys, decision.winner or 0, decision.rows, tally(classes))


def _joined(
    voters: Mapping[int, Mapping[str, Any]], base: int, fields: Sequence[_Field]
) -> dict[str, Any]:
    """The base with the winning value of each field in place of its own."""
    joined = dict(voters[base])
    for name, _, winner, _, _ in (field for field in fields if not field.won(base)):
        if name in voters[winner]:
            joined[name] = voters[winner][name]
        else:
            del joined[name]
    return joined


def _written(base: str, fields: dict[str, Any]) -> str:
    """A turn like the base with these fields."""
    turn = read_turn(base)
    if not turn.calls:
        return json.dumps(fields, ensure_ascii=False)
    call = ToolCall(name=turn.calls[0]["name"], arguments=fields)
    return write_turn(turn.content, [call])
