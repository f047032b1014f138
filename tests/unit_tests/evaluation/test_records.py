from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langchain_tts.answers import answers_equal
from langchain_tts.budget import Budget
from langchain_tts.evaluation import records
from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.plans import Job, Plan, plans
from langchain_tts.evaluation.records import (
    FinalRecord,
    SearchRecord,
    failed,
    job_key,
    key_of,
    question_id,
    record_of,
    rescored,
)
from langchain_tts.search.state import SearchResult
from langchain_tts.strategies import STRATEGIES
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve
from tests.unit_tests.counting import CountingPolicy, KnowingPrm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.strategies.context import EarlyStop

QUESTION = Question("What is 6*7?", "42", 1)


def _search(strategy: str, budget: int) -> SearchResult:
    context = SearchContext(
        policy=CountingPolicy(), prm=KnowingPrm(), budget=Budget(samples=budget)
    )
    messages = [{"role": "user", "content": QUESTION.text}]
    return solve(messages, strategy=strategy, context=context, seed=1)  # type: ignore[arg-type]


def _plans(
    strategies: Sequence[str],
    budgets: Sequence[int],
    prm: KnowingPrm | None = None,
    early_stop: EarlyStop = "off",
) -> list[Plan]:
    context = SearchContext(policy=CountingPolicy(), prm=prm, early_stop=early_stop)
    return plans(strategies, budgets, context)


def test_nested_strategies_run_once_and_others_at_each_budget() -> None:
    found = _plans(["best_of_n", "dvts", "best_of_n"], [16, 4, 16], KnowingPrm())
    assert found == [
        Plan("best_of_n", 16, (4, 16), nested=True, scored=True),
        Plan("dvts", 4, (4,), nested=False, scored=True),
        Plan("dvts", 16, (16,), nested=False, scored=True),
    ]


def test_a_vote_that_may_stop_early_runs_at_each_budget() -> None:
    found = _plans(["majority_vote", "greedy"], [4, 16], early_stop="certain")
    assert found == [
        Plan("majority_vote", 4, (4,), nested=False, scored=False),
        Plan("majority_vote", 16, (16,), nested=False, scored=False),
        Plan("greedy", 16, (4, 16), nested=True, scored=False),
    ]


def test_a_search_that_is_not_nested_is_graded_by_its_own_table() -> None:
    # A strategy may vote in its own way: revision does, first in each chain.
    result = _search("beam_search", 4)
    for row in result["table"]:
        row["answer"] = "42" if row["score"] == "avg" else "7"
    (plan,) = _plans(["beam_search"], [4], KnowingPrm())
    record = record_of(Job(plan, QUESTION, 0), result)
    right = {(a["score"], a["vote"]) for a in record["answers"] if a["right"]}
    assert right == {("avg", "max"), ("avg", "vote")}
    assert [answer["budget"] for answer in record["answers"]] == [4] * 9
    assert record["samples"] is None


def test_samples_are_counted_once_each() -> None:
    result = _search("best_of_n", 12)
    (plan,) = _plans(["best_of_n"], [3, 12], KnowingPrm())
    record = record_of(Job(plan, QUESTION, 0), result)
    answers = [final["answer"] for final in result["candidates"]]
    assert record["samples"] == 12
    assert [final["sample"] for final in record["finals"]] == list(range(12))
    marks = [final["right"] for final in record["finals"]]
    assert sum(marks) == answers.count("42")
    assert {answer["budget"] for answer in record["answers"]} == {3, 12}


def test_each_spelling_is_compared_with_the_right_answer_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[str | None] = []

    def grade(answer: str | None, gold: str) -> bool:
        compared.append(answer)
        return answer is not None and answers_equal(answer, gold)

    monkeypatch.setattr(records, "grade", grade)
    (plan,) = _plans(["best_of_n"], [4, 16, 32], KnowingPrm())
    record_of(Job(plan, QUESTION, 0), _search("best_of_n", 32))
    assert sorted(map(str, compared)) == ["41", "42"]


def test_a_record_says_what_it_is_of() -> None:
    (plan,) = _plans(["beam_search?beam_width=2"], [4], KnowingPrm())
    job = Job(plan, QUESTION, 7)
    record = record_of(job, _search("beam_search", 4))
    key = (question_id(QUESTION), "beam_search?beam_width=2", 4, 7)
    assert key_of(record) == job_key(job) == key
    assert key_of(failed(job, ValueError("no"))) == key
    assert (record["question"], record["gold"], record["level"]) == (
        "What is 6*7?",
        "42",
        1,
    )
    assert record["error"] is None


def test_finals_tell_their_tokens_and_those_of_a_revision_their_chain() -> None:
    (plan,) = _plans(["revision"], [4], KnowingPrm())
    record = record_of(Job(plan, QUESTION, 0), _search("revision", 4))
    # Three steps of two tokens; four answers are two chains of two.
    assert [final["tokens"] for final in record["finals"]] == [6] * 4
    assert sorted(final["chain"] for final in record["finals"]) == [0, 0, 1, 1]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rescoring_a_search_gives_its_record_again(strategy: str) -> None:
    planned = _plans([strategy], [3, 12], KnowingPrm())
    for plan in planned:
        record = record_of(Job(plan, QUESTION, 0), _search(strategy, plan.budget))
        assert rescored(record) == record


def test_a_search_that_chooses_its_vote_has_one_answer_by_all_of_them() -> None:
    # Majority says 42, the best score 7.
    result = _search("best_of_n", 4)
    for row in result["table"]:
        row["answer"] = "42" if row["vote"] == "majority" else "7"
    result["route"] = {"by": "compute_optimal", "score": "last", "vote": "max"}
    result["vote"] = "majority"
    (plan,) = _plans(["compute_optimal"], [4], KnowingPrm())
    record = record_of(Job(plan, QUESTION, 0), result)
    assert len(record["answers"]) == 9
    assert {(one["answer"], one["right"]) for one in record["answers"]} == {
        ("42", True)
    }
    assert record["route"]["vote"] == "majority"


def test_rescoring_reads_and_grades_the_texts_again() -> None:
    (plan,) = _plans(["best_of_n"], [2, 6], KnowingPrm())
    record = record_of(Job(plan, QUESTION, 0), _search("best_of_n", 6))
    whole, *others = record["finals"]
    cut: FinalRecord = {**whole, "status": "truncated"}
    stale: SearchRecord = {
        **record,
        "finals": [
            {**final, "answer": "?", "right": not final["right"]}
            for final in (cut, *others)
        ],
        "answers": [{**one, "answer": "?"} for one in record["answers"]],
    }
    again = rescored(stale)
    assert [final["answer"] for final in again["finals"][1:]] == [
        final["answer"] for final in others
    ]
    assert [final["right"] for final in again["finals"][1:]] == [
        final["right"] for final in others
    ]
    # A cut answer is none, and cannot vote.
    assert (again["finals"][0]["answer"], again["finals"][0]["right"]) == (None, False)
    first = [one["answer"] for one in again["answers"] if one["budget"] == 2]
    assert first == [others[0]["answer"]] * 9


def test_rescoring_leaves_a_search_that_failed() -> None:
    (plan,) = _plans(["best_of_n"], [2], KnowingPrm())
    record = failed(Job(plan, QUESTION, 0), ValueError("no"))
    assert rescored(record) == record
