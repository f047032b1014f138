"""The strategy chosen per bin of difficulty, measured on questions it was not made on.

Snell et al. 2024 (section 3.2): in each bin one half of the questions chooses, the
other half says how right that is, and the other way round. The rule is `calibrate`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from langchain_tts.evaluation.arms import Arm as Candidate
from langchain_tts.evaluation.crossfit import Assigned, crossfit
from langchain_tts.evaluation.folds import halves
from langchain_tts.evaluation.page.names import split_label
from langchain_tts.evaluation.page.study import Arm, Floats, Setting
from langchain_tts.strategies import STRATEGIES

ADAPTIVE = tuple(one.name for one in STRATEGIES.values() if one.chooses)
"""Strategies that choose by themselves: nothing to choose among."""


@dataclass(frozen=True)
class Held:
    """What a choice was worth on the questions that it was not made on.

    Args:
        right: By question.
        tokens: Generated, by question.
        read: Tokens that the verifier reads, by question.
    """

    right: Floats
    tokens: Floats
    read: Floats


@dataclass(frozen=True)
class Chosen:
    """What two folds chose at one budget.

    Args:
        by_bin: A strategy for each bin.
        fixed: One strategy for all questions.
        strategies: For each bin what its folds chose: one strategy or two.
    """

    by_bin: Held
    fixed: Held
    strategies: list[list[str]]


def offline(setting: Setting, bins: Sequence[int]) -> dict[int, Chosen]:
    """The two-fold choice among all strategies at each budget.

    Args:
        setting: What was measured.
        bins: The bin of each question.

    Returns:
        By N; only where there is something to choose.
    """
    fold = halves(setting.ids, bins, seed=0)
    return {
        budget: _choose(arms, bins, fold)
        for budget, arms in sorted(candidates(setting).items())
    }


def _choose(arms: Sequence[Arm], bins: Sequence[int], fold: Sequence[int]) -> Chosen:
    found = crossfit([_candidate(arm) for arm in arms], bins, fold)
    names = [
        [arms[one.arm].strategy for one in found.of_bin(bin_)]
        for bin_ in sorted(set(bins))
    ]
    return Chosen(
        by_bin=_held(arms, found.routed),
        fixed=_held(arms, found.fixed),
        strategies=[list(dict.fromkeys(both)) for both in names],
    )


def _held(arms: Sequence[Arm], answered: Sequence[Assigned]) -> Held:
    by = [arms[one.arm] for one in answered]
    tokens = np.array([arm.tokens[place] for place, arm in enumerate(by)])
    return Held(
        right=np.array(
            [arms[one.arm].right[one.way][place] for place, one in enumerate(answered)]
        ),
        tokens=tokens,
        read=tokens * [arm.judged for arm in by],
    )


def _candidate(arm: Arm) -> Candidate:
    # Means over seeds are compared like marks of one seed.
    marks = {way: cast("list[bool]", of.tolist()) for way, of in arm.right.items()}
    return Candidate(arm.strategy, marks)


def candidates(setting: Setting) -> dict[int, list[Arm]]:
    """Arms to choose among by N, where there are two or more."""
    found: dict[int, list[Arm]] = {}
    for label, arms in setting.arms.items():
        if split_label(label)[0] not in (*ADAPTIVE, "greedy"):
            for budget, arm in arms.items():
                found.setdefault(budget, []).append(arm)
    return {budget: arms for budget, arms in found.items() if len(arms) > 1}
