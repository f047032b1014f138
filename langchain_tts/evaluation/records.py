"""Records of searches: everything needed to grade and vote again without a model.

A record is one line of a run's `rows.jsonl`: one question searched with one strategy,
budget and seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired

from typing_extensions import TypedDict

from langchain_tts.answers import answer_classes, extract_answer, grade
from langchain_tts.budget import Spent
from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.plans import Job, Plan
from langchain_tts.search.select import roots
from langchain_tts.search.state import (
    Candidate,
    FinalCandidate,
    Score,
    SearchResult,
    Status,
    TableRow,
    Vote,
    path,
)
from langchain_tts.search.vote import all_votes, nested_votes


class FinalRecord(TypedDict):
    """A final candidate of a search."""

    sample: int
    """Which of the search's samples, counted from 0, it began with. The candidates with
    `sample < n` of a search with nested budgets are those of a search at n."""
    chain: NotRequired[int]
    """Revision: the chain that it belongs to. The order in it is that of `sample`."""
    text: str
    answer: str | None
    right: bool
    status: Status
    step_scores: list[float]
    logprob: float
    tokens: int
    """Generated tokens from the first step to the last."""


class AnswerRecord(TypedDict):
    """What a search answers at one budget by one score and vote."""

    budget: int
    score: Score | None
    vote: Vote
    answer: str | None
    right: bool


class SearchRecord(TypedDict):
    """One search."""

    id: str
    """Of the question: the same in every run."""
    question: str
    gold: str
    level: int | None
    strategy: str
    """With its parameters, e.g. `beam_search?beam_width=8`."""
    budget: int
    seed: int
    """Of the sweep; the search's own seed follows from it and from the question."""
    answers: list[AnswerRecord]
    """At the budget and at all smaller ones that are nested in it. A search that
    chooses score and vote itself gives its one answer by all of them."""
    finals: list[FinalRecord]
    """In the order in which they were sampled."""
    samples: int | None
    """How many were taken, those that failed or were cut too; None where the search is
    not one of independent samples."""
    spent: Spent
    seconds: float
    stop_reason: str
    degradations: list[str]
    route: NotRequired[dict[str, Any]]
    """What a search that chooses its strategy itself has chosen, and why."""
    error: str | None
    """Why the search gave no result: it then counts as wrong. None where it did."""


Key = tuple[str, str, int, int]
"""What a record is of: question, strategy, budget, seed."""


def question_id(question: Question) -> str:
    """The id of a question: 12 hexadecimal digits of the hash of text and answer."""
    text = f"{question.text}\n{question.answer}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def key_of(record: SearchRecord) -> Key:
    """What a record is of."""
    return record["id"], record["strategy"], record["budget"], record["seed"]


def job_key(job: Job) -> Key:
    """What the record of a job will be of."""
    return question_id(job.question), job.plan.label, job.plan.budget, job.seed


def record_of(job: Job, result: SearchResult) -> SearchRecord:
    """Grade a search: one time for each spelling of an answer, not for each vote."""
    plan, question = job.plan, job.question
    tables, route = _tables(plan, result), _route(result)
    finals = sorted(result["candidates"], key=lambda final: final["id"])
    chosen = {row["answer"] for table in tables.values() for row in table}
    answers = {*(final["answer"] for final in finals), *chosen}
    right = {answer: grade(answer, question.answer) for answer in answers}
    places = {root: place for place, root in enumerate(roots(result["tree"]))}
    record = _record(job, error=None)
    record |= SearchRecord(  # type: ignore[typeddict-item]
        answers=_answers(tables, route, right, scored=plan.scored),
        finals=[
            _final(final, result["tree"], places, right=right[final["answer"]])
            for final in finals
        ],
        samples=len(places) if plan.nested else None,
        spent=result["spent"],
        seconds=result["seconds"],
        stop_reason=result["stop_reason"],
        degradations=result["degradations"],
    )
    if route is not None:
        record["route"] = route
    return record


def _route(result: SearchResult) -> dict[str, Any] | None:
    """A search's route, with the score and the vote that it answered by in the end."""
    route = result.get("route")
    if route is None or "vote" not in route:
        return route
    return {**route, "score": result["score"], "vote": result["vote"]}


