from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from langchain_tts.evaluation.settling import Best, best_of, stop_score, trusted
from tests.unit_tests.evaluation.searches import final, record, sampled

if TYPE_CHECKING:
    from langchain_tts.evaluation.records import SearchRecord


def test_the_best_of_the_first_samples_has_the_highest_last_score() -> None:
    search = record(
        "q", "best_of_n", {}, sampled([0.3, 0.7, 0.9], [False, True, False])
    )
    assert best_of(search, 2) == Best(0.7, right=True)
    assert best_of(search, 3) == Best(0.9, right=False)


def test_samples_without_answer_or_score_and_cut_ones_are_not_the_best() -> None:
    cut = final(2, 0.99, right=True, answer="1")
    cut["status"] = "truncated"
    finals = [
        final(0, 0.98, right=False, answer=""),
        final(1, None, right=True, answer="1"),
        cut,
        final(3, 0.1, right=False, answer="2"),
    ]
    assert best_of(record("q", "best_of_n", {}, finals), 4) == Best(0.1, right=False)
    assert best_of(record("q", "best_of_n", {}, finals), 3) is None


def _searches(n: int, wrong_below: float) -> list[SearchRecord]:
    return [
        record(str(i), "best_of_n", {}, sampled([i / n], [i / n >= wrong_below]))
        for i in range(n)
    ]


def test_the_score_is_the_least_that_keeps_the_target_with_its_error() -> None:
    # Of 100 questions the 40 from 0.6 on are right. With k wrong ones below it is
    # 40 / (40 + k); Wilson's bound at z = 1 is 0.908 for k = 2 and 0.881 for k = 3.
    searches = _searches(100, 0.6)
    assert stop_score(searches, [1], 0.9) == pytest.approx(0.58)


def test_a_target_that_is_never_kept_has_no_score() -> None:
    assert stop_score(_searches(100, 2.0), [1], 0.9) is None
    assert stop_score([], [1]) is None


def test_the_target_is_kept_at_every_number_of_samples() -> None:
    # The second sample of half of the questions is a mistake that scores 0.9.
    searches = [
        record(
            str(i),
            "best_of_n",
            {},
            sampled([0.8, 0.9 if i % 2 else 0.1], [True, False]),
        )
        for i in range(100)
    ]
    assert stop_score(searches, [1], 0.9) == pytest.approx(0.8)
    assert stop_score(searches, [1, 2], 0.9) is None


def test_trust_is_measured_on_the_questions_that_did_not_choose() -> None:
    # Scores say nothing here, so what looks right enough by luck is not.
    rng = random.Random(0)
    searches = [
        record(
            str(i),
            "best_of_n",
            {},
            sampled([rng.random()], [rng.random() < 0.7]),
        )
        for i in range(400)
    ]
    (found,) = trusted(searches, [1], [1], 0.75)["trust"]
    assert found["precision"] is None or found["precision"] < 0.75


def test_trust_tells_precision_and_coverage_by_samples() -> None:
    searches = [
        record(
            str(i),
            "best_of_n",
            {},
            sampled([0.9 if i % 2 else 0.2, 0.95], [bool(i % 2), i % 4 == 1]),
        )
        for i in range(200)
    ]
    found = trusted(searches, [1], [1, 2], 0.95)
    assert found["n"] == 200
    assert found["trust"] == [
        {"samples": 1, "precision": 1.0, "coverage": 0.5},
        {"samples": 2, "precision": 0.25, "coverage": 1.0},
    ]
