from __future__ import annotations

import asyncio
import json
import math
from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from langchain_tts.budget import Budget
from langchain_tts.evaluation import records
from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.local import IN_FLIGHT, LocalEngine
from langchain_tts.evaluation.plans import Job, plans
from langchain_tts.evaluation.records import key_of
from langchain_tts.evaluation.rescore import rescore
from langchain_tts.evaluation.rows import Row
from langchain_tts.evaluation.store import (
    RunError,
    RunWriter,
    read_records,
    read_run,
)
from langchain_tts.evaluation.sweep import Report, SweepError, question_seed, sweep
from langchain_tts.search.state import Message, SearchResult
from langchain_tts.strategies import STRATEGIES, _tries
from langchain_tts.strategies._proposal import sample_seed
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve
from tests.unit_tests.counting import CountingPolicy, KnowingPrm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from langchain_tts.policies.base import Generation, GenerationRequest
    from langchain_tts.strategies.context import EarlyStop

COSTS = ("samples", "generated_tokens", "policy_flops", "prm_flops")
OF_ALL_SAMPLES = dict.fromkeys(("prm_flops", "pass_at_k"))
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
        seeds=[seed],
    )


def _find(report: Report, *key: object) -> Row:
    (row,) = (
        row
        for row in report["rows"]
        if (row["strategy"], row["budget"], row["score"], row["vote"]) == key
    )
    return row


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
        assert [{**row, **OF_ALL_SAMPLES} for row in alone["rows"]] == [
            {**row, **OF_ALL_SAMPLES} for row in read_off
        ]
        # Which steps the verifier would have read is not known.
        known = strategy == "majority_vote"
        assert all((row["prm_flops"] is not None) == known for row in read_off)


def _alone(strategy: str, budget: int, **parameters: object) -> list[SearchResult]:
    """The searches of a sweep, one by one."""
    context = SearchContext(
        policy=CountingPolicy(),
        prm=KnowingPrm(),
        budget=Budget(samples=budget),
        **parameters,  # type: ignore[arg-type]
    )
    return [
        solve(
            [Message(role="user", content=question.text)],
            strategy=strategy,
            context=context,
            seed=question_seed(0, question.text),
        )
        for question in QUESTIONS
    ]


@pytest.mark.parametrize("strategy", ["best_of_n", "beam_search", "majority_vote"])
def test_rows_tell_the_mean_cost_of_the_searches_at_their_own_budget(
    strategy: str,
) -> None:
    report = _sweep([strategy], [2, 4])
    spent = [result["spent"] for result in _alone(strategy, 4)]
    assert all(one["samples"] == 4 for one in spent)
    rows = [row for row in report["rows"] if row["budget"] == 4]
    assert rows
    for row in rows:
        for name in COSTS:
            mean = sum(one.get(name, 0.0) for one in spent) / 3  # type: ignore[misc]
            assert row[name] == pytest.approx(mean)  # type: ignore[literal-required]


@pytest.mark.parametrize("early_stop", ["certain", "confident"])
def test_early_stop_tells_its_costs_at_each_budget_and_no_pass_at_n(
    early_stop: EarlyStop,
) -> None:
    report = sweep(
        QUESTIONS,
        strategies=["majority_vote", "best_of_n"],
        budgets=[4, 16],
        context=SearchContext(
            policy=CountingPolicy(), prm=KnowingPrm(), early_stop=early_stop
        ),
    )
    for budget in (4, 16):
        row = _find(report, "majority_vote", budget, None, "majority")
        searches = _alone("majority_vote", budget, early_stop=early_stop)
        taken = [result["spent"]["samples"] for result in searches]
        assert min(taken) < budget
        assert row["samples"] == pytest.approx(sum(taken) / 3)
        assert row["pass_at_k"] is None
    # It is no parameter of best-of-N.
    row = _find(report, "best_of_n", 16, "last", "max")
    assert (row["samples"], row["pass_at_k"] is None) == (16, False)


def test_step_search_runs_anew_for_each_budget() -> None:
    policy = CountingPolicy()
    _sweep(["beam_search"], [4, 8], QUESTIONS[:1], policy)
    firsts = [request["n"] for request in policy.requests if not request["prefix"]]
    assert sorted(firsts) == [4, 8]


