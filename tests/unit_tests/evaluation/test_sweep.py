from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from langchain_tts.budget import Budget
from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.report import progress, table
from langchain_tts.evaluation.sweep import (
    Report,
    Row,
    SweepError,
    accuracy,
    question_seed,
    sweep,
)
from langchain_tts.search.state import Message
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve
from tests.unit_tests.counting import CountingPolicy, KnowingPrm

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_COST = {"policy_flops": None, "prm_flops": None}
QUESTIONS = [
    Question("What is 6*7?", "42", 1),
    Question("What is 7*6?", "42", 1),
    Question("What is 40+1?", "41", 2),
]


def _sweep(
    strategies: Sequence[str],
    budgets: Sequence[int],
    questions: Sequence[Question] = QUESTIONS,
    policy: CountingPolicy | None = None,
    seed: int = 0,
) -> Report:
    return sweep(
        questions,
        strategies=strategies,
        budgets=budgets,
        context=SearchContext(policy=policy or CountingPolicy(), prm=KnowingPrm()),
        seed=seed,
    )


def _find(report: Report, *key: object) -> Row:
    (row,) = (
        row
        for row in report["rows"]
        if (row["strategy"], row["budget"], row["score"], row["vote"]) == key
    )
    return row


def test_accuracy_and_its_binomial_standard_error() -> None:
    # 3 of 4: sqrt(0.75 * 0.25 / 4).
    assert accuracy([True, True, False, True]) == {
        "n": 4,
        "accuracy": 0.75,
        "stderr": pytest.approx(0.21650635),
    }


def test_rows_report_accuracy_over_all_and_by_level() -> None:
    # The PRM prefers 42, which is wrong for the question of level 2.
    row = _find(_sweep(["best_of_n"], [16]), "best_of_n", 16, "last", "max")
    assert row["n"] == 3
    assert row["accuracy"] == pytest.approx(2 / 3)
    assert row["stderr"] == pytest.approx(math.sqrt(2 / 9 / 3))
    assert row["by_level"]["1"] == {"n": 2, "accuracy": 1.0, "stderr": 0.0}
    assert row["by_level"]["2"]["accuracy"] == 0.0


def test_every_combination_of_score_and_vote_is_a_row_of_one_run() -> None:
    policy = CountingPolicy()
    report = _sweep(["beam_search"], [8], policy=policy)
    combinations = {(row["score"], row["vote"]) for row in report["rows"]}
    scored = {(s, v) for s in ("min", "last", "avg", "prod") for v in ("max", "vote")}
    assert combinations == {(None, "majority"), *scored}
    firsts = [r for r in policy.requests if not r["prefix"]]
    assert len(firsts) == len(QUESTIONS)


def test_sampling_strategies_run_once_and_smaller_budgets_are_read_off() -> None:
    policy = CountingPolicy()
    report = _sweep(["majority_vote"], [1, 4, 16], policy=policy)
    assert [row["budget"] for row in report["rows"]] == [1, 4, 16]
    assert [request["n"] for request in policy.requests] == [16] * len(QUESTIONS)


@pytest.mark.parametrize("strategy", ["best_of_n", "majority_vote"])
def test_a_budget_read_off_a_larger_run_is_the_run_at_that_budget(
    strategy: str,
) -> None:
    many = [Question(f"What is 6*7? ({i})", "42", 1) for i in range(20)]
    together = _sweep([strategy], [1, 2, 3, 16], many)
    for budget in (1, 2, 3):
        alone = _sweep([strategy], [budget], many)
        read_off = [row for row in together["rows"] if row["budget"] == budget]
        assert [{**row, **NO_COST} for row in alone["rows"]] == read_off


def test_rows_tell_the_mean_cost_of_the_searches_at_their_own_budget() -> None:
    report = _sweep(["best_of_n"], [2, 4], QUESTIONS)
    context = SearchContext(
        policy=CountingPolicy(), prm=KnowingPrm(), budget=Budget(samples=4)
    )
    spent = [
        solve(
            [Message(role="user", content=question.text)],
            strategy="best_of_n",
            context=context,
            seed=question_seed(0, question.text),
        )["spent"]
        for question in QUESTIONS
    ]
    for row in report["rows"]:
        if row["budget"] == 2:
            assert row["policy_flops"] is None
            continue
        for name in ("policy_flops", "prm_flops"):
            mean = sum(one[name] for one in spent) / 3
            assert row[name] == pytest.approx(mean)
            assert mean > 0


