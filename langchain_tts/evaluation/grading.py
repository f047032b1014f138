"""Grading a search: which of its answers are right, for all budgets read off it."""

from __future__ import annotations

from typing import NamedTuple

from langchain_tts.answers import answer_classes, grade
from langchain_tts.budget import Spent
from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.plans import Plan
from langchain_tts.search.select import roots
from langchain_tts.search.state import Score, SearchResult, TableRow, Vote
from langchain_tts.search.vote import nested_votes

Way = tuple[int, Score | None, Vote]
"""A way of answering: budget N, score and vote."""


class Graded(NamedTuple):
    """Which answers of one search are right."""

    marks: dict[Way, bool]
    samples: int | None
    """How many were taken, those that failed or were cut too; None where the search is
    not one of independent samples."""
    right: int
    """How many of its complete answers are right."""
    spent: Spent


def grade_search(plan: Plan, question: Question, result: SearchResult) -> Graded:
    """Grade a search: one time for each spelling of an answer, not for each vote."""
    tables = _tables(plan, result)
    answers = [final["answer"] for final in result["candidates"]]
    chosen = [row["answer"] for table in tables.values() for row in table]
    right = {answer: grade(answer, question.answer) for answer in {*answers, *chosen}}
    return Graded(
        marks={
            (size, row["score"], row["vote"]): right[row["answer"]]
            for size, table in tables.items()
            for row in table
            if row["score"] is None or plan.scored
        },
        samples=len(roots(result["tree"])) if plan.nested else None,
        right=sum(right[answer] for answer in answers),
        spent=result["spent"],
    )


def _tables(plan: Plan, result: SearchResult) -> dict[int, list[TableRow]]:
    """The search's own table, or those of all budgets that are nested in it."""
    if not plan.nested:
        return {plan.budget: result["table"]}
    finals = result["candidates"]
    classes = answer_classes([final["answer"] for final in finals])
    return nested_votes(result["tree"], finals, classes, plan.sizes)
