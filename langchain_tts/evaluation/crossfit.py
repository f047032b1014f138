"""Two-fold cross-fitting: every question is marked by what was chosen without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from langchain_tts.evaluation.arms import Arm
from langchain_tts.evaluation.choosing import Picked, pick

SAMPLERS = ("best_of_n", "majority_vote")
"""Strategies whose first samples predict; the first of them is the baseline."""


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
    places = range(len(study.bins))
    picked = [
        pick(study.arms, study.bins, [q for q in places if study.folds[q] != fold])
        for fold in (0, 1)
    ]
    judge = [picked[fold] for fold in study.folds]
    marks = [
        [arm.marks[judge[q].ways[place]][q] for q in places]
        for place, arm in enumerate(study.arms)
    ]
    return HeldOut(
        routed=[marks[judge[q].by_bin[study.bins[q]]][q] for q in places],
        fixed=[marks[judge[q].fixed][q] for q in places],
        baseline=marks[baseline(study.arms)],
        arms=marks,
        picked=picked,
    )


def baseline(arms: Sequence[Arm]) -> int:
    """The place of the first of `SAMPLERS` that was measured."""
    names = [arm.strategy for arm in arms]
    return next(names.index(name) for name in SAMPLERS if name in names)