def test_greedy_has_one_row_a_budget() -> None:
    report = _sweep(["greedy"], [4, 1, 4])
    keys = [(r["budget"], r["score"], r["vote"]) for r in report["rows"]]
    assert keys == [(1, None, "majority"), (4, None, "majority")]


def test_greedy_costs_the_same_at_each_budget() -> None:
    small, large = _sweep(["greedy"], [4, 16])["rows"]
    assert {**small, "budget": 16} == large
    assert small["samples"] == 1


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
    assert seen == [(done, 9) for done in range(10)]


class LossyPolicy(CountingPolicy):
    """Loses every fifth seed and cuts every seventh."""

    def _generation(self, request: GenerationRequest) -> Generation:
        generation = super()._generation(request)
        pairs = zip(generation["samples"], request["seeds"], strict=True)
        for sample, seed in pairs:
            if seed % 5 == 0:
                sample["finish_reason"] = "failed"
            elif seed % 7 == 0:
                sample["finish_reason"] = "length"
        return generation


@pytest.mark.parametrize("strategy", ["majority_vote", "best_of_n"])
def test_pass_at_n_is_the_share_of_choices_of_n_samples_with_a_right_one(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tries, "FIRST_WAIT", 0.0)
    questions = [Question(f"What is 6*7? ({i})", "42", 1) for i in range(12)]
    report = _sweep([strategy], [1, 3, 8], questions, LossyPolicy())
    seeds = [
        [sample_seed(question_seed(0, question.text), place) for place in range(8)]
        for question in questions
    ]
    # Sample by sample: whether it is there, whole, and says 42.
    right = [[s % 5 > 0 and s % 7 > 0 and s % 3 > 0 for s in of] for of in seeds]
    assert {sum(marks) for marks in right} >= {3, 4, 5}
    for row in report["rows"]:
        by_question = []
        for marks in right:
            chosen = list(combinations(marks, row["budget"]))
            by_question.append(sum(map(any, chosen)) / len(chosen))
        mean = sum(by_question) / 12
        variance = sum((value - mean) ** 2 for value in by_question) / 12
        assert row["pass_at_k"] == {
            "n": 12,
            "mean": pytest.approx(mean),
            "stderr": pytest.approx(math.sqrt(variance / 12)),
        }


def test_only_independent_samples_have_a_pass_at_n() -> None:
    report = _sweep(["greedy", "majority_vote", "beam_search"], [1, 4])
    known = {
        (row["strategy"], row["budget"])
        for row in report["rows"]
        if row["pass_at_k"] is not None
    }
    # Greedy search has one sample.
    assert known == {("greedy", 1), ("majority_vote", 1), ("majority_vote", 4)}


def test_a_failed_search_passes_nothing() -> None:
    questions = [Question("  ", "42", 1), Question("What is 6*7?", "42", 1)]
    row = _find(
        _sweep(["majority_vote"], [16], questions),
        "majority_vote",
        16,
        None,
        "majority",
    )
    assert row["pass_at_k"] == {
        "n": 2,
        "mean": 0.5,
        "stderr": pytest.approx(math.sqrt(0.25 / 2)),
    }


def test_a_strategy_that_always_fails_costs_the_others_nothing() -> None:
    report = sweep(
        QUESTIONS,
        strategies=["beam_search", "majority_vote"],
        budgets=[4, 8],
        context=SearchContext(policy=CountingPolicy(), prm=None),
    )
    assert [(row["strategy"], row["budget"]) for row in report["rows"]] == [
        ("majority_vote", 4),
        ("majority_vote", 8),
    ]
    assert report["rows"] == _sweep(["majority_vote"], [4, 8])["rows"]
    failed = [(f["strategy"], f["budget"], f["question"]) for f in report["failures"]]
    assert failed == [
        ("beam_search", budget, question.text)
        for budget in (4, 8)
        for question in QUESTIONS
    ]
    assert "prm is None" in report["failures"][0]["error"]


