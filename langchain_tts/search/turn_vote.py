"""Votes over turns, level by level.

1. Only turns that can be used vote; where there is none, there is no winner.
2. Calls or text: the majority of the turns decides, whatever the vote. Of equally many
   the kind with the best score wins, then the one that was sampled first.
3. `by_name`: among turns with calls, which tools are called.
4. Which of the turns that are left, as a whole; or with `by_field` each of their fields
   for itself, see `search.turn_fields`.

Levels 3 and 4 are votes as of `search.vote`, by the trajectories' scores.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from langchain_tts.search.settle import tally
from langchain_tts.search.state import FinalCandidate, TableRow, Vote
from langchain_tts.search.turn_check import TurnCheck
from langchain_tts.search.turn_fields import compose, field_names
from langchain_tts.search.turn_forms import TurnForm
from langchain_tts.search.turns import TurnVote
from langchain_tts.search.vote import (
    COMBINATIONS,
    Decision,
    decide,
    ranking,
    rescored,
)

Forms = Sequence[TurnForm | None]
"""Of each trajectory; None: it does not vote."""

_Key = Callable[[TurnForm], Hashable]

COMPOSED = (
    "the turn is composed of several candidates: of each field the value that won its "
    "vote"
)
_AS_WHOLES = "turns were voted on as wholes, not by their fields"


def decide_turns(
    finals: Sequence[FinalCandidate], forms: Forms, vote: Vote, check: TurnCheck
) -> Decision:
    """Vote over turns.

    Args:
        finals: The trajectories, in any order. Those that vote have an answer.
        forms: Their forms.
        vote: How to choose on the last levels.
        check: The rule, which says whether to vote by names or by fields. A composed
            turn has to keep it.

    Returns:
        The winner, and the votes; those of `by_field` are for the values of each field.
    """
    whole = _by_levels(finals, forms, _levels(check.rule["vote"]), vote)
    if whole.winner is None or check.rule["vote"] != "by_field":
        return whole
    kind = _same_kind(forms, whole.winner)
    if (why := _no_fields(finals, kind)) is not None:
        return whole._replace(notes=why)
    composed = compose(finals, kind, vote, check)
    if composed.problem is not None:
        note = f"{_AS_WHOLES}: composed of these, it could not be used: "
        return whole._replace(notes=[note + composed.problem])
    base, rows, _, text, answer, _ = composed
    return Decision(base, rows, text, answer, [] if text is None else [COMPOSED])


def all_turn_votes(
    finals: Sequence[FinalCandidate], forms: Forms, check: TurnCheck
) -> list[TableRow]:
    """The answers of majority and of all combinations of score and vote."""
    rows = []
    for score, vote in COMBINATIONS:
        decision = decide_turns(rescored(finals, score), forms, vote, check)
        chosen = None if decision.winner is None else finals[decision.winner]
        answer = None if chosen is None else decision.answer or chosen["answer"]
        chosen_id = None if chosen is None else chosen["id"]
        rows.append(TableRow(score=score, vote=vote, answer=answer, id=chosen_id))
    return rows


def turn_tallies(
    finals: Sequence[FinalCandidate], forms: Forms, check: TurnCheck
) -> list[list[int]]:
    """The tallies of a majority vote over turns: if all are settled, it is.

    Args:
        finals: The trajectories, without scores, in the order in which they were
            sampled.
        forms: Their forms.
        check: As of `decide_turns`.

    Returns:
        The votes on each level among the turns that won on the levels before it, each
        as `search.settle` takes them.
    """
    tallies, left = [], forms
    for key in _levels(check.rule["vote"]):
        classes = _classes(left, key)
        tallies.append(tally(classes))
        leader = next(iter(ranking(finals, classes, "majority")), None)
        left = _members(left, classes, leader)
    decision = decide_turns(finals, forms, "majority", check)
    if decision.winner is None or check.rule["vote"] != "by_field":
        return tallies
    kind = _same_kind(forms, decision.winner)
    if _no_fields(finals, kind) is not None:
        return tallies
    if decision.notes or left[decision.winner] is None:
        # The fields' winner is not the whole's. Which of the two counts depends on
        # turns that are not sampled yet: nothing is settled before the end.
        return [[]]
    return tallies + compose(finals, kind, "majority", check).tallies


def _levels(vote: TurnVote) -> list[_Key]:
    by_name: list[_Key] = [_names] if vote == "by_name" else []
    return [_kind, *by_name, _whole]


def _kind(form: TurnForm) -> Hashable:
    return form.calls


def _names(form: TurnForm) -> Hashable:
    return form.names


def _whole(form: TurnForm) -> Hashable:
    return form.whole


def _by_levels(
    finals: Sequence[FinalCandidate], forms: Forms, levels: Sequence[_Key], vote: Vote
) -> Decision:
    """Hold a vote on each level among the turns that won on the one before."""
    key, *below = levels
    classes = _classes(forms, key)
    if not below:
        return decide(finals, classes, vote)
    groups = [
        _by_levels(finals, _members(forms, classes, group), below, vote)
        for group in ranking(finals, classes, "majority" if key is _kind else vote)
    ]
    rows = [row for group in groups for row in group.rows]
    return Decision(groups[0].winner if groups else None, rows)


def _classes(forms: Forms, key: _Key) -> list[int | None]:
    numbers: dict[Hashable, int] = {}
    return [
        None if form is None else numbers.setdefault(key(form), len(numbers))
        for form in forms
    ]


def _members(
    forms: Forms, classes: Sequence[int | None], group: int | None
) -> list[TurnForm | None]:
    """The turns of one class."""
    pairs = zip(forms, classes, strict=True)
    return [form if group == number else None for form, number in pairs]


def _same_kind(forms: Forms, winner: int) -> list[TurnForm | None]:
    """The turns of the kind that won."""
    classes = _classes(forms, _kind)
    return _members(forms, classes, classes[winner])


def _no_fields(finals: Sequence[FinalCandidate], kind: Forms) -> list[str] | None:
    """Why there are no votes over fields; None: there are."""
    voters = [form for form in kind if form is not None]
    if all(form.fields is None and not form.calls for form in voters):
        return []
    if any(form.fields is None for form in voters) or len({*map(_names, voters)}) > 1:
        wanted = "make one call of one tool" if voters[0].calls else "are JSON objects"
        return [f"{_AS_WHOLES}: not all of them {wanted}"]
    return None if field_names(finals, kind) else []
