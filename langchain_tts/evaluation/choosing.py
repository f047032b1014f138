"""Choosing a strategy for each bin of difficulty, guarded against noise.

Of many arms on few questions the best one is best by luck as well, and most in small
bins. So one arm is chosen for all questions, and a bin has another one only if that is
better there. An arm's advantage over the one for all questions is estimated in three
parts:

- over all questions;
- how it rises or falls with difficulty: search by steps gains on hard questions what it
  loses on easy ones (Snell et al. 2024). One slope is told from all questions, so it
  has far less noise than any bin;
- what a bin has beside that line, which counts less one standard error.

The last two are shrunk toward zero (empirical Bayes): slopes the more the less they
differ between the arms, the rest the less it differs between an arm's bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langchain_tts.evaluation.arms import Arm, ScoreVote, choice
from langchain_tts.evaluation.estimates import mean
from langchain_tts.search.calibration import Choice

_ON_A_LINE = 2
"""As many bins lie on a line, whatever they are."""


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
    numbers = np.array([bins[place] for place in questions])
    own = sure_advantage(advantage, numbers)
    by_bin = dict.fromkeys(sorted(set(bins)), fixed)
    by_bin |= {bin_: _best(found, fixed) for bin_, found in own.items()}
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
    advantage: NDArray[np.float64], numbers: NDArray[np.int_]
) -> dict[int, NDArray[np.float64]]:
    """For each bin the advantage that each arm has beyond noise.

    Args:
        advantage: Of each arm (row) over the fixed one on each question: -1, 0 or 1.
        numbers: The bin of each question.
    """
    overall = advantage.mean(axis=1)
    centered = numbers - numbers.mean()
    slopes = _slopes(advantage - overall[:, None], centered)
    line = overall[:, None] + slopes[:, None] * centered
    inside = {int(bin_): numbers == bin_ for bin_ in np.unique(numbers)}
    lines = {bin_: line[:, of][:, 0] for bin_, of in inside.items()}
    if len(inside) <= _ON_A_LINE:
        return lines
    found = [advantage[:, of] for of in inside.values()]
    apart = np.array([one.mean(axis=1) for one in found]) - np.array([*lines.values()])
    # One more pair that disagrees: few equal marks must not look like certainty.
    noise = np.array(
        [(one.var(axis=1) + 1 / one.shape[1]) / one.shape[1] for one in found]
    )
    # Deviations of B bins from a line are smaller by (B - 2) / B than from the truth.
    spread = len(found) / (len(found) - _ON_A_LINE) * apart**2 - noise
    weight = _weight(spread.mean(axis=0), noise)
    rest = weight * apart - np.sqrt(weight * noise)
    return {
        bin_: line + own for (bin_, line), own in zip(lines.items(), rest, strict=True)
    }


def _slopes(
    deviation: NDArray[np.float64], centered: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How much each arm's advantage grows from bin to bin, shrunk toward 0."""
    squares = float(centered @ centered)
    if not squares:
        return np.zeros(len(deviation))
    slopes = deviation @ centered / squares
    left = deviation - slopes[:, None] * centered
    noise = ((left**2).mean(axis=1) + 1 / len(centered)) / squares
    # The arm that the others are compared with has no slope.
    compared = deviation.any(axis=1)
    variance = (slopes**2 - noise)[compared].mean() if compared.any() else 0.0
    shrunk: NDArray[np.float64] = slopes * _weight(variance, noise)
    return shrunk


def _weight(
    variance: NDArray[np.float64] | float, noise: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How much of an estimate counts: the share of its spread that is no noise."""
    true = np.maximum(variance, 0.0)
    found: NDArray[np.float64] = true / (true + noise)
    return found


def _best(advantage: NDArray[np.float64], fixed: int) -> int:
    """The arm with the most advantage; the fixed one unless another has any."""
    best = int(advantage.argmax())
    return best if advantage[best] > 0 else fixed