def test_without_a_verifier_there_is_only_a_majority() -> None:
    report = sweep(
        QUESTIONS,
        strategies=["best_of_n"],
        budgets=[4],
        context=SearchContext(policy=CountingPolicy(), prm=None, vote="majority"),
    )
    assert [(row["score"], row["vote"]) for row in report["rows"]] == [
        (None, "majority")
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_can_be_swept(strategy: str) -> None:
    report = _sweep([strategy], [1, 6])
    assert report["failures"] == []
    assert {row["budget"] for row in report["rows"]} == {1, 6}
    majority = [row for row in report["rows"] if row["vote"] == "majority"]
    assert len(majority) == 2
    scores = {row["score"] for row in report["rows"]} - {None}
    assert bool(scores) == (STRATEGIES[strategy].verifier != "none")


def test_seeds_are_searched_each_and_a_question_counts_once() -> None:
    many = [Question(f"What is 6*7? ({i})", "42", 1 + i % 2) for i in range(30)]

    def of(*seeds: int) -> Row:
        report = sweep(
            many,
            strategies=["majority_vote"],
            budgets=[1],
            context=SearchContext(policy=CountingPolicy(), prm=None),
            seeds=seeds,
        )
        assert report["seeds"] == list(dict.fromkeys(seeds))
        (row,) = report["rows"]
        return row

    alone = [of(seed) for seed in (0, 1, 2)]
    together = of(0, 1, 2, 1)
    assert together["n"] == 30
    mean = sum(row["accuracy"] for row in alone) / 3
    assert together["accuracy"] == pytest.approx(mean)
    # By hand: each question's share of right seeds, spread around their mean.
    marks = [
        sum(
            sample_seed(question_seed(seed, question.text), 0) % 3 > 0
            for seed in (0, 1, 2)
        )
        / 3
        for question in many
    ]
    spread = math.sqrt(sum((mark - mean) ** 2 for mark in marks) / 30 / 30)
    assert together["stderr"] == pytest.approx(spread, rel=0.07)
    assert together["by_level"]["1"]["n"] == 15


def test_the_same_question_with_all_seeds_is_one_question() -> None:
    # Greedy search answers alike with every seed, so more seeds tell nothing more.
    report = sweep(
        QUESTIONS,
        strategies=["best_of_n"],
        budgets=[16],
        context=SearchContext(policy=CountingPolicy(), prm=KnowingPrm()),
        seeds=range(10),
    )
    row = _find(report, "best_of_n", 16, "last", "max")
    assert row["n"] == 3
    assert row["stderr"] == pytest.approx(math.sqrt(2 / 9 / 3), rel=0.07)


def test_a_question_that_is_there_twice_is_asked_once() -> None:
    policy = CountingPolicy()
    report = _sweep(["majority_vote"], [4], [*QUESTIONS, QUESTIONS[0]], policy)
    assert report["questions"] == 3
    assert report["rows"] == _sweep(["majority_vote"], [4])["rows"]
    assert len(policy.requests) == 3


def _kept(
    folder: Path, policy: CountingPolicy, questions: Sequence[Question] = QUESTIONS
) -> tuple[Report, list[tuple[int, int]]]:
    seen: list[tuple[int, int]] = []
    report = sweep(
        questions,
        strategies=["best_of_n", "beam_search"],
        budgets=[2, 4],
        context=SearchContext(policy=policy, prm=KnowingPrm()),
        seeds=[0, 1],
        dataset="sums",
        folder=folder,
        advance=lambda done, total: seen.append((done, total)),
    )
    return report, seen


def test_a_finished_run_is_not_searched_again(tmp_path: Path) -> None:
    first, _ = _kept(tmp_path, CountingPolicy())
    policy = CountingPolicy()
    again, seen = _kept(tmp_path, policy)
    assert again == first
    assert policy.requests == []
    assert seen == [(18, 18)]
    assert json.loads((tmp_path / "summary.json").read_text()) == first
    assert first["dataset"] == "sums"


def test_a_run_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    whole, _ = _kept(tmp_path / "whole", CountingPolicy())
    _kept(tmp_path / "cut", CountingPolicy())
    rows = tmp_path / "cut" / "rows.jsonl"
    rows.write_bytes(b"".join(rows.read_bytes().splitlines(keepends=True)[:7]))
    report, seen = _kept(tmp_path / "cut", CountingPolicy())
    assert report == whole
    assert seen == [(done, 18) for done in range(7, 19)]
    keys = [key_of(record) for record in read_records(tmp_path / "cut")]
    assert len(keys) == len(set(keys)) == 18


def test_searches_that_failed_are_tried_again_when_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tries, "FIRST_WAIT", 0.0)

    class BrokenPolicy(CountingPolicy):
        def submit(
            self, requests: Sequence[GenerationRequest]
        ) -> Future[list[Generation]]:
            if "40+1" in requests[0]["messages"][0]["content"]:
                msg = "no answer"
                raise OSError(msg)
            return super().submit(requests)

    first, _ = _kept(tmp_path, BrokenPolicy())
    assert len(first["failures"]) == 6
    policy = CountingPolicy()
    again, seen = _kept(tmp_path, policy)
    assert again["failures"] == []
    assert seen[0] == (12, 18)
    asked = {request["messages"][0]["content"] for request in policy.requests}
    assert asked == {"What is 40+1?"}
    # Failures stay in the file, and count no more.
    assert len(list(read_records(tmp_path))) == 24
    assert len(read_run(tmp_path).records) == 18


