"""Final candidates that are turns: which can be used, and the vote over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from langchain_tts.answers import answer_classes, extract_answer
from langchain_tts.search.state import FinalCandidate, Message, TableRow, Vote
from langchain_tts.search.turn_check import CheckedTurn, TurnCheck, turn_check
from langchain_tts.search.turn_forms import TextAnswer, TurnForm, turn_form
from langchain_tts.search.turn_vote import all_turn_votes, decide_turns, turn_tallies
from langchain_tts.search.turns import TurnRule, tools_of
from langchain_tts.search.vote import Decision


@dataclass(frozen=True)
class Turns:
    """The turns of a search.

    Args:
        finals: The final candidates. The answer of one that can be used is what it is
            counted as; of the others there is none.
        forms: What a vote compares of those that vote.
        check: Tells which can be used.
        problems: Why complete ones cannot be.
    """

    finals: list[FinalCandidate]
    forms: list[TurnForm | None]
    check: TurnCheck
    problems: list[str]

    @classmethod
    def of(
        cls,
        finals: Sequence[FinalCandidate],
        messages: Sequence[Message],
        rule: TurnRule,
    ) -> Self:
        """Read and check the turns; a cut one is none."""
        check = turn_check(tools_of(messages), rule)
        texts = {one["text"] for one in finals if one["status"] == "finished"}
        turns = {text: check.read(text) for text in texts}
        complete = [
            turns[one["text"]] if one["status"] == "finished" else None
            for one in finals
        ]
        usable = [turn if turn and not turn.problem else None for turn in complete]
        forms = [
            turn and turn_form(turn, rule, answer)
            for turn, answer in zip(usable, _answers(usable, rule), strict=True)
        ]
        return cls(
            finals=[
                _final(final, turn, form)
                for final, turn, form in zip(finals, complete, forms, strict=True)
            ],
            forms=forms,
            check=check,
            problems=[turn.problem for turn in complete if turn and turn.problem],
        )

    def decide(self, vote: Vote) -> Decision:
        """Vote, and say what was wrong with turns that cannot be used."""
        decision = decide_turns(self.finals, self.forms, vote, self.check)
        notes = [*self.check.notes, *self._invalid(decision), *decision.notes]
        return decision._replace(notes=notes)

    def _invalid(self, decision: Decision) -> list[str]:
        wrong = len(self.problems)
        if not wrong:
            return []
        example = f"for example: {self.problems[0]}"
        if decision.winner is None:
            best = f"no valid turn (of {wrong}), the best one is given as it is"
            return [f"{best}; what is wrong, {example}"]
        complete = wrong + sum(form is not None for form in self.forms)
        return [f"{wrong} of {complete} turns are invalid and did not vote, {example}"]

    def table(self) -> list[TableRow]:
        """The answers of all combinations of score and vote."""
        return all_turn_votes(self.finals, self.forms, self.check)

    def tallies(self) -> list[list[int]]:
        """What a majority vote has to settle."""
        return turn_tallies(self.finals, self.forms, self.check)


def _answers(
    turns: Sequence[CheckedTurn | None], rule: TurnRule
) -> list[TextAnswer | None]:
    """The mathematical answers of turns that are free text."""
    texts = [
        extract_answer(turn.turn.content)
        if turn is not None and not turn.turn.calls and rule["schema"] is None
        else None
        for turn in turns
    ]
    return [
        None if text is None or group is None else TextAnswer(text, group)
        for text, group in zip(texts, answer_classes(texts), strict=True)
    ]


def _final(
    final: FinalCandidate, turn: CheckedTurn | None, form: TurnForm | None
) -> FinalCandidate:
    text = final["text"] if turn is None else turn.text
    answer = None if form is None else form.answer
    return {**final, "text": text, "answer": answer}
