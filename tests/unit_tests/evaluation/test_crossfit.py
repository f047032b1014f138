from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tts.evaluation.arms import Arm
from langchain_tts.evaluation.crossfit import Assigned, Study, crossfit, held_out

if TYPE_CHECKING:
    from langchain_tts.evaluation.arms import ScoreVote

LAST: ScoreVote = ("last", "max")

# Each strategy is right about one fold only, and wrong about the other.
FOLDS = [0, 1, 0, 1]
ARMS = [
    Arm("best_of_n", {LAST: [True, False, True, False]}),
    Arm("dvts", {LAST: [False, True, False, True]}),
]


def test_every_question_is_answered_by_what_the_other_fold_chose() -> None:
    found = crossfit(ARMS, [1, 1, 1, 1], FOLDS)
    assert [one.arm for one in found.routed] == [1, 0, 1, 0]
    assert found.fixed == found.routed
    assert found.of_bin(1) == [Assigned(1, LAST), Assigned(0, LAST)]


def test_what_is_right_on_its_own_fold_only_is_marked_wrong() -> None:
    found = held_out(Study(ARMS, [], [1, 1, 1, 1], FOLDS))
    assert found.routed == found.fixed == [False] * 4
    assert found.baseline == [True, False, True, False]
    assert found.arms == [[True, False, True, False], [False, True, False, True]]


def test_a_single_question_is_answered_by_what_it_chose_itself() -> None:
    arms = [Arm(arm.strategy, {LAST: arm.marks[LAST][1:2]}) for arm in ARMS]
    found = crossfit(arms, [1], [0])
    assert found.routed == found.fixed == [Assigned(1, LAST)]
