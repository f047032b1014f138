"""Choosing a strategy for each bin of difficulty, guarded against noise.

Of many arms on few questions the best one is best by luck as well, and most in small
bins. So one arm is chosen for all questions, and a bin has another one only if that is
better beyond noise there. An arm's advantage in a bin is shrunk toward its advantage
over all questions, the more the less its advantages differ between the bins (empirical
Bayes: a normal prior around the overall advantage, with a variance that is estimated
for each arm), and counts less one standard error of what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langchain_tts.evaluation.arms import Arm, ScoreVote, choice
from langchain_tts.evaluation.estimates import mean
from langchain_tts.search.calibration import Choice


@dataclass(frozen=True)
class Picked:
    """What was chosen on some questions.

    Args:
        ways: For each arm its score and vote.
        fixed: The arm (its place) for all questions.
        by_bin: The arm for each bin.
    """

    ways: Sequence[ScoreVote]
    fixed: int
    by_bin: Mapping[int, int]


def pick(arms: Sequence[Arm], bins: Sequence[int], questions: Sequence[int]) -> Picked:
    """Choose on the questions that are named, and look at no others.

    Args:
        arms: What there is to choose from.
        bins: The bin of each question.
        questions: Places of the questions to choose on, at least one.
    """
    ways = [best_way(arm, questions) for arm in arms]
    marks = np.array(
        [
            [arm.marks[way][place] for place in questions]
            for arm, way in zip(arms, ways, strict=True)
        ],
        np.float64,
    )
    fixed = int(marks.mean(axis=1).argmax())
    advantage = marks - marks[fixed]
    members = {
        bin_: np.array([bins[place] == bin_ for place in questions])
        for bin_ in {bins[place] for place in questions}
    }
    own = sure_advantage(advantage, list(members.values()))
    by_bin = dict.fromkeys(sorted(set(bins)), fixed)
    by_bin |= {bin_: _best(one, fixed) for bin_, one in zip(members, own, strict=True)}
    return Picked(ways, fixed, by_bin)


def best_way(arm: Arm, questions: Sequence[int]) -> ScoreVote:
    """The best score and vote of an arm, or the usual one if none is clearly better.

    Clearly is by more than one standard error of the difference, question by question.
    """
    usual = arm.marks[arm.usual]
    shares = {
        way: sum(marks[place] for place in questions)
        for way, marks in arm.marks.items()
    }
    best = max(shares, key=shares.__getitem__)
    gaps = [float(arm.marks[best][place]) - usual[place] for place in questions]
    gap = mean(gaps)
    return best if gap["mean"] > gap["stderr"] else arm.usual


def chosen(arms: Sequence[Arm], picked: Picked, place: int) -> Choice:
    """An arm as a calibration names it."""
    return choice(arms[place], picked.ways[place])


def sure_advantage(
    advantage: NDArray[np.float64], members: Sequence[NDArray[np.bool_]]
) -> list[NDArray[np.float64]]:
    """For each bin the advantage that each arm has beyond noise.

    Args:
        advantage: Of each arm (row) over the fixed one on each question: -1, 0 or 1.
        members: For each bin, which questions are in it; none is empty.
    """
    overall = advantage.mean(axis=1)
    if len(members) == 1:
        return [overall]
    found = [advantage[:, inside] for inside in members]
    apart = np.array([one.mean(axis=1) for one in found]) - overall
    # One more pair that disagrees: few equal marks must not look like certainty.
    noise = np.array(
        [(one.var(axis=1) + 1 / one.shape[1]) / one.shape[1] for one in found]
    )
    # Deviations from a mean over B bins are smaller by (B - 1) / B than from the truth.
    spread = len(members) / (len(members) - 1) * apart**2 - noise
    variance = np.maximum(spread.mean(axis=0), 0.0)
    weight = variance / (variance + noise)
    return list(overall + weight * apart - np.sqrt(weight * noise))


def _best(advantage: NDArray[np.float64], fixed: int) -> int:
    """The arm with the most advantage; the fixed one unless another has any."""
    best = int(advantage.argmax())
    return best if advantage[best] > 0 else fixed
