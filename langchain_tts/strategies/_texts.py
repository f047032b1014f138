"""Final candidates that are texts with an answer, and the vote over the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from langchain_tts.answers import answer_classes
from langchain_tts.search.settle import tally
from langchain_tts.search.state import FinalCandidate, TableRow, Vote
from langchain_tts.search.vote import Decision, all_votes, decide


@dataclass(frozen=True)
class Texts:
    """The solutions of a search.

    Args:
        finals: The final candidates.
        chains: The chain of each, where answers revise one another.
    """

    finals: list[FinalCandidate]
    chains: Sequence[int] | None = None

    @cached_property
    def classes(self) -> list[int | None]:
        """The class of equal answers that each belongs to."""
        return answer_classes([final["answer"] for final in self.finals])

    def decide(self, vote: Vote) -> Decision:
        """Vote."""
        return decide(self.finals, self.classes, vote, self.chains)

    def table(self) -> list[TableRow]:
        """The answers of all combinations of score and vote."""
        return all_votes(self.finals, self.classes, self.chains)

    def tallies(self) -> list[list[int]]:
        """What a majority vote has to settle."""
        return [tally(self.classes)]
