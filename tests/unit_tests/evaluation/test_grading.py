from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langchain_tts.answers import answers_equal
from langchain_tts.budget import Budget
from langchain_tts.evaluation import grading
from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.grading import grade_search
from langchain_tts.evaluation.plans import Plan, plans
from langchain_tts.search.state import SearchResult
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
    graded = grade_search(plan, QUESTION, result)
    right = {way for way, mark in graded.marks.items() if mark}
    assert right == {(4, "avg", "max"), (4, "avg", "vote")}
    assert len(graded.marks) == 9
    assert graded.samples is None


def test_samples_are_counted_once_each() -> None:
    result = _search("best_of_n", 12)
    (plan,) = _plans(["best_of_n"], [3, 12], KnowingPrm())
    graded = grade_search(plan, QUESTION, result)
    answers = [final["answer"] for final in result["candidates"]]
    assert (graded.samples, graded.right) == (12, answers.count("42"))
    assert {size for size, _, _ in graded.marks} == {3, 12}


def test_each_spelling_is_compared_with_the_right_answer_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[str | None] = []

    def grade(answer: str | None, gold: str) -> bool:
        compared.append(answer)
        return answer is not None and answers_equal(answer, gold)

    monkeypatch.setattr(grading, "grade", grade)
    (plan,) = _plans(["best_of_n"], [4, 16, 32], KnowingPrm())
    grade_search(plan, QUESTION, _search("best_of_n", 32))
    assert sorted(map(str, compared)) == ["41", "42"]