def test_step_search_runs_anew_for_each_budget() -> None:
    policy = CountingPolicy()
    _sweep(["beam_search"], [4, 8], QUESTIONS[:1], policy)
    firsts = [request["n"] for request in policy.requests if not request["prefix"]]
    assert sorted(firsts) == [4, 8]


def test_greedy_has_one_row_a_budget() -> None:
    report = _sweep(["greedy"], [4, 1, 4])
    keys = [(r["budget"], r["score"], r["vote"]) for r in report["rows"]]
    assert keys == [(1, None, "majority"), (4, None, "majority")]


def test_strategies_are_reported_in_the_order_they_were_asked_for() -> None:
    report = _sweep(["majority_vote", "greedy"], [1])
    assert [row["strategy"] for row in report["rows"]] == ["majority_vote", "greedy"]


def test_a_sweep_is_repeatable_and_its_seed_matters() -> None:
    many = [Question(f"What is 6*7? ({i})", "42") for i in range(30)]
    first = _sweep(["majority_vote"], [1], many)
    assert _sweep(["majority_vote"], [1], many) == first
    others = [_sweep(["majority_vote"], [1], many, seed=seed) for seed in range(1, 5)]
    assert any(other["rows"] != first["rows"] for other in others)
    assert question_seed(0, "a") != question_seed(1, "a") != question_seed(1, "b")


def test_a_failed_search_counts_as_wrong_and_is_said() -> None:
    questions = [Question("  ", "42", 1), Question("What is 6*7?", "42", 1)]
    report = _sweep(["best_of_n"], [4, 16], questions)
    row = _find(report, "best_of_n", 4, "last", "max")
    assert (row["n"], row["accuracy"]) == (2, 0.5)
    (failure,) = report["failures"]
    assert failure["question"] == "  "
    assert "empty" in failure["error"]


def test_a_sweep_whose_every_search_fails_is_an_error() -> None:
    with pytest.raises(SweepError, match=r"every search failed; the first: .*empty"):
        _sweep(["greedy"], [1], [Question(" ", "1")])


def test_a_sweep_over_nothing_is_refused() -> None:
    with pytest.raises(SweepError, match="at least one question"):
        _sweep(["greedy"], [1], [])


def test_an_unknown_strategy_is_refused_before_anything_runs() -> None:
    policy = CountingPolicy()
    with pytest.raises(ValueError, match="unknown strategy 'guess'"):
        _sweep(["greedy", "guess"], [1], policy=policy)
    assert policy.requests == []


def test_progress_is_reported_up_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    sweep(
        QUESTIONS,
        strategies=["greedy", "beam_search"],
        budgets=[1, 4],
        context=SearchContext(policy=CountingPolicy(), prm=KnowingPrm()),
        advance=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 9) for done in range(1, 10)]


def test_the_table_shows_one_way_of_answering_for_each_strategy_and_budget(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = _sweep(["greedy", "majority_vote", "best_of_n"], [4, 16])
    console = Console(width=80)
    console.print(table(report, title="sums", score="last", vote="max"))
    lines = [line for line in capsys.readouterr().out.splitlines() if "±" in line]
    assert "3 questions" in lines[0]
    # The title, greedy once, the others at both budgets.
    assert len(lines) == 6
    assert "last-max" in lines[-1]
    assert "66.7±27.2" in lines[-1]
    assert "100±0" in lines[-1]


def test_the_table_by_majority_shows_majority_rows() -> None:
    report = _sweep(["majority_vote", "best_of_n"], [4])
    drawn = table(report, title="sums", score="last", vote="majority")
    assert drawn.row_count == 2


def test_without_a_terminal_progress_is_a_line_on_stderr_for_each_tenth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as advance:
        assert capsys.readouterr() == ("", "")
        for done in range(1, 41):
            advance(done, 40)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("4 of 40 searches")
    assert lines[-1].endswith("0 s left")


def test_on_a_terminal_progress_is_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress() as advance:
        assert capsys.readouterr() == ("", "")
        advance(1, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "1/2" in captured.err