def test_another_sweep_is_refused_in_the_folder_of_one(tmp_path: Path) -> None:
    _kept(tmp_path, CountingPolicy())
    policy = CountingPolicy()
    with pytest.raises(RunError, match="holds another run: its fingerprint is"):
        _kept(tmp_path, policy, QUESTIONS[:2])
    assert policy.requests == []


def test_what_cannot_be_kept_is_said_before_models_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write into"):
        sweep(
            QUESTIONS,
            strategies=["greedy"],
            budgets=[1],
            context=SearchContext(policy="no such model", prm=None),
            folder=tmp_path / "file",
        )


def test_a_record_that_cannot_be_kept_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: object, _record: object) -> None:
        msg = "cannot write into the folder"
        raise RunError(msg)

    monkeypatch.setattr(RunWriter, "write", full)
    with pytest.raises(RunError, match="cannot write into the folder"):
        _kept(tmp_path, CountingPolicy())


def test_a_run_is_rescored_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _ = _kept(tmp_path, CountingPolicy())
    before = (tmp_path / "rows.jsonl").read_bytes()

    def refuse(*_arguments: object) -> None:
        raise AssertionError

    for module in ("policies", "rewards", "evaluation.local"):
        for name in ("resolve_policy", "resolve_prm"):
            monkeypatch.setattr(f"langchain_tts.{module}.{name}", refuse, raising=False)
    seen: list[tuple[int, int]] = []
    again = rescore(tmp_path, advance=lambda *of: seen.append(of))
    assert again == report
    assert (tmp_path / "rows.jsonl").read_bytes() == before
    assert (seen[0], seen[-1]) == ((0, 18), (18, 18))


def test_rescoring_writes_what_another_rule_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _ = _kept(tmp_path, CountingPolicy())
    monkeypatch.setattr(records, "extract_answer", lambda _text: "41")
    again = rescore(tmp_path)
    row = _find(again, "best_of_n", 4, "last", "max")
    assert row["accuracy"] == pytest.approx(1 / 3)
    assert row["accuracy"] != _find(report, "best_of_n", 4, "last", "max")["accuracy"]
    assert json.loads((tmp_path / "summary.json").read_text()) == again
    monkeypatch.undo()
    assert rescore(tmp_path) == report


async def test_a_sweep_runs_inside_a_running_loop() -> None:
    assert _sweep(["greedy"], [1])["rows"] == await asyncio.to_thread(
        lambda: _sweep(["greedy"], [1])["rows"]
    )


async def test_an_error_inside_a_running_loop_is_raised(tmp_path: Path) -> None:
    def full(_done: int, _total: int) -> None:
        if _done:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        sweep(
            QUESTIONS,
            strategies=["greedy"],
            budgets=[1],
            context=SearchContext(policy=CountingPolicy(), prm=None),
            folder=tmp_path,
            advance=full,
        )


def test_jobs_are_made_when_they_are_searched() -> None:
    made = 0

    def jobs() -> Iterator[Job]:
        nonlocal made
        (plan,) = plans(["greedy"], [1], SearchContext())
        for seed in range(150):
            made += 1
            yield Job(plan, QUESTIONS[0], seed)

    ahead: list[int] = []
    LocalEngine().run(
        jobs(),
        SearchContext(policy=CountingPolicy(), prm=None),
        lambda _record: ahead.append(made - len(ahead)),
    )
    assert len(ahead) == 150
    assert max(ahead) <= IN_FLIGHT
