"""Arms, their costs, and best-of-N at every N."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.repro_arms import best_by_score, find_arm
from benchmarks.repro_costs import question_tokens, tokens_at
from benchmarks.repro_curve import curve, flops_factor, samples_factor
from benchmarks.repro_runs import MissingRunError, Runs
from langchain_tts.evaluation.records import SearchRecord
from tests.unit_tests.reproduction.written import (
    TOKENS,
    Drawn,
    final,
    search,
    write_run,
)

RIGHT, WRONG = Drawn(right=True), Drawn(right=False)


def test_the_best_scored_answer_is_chosen_and_the_first_of_equals() -> None:
    finals = [final(0, Drawn(False, 0.2)), final(1, Drawn(True, 0.9))]
    finals += [final(2, Drawn(False, 0.9))]
    chosen = best_by_score(finals)
    assert chosen is not None
    assert chosen["sample"] == 1
    assert best_by_score([{**finals[0], "status": "truncated"}]) is None


def test_a_search_pays_for_its_question_once_and_for_all_that_it_generates() -> None:
    record = search("12*7", "best_of_n", [RIGHT] * 4, sizes=[1, 4])
    asked = question_tokens("12*7")
    assert asked > 3
    assert tokens_at(record, 4) == (asked + 4 * TOKENS, asked + 4 * TOKENS)
    assert tokens_at(record, 1) == (asked + TOKENS, asked + TOKENS)


def test_nobody_pays_for_a_verifier_that_was_not_asked() -> None:
    record = search("12*7", "majority_vote", [RIGHT] * 4, sizes=[1, 4])
    assert tokens_at(record, 4).prm == 0


def test_what_revisions_show_the_policy_again_is_paid_for() -> None:
    record = search("12*7", "revision", [RIGHT] * 4)
    record["spent"]["prompt_tokens"] = 500
    assert tokens_at(record, 4).policy == 500 + 4 * TOKENS


def test_an_arm_knows_who_was_right_and_what_it_cost(tmp_path: Path) -> None:
    drawn = [Drawn(False, 0.1), Drawn(True, 0.8)]
    records = [
        search("a", "best_of_n", drawn, sizes=[1, 2]),
        search("b", "best_of_n", drawn[::-1], sizes=[1, 2]),
    ]
    write_run(tmp_path, "test-strong", records)
    one = find_arm(Runs(tmp_path), "test-strong", "best_of_n", 1)
    two = find_arm(Runs(tmp_path), "test-strong", "best_of_n", 2)
    assert one.marks(["a", "b"]) == [0.0, 1.0]
    assert two.marks(["a", "b"]) == [1.0, 1.0]
    asked = question_tokens("a")
    # 2 P tokens, P = 100 and 50.
    assert two.policy_flops(["a"]) == 200 * (asked + 2 * TOKENS)
    assert two.prm_flops(["a"]) == 100 * (asked + 2 * TOKENS)
    assert one.policy_flops(["a"]) == 200 * (asked + TOKENS)


def test_an_arm_that_lacks_questions_is_missing(tmp_path: Path) -> None:
    records = [
        search("a", "greedy", [RIGHT], sizes=[1]),
        search("b", "greedy", [RIGHT], sizes=[1]),
        search("a", "dvts", [RIGHT] * 4),
    ]
    write_run(tmp_path, "test-strong", records)
    with pytest.raises(MissingRunError, match="not searched all questions with dvts"):
        find_arm(Runs(tmp_path), "test-strong", "dvts", 4)


def test_a_missing_run_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingRunError, match="--out runs/test-small"):
        Runs(tmp_path).run("test-small")


def _records(marks: list[list[bool]]) -> list[SearchRecord]:
    """Best-of-N whose later samples always score more."""
    return [
        search(
            f"q{place}",
            "best_of_n",
            [Drawn(right, 0.1 * n) for n, right in enumerate(row)],
            sizes=[len(row)],
        )
        for place, row in enumerate(marks)
    ]


def test_best_of_n_is_read_off_at_every_n() -> None:
    found = curve(_records([[False, True, True, False], [True] * 4]), 100, 50)
    assert found.marks.mean(axis=0).tolist() == [0.5, 1.0, 1.0, 0.5]
    asked = question_tokens("q0")
    assert found.policy_flops[2] == 200 * (asked + 3 * TOKENS)
    assert found.prm_flops[2] == 100 * (asked + 3 * TOKENS)


def test_the_factor_is_the_first_n_that_is_as_accurate(tmp_path: Path) -> None:
    # Right from the third sample on, each question alike: no draw can differ.
    base = curve(_records([[False, False, True, True]] * 5), 100, 50)
    beams = [search(f"q{place}", "beam", [RIGHT]) for place in range(5)]
    write_run(tmp_path, "test-strong", beams)
    arm = find_arm(Runs(tmp_path), "test-strong", "beam", 1)
    assert samples_factor(base, arm).text() == "3.0x (3.0 to 3.0)"
    asked = question_tokens("q0")
    expected = (asked + 3 * TOKENS) / (asked + TOKENS)
    assert flops_factor(base, arm).value == pytest.approx(expected)


def test_a_factor_that_was_not_reached_is_a_lower_bound(tmp_path: Path) -> None:
    base = curve(_records([[False] * 4] * 5), 100, 50)
    beams = [search(f"q{place}", "beam", [RIGHT]) for place in range(5)]
    write_run(tmp_path, "test-strong", beams)
    arm = find_arm(Runs(tmp_path), "test-strong", "beam", 1)
    found = samples_factor(base, arm)
    assert not found.reached
    assert found.text() == "> 4.0x (4.0 to not reached)"
