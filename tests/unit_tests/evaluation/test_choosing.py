from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from langchain_tts.evaluation.arms import Arm, arms, choice
from langchain_tts.evaluation.choosing import best_way, pick, sure_advantage
from langchain_tts.evaluation.crossfit import Study, held_out
from langchain_tts.evaluation.folds import halves
from tests.unit_tests.evaluation.searches import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.evaluation.arms import ScoreVote

MAJORITY: ScoreVote = (None, "majority")
LAST: ScoreVote = ("last", "max")
MIN: ScoreVote = ("min", "vote")


def _arm(name: str, marks: Sequence[int]) -> Arm:
    return Arm(name, {LAST: [bool(mark) for mark in marks]})


def _bins(n: int, bins: int) -> list[int]:
    return [1 + place * bins // n for place in range(n)]


def test_arms_are_read_off_records_at_a_budget() -> None:
    found = arms(
        [
            record("a", "best_of_n", {(4, LAST): True, (16, LAST): False}),
            record("b", "best_of_n", {(4, LAST): False, (4, MAJORITY): True}),
            record("a", "dvts", {}, error="lost"),
            record("b", "dvts", {(4, LAST): True}),
            record("a", "levin", {}, error="lost"),
        ],
        4,
        ["b", "a"],
    )
    assert found == [
        Arm("best_of_n", {LAST: [False, True], MAJORITY: [True, False]}),
        Arm("dvts", {LAST: [True, False]}),
    ]


def test_a_choice_without_a_score_has_the_usual_one() -> None:
    arm = Arm("greedy", {MAJORITY: [True]})
    assert choice(arm, MAJORITY) == {
        "strategy": "greedy",
        "score": "last",
        "vote": "majority",
    }


def test_the_usual_way_is_kept_unless_another_is_better_beyond_noise() -> None:
    usual = [place < 50 for place in range(100)]
    # Two more of a hundred: 0.02 with a standard error of 0.014.
    clear = [place < 52 for place in range(100)]
    assert best_way(Arm("a", {LAST: usual, MIN: clear}), range(100)) == MIN
    # Six better and four worse: 0.02 with a standard error of 0.032.
    noisy = [4 <= place < 56 for place in range(100)]
    assert best_way(Arm("a", {LAST: usual, MIN: noisy}), range(100)) == LAST


def test_without_scores_the_usual_way_is_majority() -> None:
    assert best_way(Arm("a", {MAJORITY: [False]}), [0]) == MAJORITY


def test_an_advantage_that_grows_with_difficulty_is_told_from_all_questions() -> None:
    # Bins 1 to 3 of 4 questions; the second arm has -1/2, 0 and 1/2 there. The slope is
    # 1/2. The squares of (-1, 0, 1) sum to 8; what is left of each question's deviation
    # is 1/2 in the outer bins and 0 in the middle: a mean square of 1/6, so the noise
    # of the slope is (1/6 + 1/12) / 8 = 1/32. The prior's variance is 1/4 - 1/32, and
    # 7/8 of the slope count. Beside the line 1/16 is left, less than by noise.
    growing = [-1.0, -1.0, 0.0, 0.0, *[0.0] * 4, 0.0, 0.0, 1.0, 1.0]
    found = sure_advantage(np.array([[0.0] * 12, growing]), np.repeat([1, 2, 3], 4))
    for bin_, expected in {1: -7 / 16, 2: 0.0, 3: 7 / 16}.items():
        assert found[bin_] == pytest.approx([0, expected])


def test_what_is_beside_the_line_is_shrunk_and_counts_less_its_error() -> None:
    # Bins 1 to 3 of 4: the second arm has 0, -1 and 0, over all -1/3, no slope. Beside
    # the line are 1/3, -2/3 and 1/3. The noise is (0 + 1/4) / 4 = 1/16 in each bin, the
    # variance 3/1 of the mean square, 2/9, less that: 2/3 - 1/16 = 29/48. So 29/32 of
    # them count, each less the root of 29/32 of 1/16.
    found = sure_advantage(
        np.array([[0.0] * 12, [*[0.0] * 4, *[-1.0] * 4, *[0.0] * 4]]),
        np.repeat([1, 2, 3], 4),
    )
    error = (29 / 32 / 16) ** 0.5
    assert found[1][1] == pytest.approx(-1 / 3 + 29 / 96 - error)
    assert found[2][1] == pytest.approx(-1 / 3 - 29 / 48 - error)
    assert found[3][1] == found[1][1]
    assert all(one[0] <= 0 for one in found.values())


def test_bins_that_differ_less_than_by_noise_have_the_advantage_over_all() -> None:
    advantage = np.array([[0.0] * 12, [-1.0, 1.0, -1.0, 0.0] * 3])
    for own in sure_advantage(advantage, np.repeat([1, 2, 3], 4)).values():
        assert own == pytest.approx([0, -0.25])


def test_one_bin_has_the_advantage_over_all() -> None:
    found = sure_advantage(
        np.array([[0.0] * 4, [1.0, -1.0, -1.0, 0.0]]), np.array([1] * 4)
    )
    assert found.keys() == {1}
    assert found[1] == pytest.approx([0, -0.25])


def test_one_lucky_question_does_not_change_a_bin() -> None:
    # In four bins of 40 the second arm is right once less, in the last once more.
    best = ([1] * 20 + [0] * 20) * 5
    lucky = ([1] * 19 + [0] * 21) * 4 + [1] * 21 + [0] * 19
    chosen = pick([_arm("a", best), _arm("b", lucky)], _bins(200, 5), range(200))
    assert set(chosen.by_bin.values()) == {0}


def test_a_bin_that_clearly_wants_another_strategy_gets_it() -> None:
    easy = [1] * 45 + [0] * 5 + [0] * 45 + [1] * 5
    hard = [1] * 30 + [0] * 20 + [1] * 25 + [0] * 25
    chosen = pick([_arm("a", easy), _arm("b", hard)], _bins(100, 2), range(100))
    assert chosen.fixed == 1
    assert chosen.by_bin == {1: 0, 2: 1}


def test_a_bin_without_questions_gets_the_strategy_for_all() -> None:
    chosen = pick([_arm("a", [0, 0]), _arm("b", [1, 0])], [1, 2], [0])
    assert chosen.by_bin == {1: 1, 2: 1}


def test_questions_that_are_not_named_are_not_looked_at() -> None:
    marks = [1, 0, 1, 0, 0, 0, 1, 1]
    changed = [1, 0, 1, 0, 1, 1, 0, 0]
    other = _arm("b", [0, 1, 0, 0] * 2)
    bins = [1, 1, 2, 2] * 2
    assert pick([_arm("a", marks), other], bins, range(4)) == pick(
        [_arm("a", changed), other], bins, range(4)
    )


def _world(
    chances: Sequence[Sequence[float]], questions: int, rng: random.Random
) -> Study:
    """Arms (rows) that are right by chance, with one probability for each bin."""
    bins = _bins(questions, len(chances[0]))
    found = [
        _arm(
            "best_of_n" if place == 0 else f"arm {place}",
            [int(rng.random() < row[bin_ - 1]) for bin_ in bins],
        )
        for place, row in enumerate(chances)
    ]
    folds = halves([str(i) for i in range(questions)], bins, rng.randrange(10**6))
    return Study(found, [], bins, folds)


def _share(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks)


def _averages(
    chances: Sequence[Sequence[float]], questions: int, worlds: int = 40
) -> tuple[float, float, float]:
    """Held-out accuracy by bins and without, and that on the data of the choice."""
    routed = fixed = leaked = 0.0
    for seed in range(worlds):
        study = _world(chances, questions, random.Random(seed))
        found = held_out(study)
        routed += _share(found.routed) / worlds
        fixed += _share(found.fixed) / worlds
        chosen = pick(study.arms, study.bins, range(questions))
        marks = [arm.marks[LAST] for arm in study.arms]
        own = [marks[chosen.by_bin[b]][q] for q, b in enumerate(study.bins)]
        leaked += _share(own) / worlds
    return routed, fixed, leaked


def test_bins_that_want_different_strategies_get_them() -> None:
    chances = [
        [0.95, 0.70, 0.30, 0.10],
        [0.80, 0.80, 0.30, 0.10],
        [0.75, 0.65, 0.55, 0.30],
        [0.80, 0.60, 0.30, 0.15],
    ]
    study = _world(chances, 2000, random.Random(0))
    assert pick(study.arms, study.bins, range(2000)).by_bin == {1: 0, 2: 1, 3: 2, 4: 2}
    # The best strategy of each bin is right in 65 %, the best for all in 56.25 %.
    routed, fixed, _ = _averages(chances, 1600, worlds=10)
    assert routed == pytest.approx(0.65, abs=0.015)
    assert fixed == pytest.approx(0.5625, abs=0.015)
    # With 50 questions a bin to choose on, the guard keeps some of the gain.
    routed, fixed, _ = _averages(chances, 400)
    assert fixed + 0.04 < routed < 0.65


def test_where_nothing_differs_the_accuracy_is_not_inflated() -> None:
    # 40 worlds of 200 questions: a standard error of 0.0056.
    routed, fixed, leaked = _averages([[0.5] * 5] * 12, 200)
    assert routed == pytest.approx(0.5, abs=0.017)
    assert fixed == pytest.approx(0.5, abs=0.017)
    # What this would find if the choice were measured on its own data.
    assert leaked > 0.54


def test_where_one_strategy_is_best_for_all_bins_cost_little() -> None:
    chances = [[0.5, 0.4, 0.3, 0.2, 0.1]] * 11 + [[0.6, 0.5, 0.4, 0.3, 0.2]]
    routed, fixed, _ = _averages(chances, 400)
    assert routed > fixed - 0.01