def _own(table: Sequence[TableRow], route: dict[str, Any] | None) -> list[TableRow]:
    """A search's table; where it chooses score and vote itself, only its answer."""
    if route is None or "vote" not in route:
        return list(table)
    score = None if route["vote"] == "majority" else route["score"]
    (own,) = (
        row for row in table if (row["score"], row["vote"]) == (score, route["vote"])
    )
    return [
        TableRow(
            score=row["score"], vote=row["vote"], answer=own["answer"], id=own["id"]
        )
        for row in table
    ]


def _answers(
    tables: Mapping[int, Sequence[TableRow]],
    route: dict[str, Any] | None,
    right: Mapping[str | None, bool],
    *,
    scored: bool,
) -> list[AnswerRecord]:
    """What a search answers at each budget, graded."""
    return [
        AnswerRecord(
            budget=size,
            score=row["score"],
            vote=row["vote"],
            answer=row["answer"],
            right=right[row["answer"]],
        )
        for size, table in tables.items()
        for row in _own(table, route)
        if row["score"] is None or scored
    ]


def rescored(record: SearchRecord) -> SearchRecord:
    """A record whose answers are read, graded and voted on again, without a model.

    The votes are over the final candidates, at all budgets of the record.
    """
    if record["error"] is not None:
        return record
    finals = [_reread(final) for final in record["finals"]]
    right = {
        answer: grade(answer, record["gold"])
        for answer in {final["answer"] for final in finals} | {None}
    }
    for final in finals:
        final["right"] = right[final["answer"]]
    scored = any(answer["score"] is not None for answer in record["answers"])
    tables = {
        size: _votes(_first(record, finals, size))
        for size in dict.fromkeys(answer["budget"] for answer in record["answers"])
    }
    answers = _answers(tables, record.get("route"), right, scored=scored)
    return {**record, "answers": answers, "finals": finals}


def failed(job: Job, error: Exception) -> SearchRecord:
    """The record of a search that gave no result."""
    return _record(job, error=f"{type(error).__name__}: {error}")


def _record(job: Job, error: str | None) -> SearchRecord:
    return SearchRecord(
        id=question_id(job.question),
        question=job.question.text,
        gold=job.question.answer,
        level=job.question.level,
        strategy=job.plan.label,
        budget=job.plan.budget,
        seed=job.seed,
        answers=[],
        finals=[],
        samples=None,
        spent=Spent(),
        seconds=0.0,
        stop_reason="failed",
        degradations=[],
        error=error,
    )


def _tables(plan: Plan, result: SearchResult) -> dict[int, list[TableRow]]:
    """The search's own table, or those of all budgets that are nested in it."""
    if not plan.nested:
        return {plan.budget: result["table"]}
    finals = result["candidates"]
    classes = answer_classes([final["answer"] for final in finals])
    return nested_votes(result["tree"], finals, classes, plan.sizes)


def _reread(final: FinalRecord) -> FinalRecord:
    """A final candidate with the answer that its text states."""
    whole = final["status"] == "finished"
    return {**final, "answer": extract_answer(final["text"]) if whole else None}


def _first(
    record: SearchRecord, finals: list[FinalRecord], size: int
) -> list[FinalRecord]:
    """The final candidates of the search at `size`."""
    if record["samples"] is None:
        return finals
    return [final for final in finals if final["sample"] < size]


def _votes(finals: list[FinalRecord]) -> list[TableRow]:
    classes = answer_classes([final["answer"] for final in finals])
    chains = [final["chain"] for final in finals if "chain" in final]
    return all_votes(
        [
            FinalCandidate(
                id=place,
                text=final["text"],
                answer=final["answer"],
                step_scores=final["step_scores"],
                score=None,
                logprob=final["logprob"],
                status=final["status"],
            )
            for place, final in enumerate(finals)
        ],
        classes,
        chains or None,
    )


def _final(
    final: FinalCandidate,
    tree: list[Candidate],
    places: dict[int, int],
    *,
    right: bool,
) -> FinalRecord:
    steps = path(tree, final["id"])
    record = FinalRecord(
        sample=places[steps[0]["id"]],
        text=final["text"],
        answer=final["answer"],
        right=right,
        status=final["status"],
        step_scores=final["step_scores"],
        logprob=final["logprob"],
        tokens=sum(len(step["token_ids"]) for step in steps),
    )
    if "chain" in final:
        record["chain"] = final["chain"]
    return record
