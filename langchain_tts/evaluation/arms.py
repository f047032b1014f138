"""Arms of a comparison: strategies with all ways of choosing their answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.search.calibration import Choice
from langchain_tts.search.state import Score, Vote

ScoreVote = tuple[Score | None, Vote]

_USUAL: tuple[ScoreVote, ...] = (("last", "max"), (None, "majority"))
"""Used where nothing is clearly better: the defaults of a search."""

_UNREAD: Score = "last"
"""The score of a choice whose vote reads none."""


@dataclass(frozen=True)
class Arm:
    """A strategy at one budget.

    Args:
        strategy: With its parameters.
        marks: For each score and vote, whether each question was answered right, in one
            order for all arms.
    """

    strategy: str
    marks: Mapping[ScoreVote, Sequence[bool]]

    @property
    def usual(self) -> ScoreVote:
        """The score and vote that a search uses unless it is told otherwise."""
        return next(way for way in _USUAL if way in self.marks)


def arms(records: Iterable[SearchRecord], budget: int, ids: Sequence[str]) -> list[Arm]:
    """What each strategy was right about at a budget.

    Args:
        records: Searches of all questions, with one seed.
        budget: N.
        ids: The questions, in the order that is wanted.

    Returns:
        The arms in the order of their first records. A search that failed is wrong by
        every score and vote; strategies that always failed are left out.
    """
    right: dict[str, dict[ScoreVote, set[str]]] = {}
    for record in records:
        ways = right.setdefault(record["strategy"], {})
        for answer in record["answers"]:
            if answer["budget"] == budget:
                marked = ways.setdefault((answer["score"], answer["vote"]), set())
                if answer["right"]:
                    marked.add(record["id"])
    return [
        Arm(
            strategy,
            {way: [one in marked for one in ids] for way, marked in ways.items()},
        )
        for strategy, ways in right.items()
        if ways
    ]


def choice(arm: Arm, way: ScoreVote) -> Choice:
    """An arm with a score and vote as a calibration names it."""
    score, vote = way
    return Choice(strategy=arm.strategy, score=score or _UNREAD, vote=vote)
