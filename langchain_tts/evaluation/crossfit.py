"""Two-fold cross-fitting: every question is marked by what was chosen without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from langchain_tts.evaluation.arms import Arm, ScoreVote
from langchain_tts.evaluation.choosing import Picked, pick

SAMPLERS = ("best_of_n", "majority_vote")
"""Strategies whose first samples predict; the first of them is the baseline."""


class Assigned(NamedTuple):
    """What answers a question."""

    arm: int
    """Its place among the arms."""
    way: ScoreVote


class Crossfit(NamedTuple):
    """What each question is answered by, as the other fold chose."""

    routed: list[Assigned]
    """By the strategy for its bin."""
    fixed: list[Assigned]
    """By the one strategy for all questions."""
    picked: list[Picked]
    """What fold 0 is answered by, which fold 1 chose, and the other way round."""

    def of_bin(self, number: int) -> list[Assigned]:
        """What the two folds chose for a bin."""
        return [_assigned(picked, picked.by_bin[number]) for picked in self.picked]


def crossfit(
    arms: Sequence[Arm], bins: Sequence[int], folds: Sequence[int]
) -> Crossfit:
    """Choose on each fold, for the other one.

    Args:
        arms: What there is to choose from.
        bins: The bin of each question.
        folds: 0 or 1 for each question (`folds.halves`).
    """
    places = range(len(bins))
    # A single question has nothing to be chosen on but itself.
    picked = [
        pick(arms, bins, [q for q in places if folds[q] != fold] or places)
        for fold in (0, 1)
    ]
    judge = [picked[fold] for fold in folds]
    return Crossfit(
        routed=[_assigned(judge[q], judge[q].by_bin[bins[q]]) for q in places],
        fixed=[_assigned(judge[q], judge[q].fixed) for q in places],
        picked=picked,
    )


def _assigned(picked: Picked, arm: int) -> Assigned:
    return Assigned(arm, picked.ways[arm])


class Study(NamedTuple):
    """One budget."""

    arms: Sequence[Arm]
    edges: Sequence[float]
    """Predicted chances between the bins."""
    bins: Sequence[int]
    """Of each question."""
    folds: Sequence[int]
    """Of each question, 0 or 1."""


class HeldOut(NamedTuple):
    """Whether each question was answered right, by what the other fold chose."""

    routed: list[bool]
    """By the strategy for its bin."""
    fixed: list[bool]
    """By the one strategy for all questions."""
    baseline: list[bool]
    arms: list[list[bool]]
    """By each strategy, with the score and vote that the other fold chose for it."""
    picked: list[Picked]
    """What fold 0 is marked by, which fold 1 chose; and what fold 1 is marked by."""


def held_out(study: Study) -> HeldOut:
    """Choose on each fold, and mark the other one."""
    found = crossfit(study.arms, study.bins, study.folds)
    marks = [
        [
            arm.marks[found.picked[fold].ways[place]][q]
            for q, fold in enumerate(study.folds)
        ]
        for place, arm in enumerate(study.arms)
    ]
    return HeldOut(
        routed=[marks[one.arm][q] for q, one in enumerate(found.routed)],
        fixed=[marks[one.arm][q] for q, one in enumerate(found.fixed)],
        baseline=marks[baseline(study.arms)],
        arms=marks,
        picked=found.picked,
    )


def baseline(arms: Sequence[Arm]) -> int:
    """The place of the first of `SAMPLERS` that was measured."""
    names = [arm.strategy for arm in arms]
    return next(names.index(name) for name in SAMPLERS if name in names)
