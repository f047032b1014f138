"""Choosing thresholds: by brute force, by hand, and from runs on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest

from langchain_tts.budget import Spent
from langchain_tts.cli import USER_ERROR, main
from langchain_tts.evaluation.cascade import (
    Cut,
    Ended,
    Given,
    Target,
    choose,
    cuts,
    ended,
    figures,
    given,
    held_out,
)
from langchain_tts.evaluation.cascade_runs import thresholds
from langchain_tts.evaluation.records import FinalRecord, SearchRecord
from langchain_tts.evaluation.store import Manifest, Run, RunError


def said(sure: float | None, flops: float, *, right: bool) -> Given:
    return Given({"vote_share": sure}, right, flops)


def two(sure: float, *, small: bool, large: bool) -> list[Given]:
    """Answers of a policy that costs 1, and of one that costs 10."""
    return [said(sure, 1, right=small), said(0.9, 10, right=large)]


QUESTIONS = [
    two(1.0, small=True, large=True),
    two(0.8, small=True, large=False),
    two(0.5, small=False, large=True),
    two(0.2, small=False, large=True),
    two(0.1, small=False, large=False),
]


def cut(*values: float) -> Cut:
    return Cut("vote_share", values)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.0, Ended(right=False, flops=1, last=0)),
        (0.5, Ended(right=False, flops=1, last=0)),
        (0.51, Ended(right=True, flops=11, last=1)),
    ],
)
def test_a_question_ends_with_the_first_policy_that_is_sure(
    threshold: float, expected: Ended
) -> None:
    assert ended(QUESTIONS[2], cut(threshold)) == expected


def test_a_policy_without_an_answer_leaves_the_one_before_it() -> None:
    answers = [said(0.1, 1, right=True), said(None, 10, right=False)]
    assert ended(answers, cut(0.5)) == Ended(right=True, flops=11, last=1)
    answers = [said(None, 1, right=False), said(0.9, 10, right=True)]
    assert ended(answers, cut(0.0)) == Ended(right=True, flops=11, last=1)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        # 3 of 5 need one question more than those that the small one knows.
        (Target("accuracy", 0.4), 0.0),
        (Target("accuracy", 0.6), 0.5),
        (Target("accuracy", 0.8), 0.8),
        # 1 for each question, and 10 for each that is passed on.
        (Target("flops", 1.0), 0.0),
        (Target("flops", 5.0), 0.5),
        (Target("flops", 7.0), 0.8),
        (Target("flops", 99.0), 0.8),
    ],
)
def test_the_cheapest_or_the_most_accurate_thresholds_that_reach_a_target(
    target: Target, expected: float
) -> None:
    assert choose(QUESTIONS, target) == cut(expected)


@pytest.mark.parametrize("kind", ["accuracy", "flops"])
def test_three_policies_by_brute_force(kind: Any) -> None:
    rows = [
        [
            said((7 * i % 10) / 10, 1, right=i % 3 == 0),
            said((3 * i % 10) / 10, 5, right=i % 2 == 0),
            said(0.5, 20, right=i % 7 != 0),
        ]
        for i in range(30)
    ]

    def totals(values: Sequence[float]) -> tuple[float, float]:
        right = cost = 0.0
        for row in rows:
            stage = 0
            while (
                stage < 2
                and (row[stage].confidences["vote_share"] or 0) < values[stage]
            ):
                stage += 1
            right += row[stage].right
            cost += sum(one.flops for one in row[: stage + 1])
        return right / 30, cost / 30

    grid = [totals(v) for v in product([i / 10 for i in range(11)], repeat=2)]
    for wanted in (0.5, 0.6, 0.8) if kind == "accuracy" else (2, 10, 20):
        found = totals(choose(rows, Target(kind, wanted)).defer_below)
        if kind == "accuracy":
            reached = [(-cost, right) for right, cost in grid if right >= wanted]
            assert (-found[1], found[0]) == pytest.approx(max(reached))
        else:
            least = [(right, -cost) for right, cost in grid if cost <= wanted]
            assert (found[0], -found[1]) == pytest.approx(max(least))


def test_many_confidences_are_tried_at_places_that_split_them_evenly() -> None:
    rows = [two(i / 1000, small=True, large=True) for i in range(1000)]
    assert len(cuts(rows)) == 1001
    three = [[*row, said(0.5, 1, right=True)] for row in rows]
    tried = cuts(three)
    assert len(tried) <= 20_000
    assert {cut(0.0, 0.0), cut(1.0, 1.0), cut(0.5, 0.9)} <= set(tried)


def test_figures_are_means_over_questions() -> None:
    ends = [ended(one, cut(0.5)) for one in QUESTIONS]
    found = figures(ends, 2)
    assert (found["n"], found["accuracy"], found["flops"]) == (5, 0.6, 5.0)
    assert found["deferred"] == [0.4]
    assert found["interval"][0] < 0.6 < found["interval"][1]


def test_held_out_questions_are_not_those_that_chose() -> None:
    # The small policy is right where it is sure, but for one question: whichever half
    # that is in, the other half does not know of it.
    rows = {str(i): two(0.5, small=True, large=True) for i in range(20)}
    rows["x"] = two(0.5, small=False, large=True)
    ends = held_out(rows, Target("accuracy", 1.0))
    assert len(ends) == 21
    # Its own half pays for all; the other half's thresholds get it wrong.
    assert {end.last for end in ends} == {0, 1}
    assert [end.right for end in ends].count(False) == 1


def final(sample: int, answer: str, score: float, gold: str) -> FinalRecord:
    return FinalRecord(
        sample=sample,
        text=rf"\boxed{{{answer}}}",
        answer=answer,
        right=answer == gold,
        status="finished",
        step_scores=[0.5, score],
        logprob=-1.0,
        tokens=6,
    )


def record(name: str, answers: Sequence[str], scores: Sequence[float]) -> SearchRecord:
    finals = [
        final(i, answer, score, "7")
        for i, (answer, score) in enumerate(zip(answers, scores, strict=True))
    ]
    n = len(finals)
    return SearchRecord(
        id=name,
        question=name,
        gold="7",
        level=1,
        strategy="best_of_n",
        budget=n,
        seed=0,
        answers=[],
        finals=finals,
        samples=n,
        spent=Spent(
            samples=n,
            prompt_tokens=6,
            generated_tokens=6 * n,
            policy_flops=600.0 * (n + 1),
            prm_flops=100.0 * n,
            prm_calls=1,
        ),
        seconds=1.0,
        stop_reason="finished",
        degradations=[],
        error=None,
    )


def test_the_first_samples_of_a_search_are_what_a_policy_gives() -> None:
    found = record("q", ["7", "7", "8", "8"], [0.2, 0.6, 0.9, 0.9])
    first = given(found, 2, "last", "max", scored=True)
    assert first.confidences == {"vote_share": 1.0, "score": 0.6, "both": 0.8}
    # The question and two samples of 6 tokens, and half of the verifier's work.
    assert (first.right, first.flops) == (True, 1800.0 + 200.0)
    whole = given(found, 4, "last", "max", scored=True)
    assert whole.confidences == {"vote_share": 0.5, "score": 0.9, "both": 0.7}
    assert (whole.right, whole.flops) == (False, 3000.0 + 400.0)
    unscored = given(found, 4, "last", "majority", scored=False)
    assert list(unscored.confidences) == ["vote_share"]


def test_a_search_that_failed_is_an_answer_of_nothing() -> None:
    lost = {**record("q", [], []), "error": "RuntimeError: no", "samples": None}
    found = given(cast("SearchRecord", lost), 2, "last", "max", scored=True)
    assert found == Given(
        {"vote_share": None, "score": None, "both": None}, right=False, flops=0.0
    )


def run(policy: str, records: list[SearchRecord], **changes: Any) -> Run:
    manifest = {
        "version": 1,
        "policy": policy,
        "prm": "knowing",
        "dataset": "mine",
        "fingerprint": "f" * 16,
        "seeds": [0],
        "policy_parameters": 100,
        "prm_parameters": 50,
        "questions": 8,
        "strategies": ["best_of_n"],
        "budgets": [2],
        "parameters": {},
    }
    return Run(cast("Manifest", {**manifest, **changes}), records)


SMALL = [
    record(f"q{i}", ["7", "7"] if i % 2 else ["8", "9"], [0.9, 0.9]) for i in range(8)
]
LARGE = [record(f"q{i}", ["7", "7"], [0.9, 0.9]) for i in range(8)]


def test_a_file_is_made_of_a_run_of_each_policy() -> None:
    found = thresholds(
        [run("a", SMALL), run("b", LARGE)], 4, Target("accuracy", 1.0), "last", "max"
    )
    assert (found["policies"], found["samples"]) == (["a", "b"], [2, 2])
    assert (found["trust"], found["defer_below"]) == ("vote_share", [1.0])
    assert found["chosen"]["accuracy"] == 1.0
    assert found["chosen"]["deferred"] == [0.5]
    # 1800 + 200 of each policy; half of the questions are passed on.
    assert found["chosen"]["flops"] == 3000.0
    assert found["held_out"]["n"] == 8
    assert json.loads(json.dumps(found))["target"] == {"accuracy": 1.0}


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([run("a", SMALL)], "two policies"),
        ([run("a", SMALL), run("b", LARGE, prm="other")], "differ in prm"),
        ([run("a", SMALL), run("b", LARGE, fingerprint="0")], "differ in fingerprint"),
        ([run("a", SMALL), run("b", LARGE[:3])], "only 3 of 8 questions"),
        ([run("a", SMALL), run("b", [])], "the run of 'b' has no best_of_n"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    runs: list[Run], message: str
) -> None:
    with pytest.raises(RunError, match=message):
        thresholds(runs, 4, Target("accuracy", 0.5), "last", "max")


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    found = []
    for name, records in (("a", SMALL), ("b", LARGE)):
        folder = tmp_path / name
        folder.mkdir()
        manifest = run(name, []).manifest
        (folder / "run.json").write_text(json.dumps(manifest))
        lines = [json.dumps(record) for record in records]
        (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
        found.append(str(folder))
    return found


def test_the_command_writes_the_file_and_says_what_it_holds(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cascade.json"
    options = ["--runs", *folders, "--budget", "4", "--out", str(out)]
    assert main(["calibrate-cascade", *options, "--target-accuracy", "1"]) == 0
    assert json.loads(out.read_text())["defer_below"] == [1.0]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "a passes on below 1.000 (vote_share)"
    assert said[1].startswith("chosen on:  accuracy 1.000 [1.000, 1.000], 3e+03 FLOPs")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (["--target-accuracy", "1.1"], "no thresholds reach an accuracy of 1.1"),
        (["--target-flops", "1"], "no thresholds keep to 1 FLOPs"),
    ],
)
def test_a_target_that_cannot_be_reached_is_one_line(
    folders: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    target: list[str],
    message: str,
) -> None:
    out = tmp_path / "cascade.json"
    options = ["--runs", *folders, "--budget", "4", "--out", str(out)]
    assert main(["calibrate-cascade", *options, *target]) == USER_ERROR
    assert message in capsys.readouterr().err
    assert not out.exists()
