"""Calibrations: which strategy answered best, by budget and predicted difficulty.

Plain data, as it is in a calibration file, and how a search looks its choice up. Every
accuracy in it was measured on questions that nothing was chosen on, unless it says
otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from typing_extensions import TypedDict

from langchain_tts.search.state import Score, Vote

VERSION = 1

Predictor = Literal["score", "vote_share", "both"]
"""What predicts a question's difficulty, from its first samples and without labels: the
mean score of the trajectories, the share of the most frequent answer, or the mean of
both."""


class Choice(TypedDict):
    """A strategy with all that is chosen for it."""

    strategy: str
    """With its parameters, e.g. `beam_search?beam_width=8`."""
    score: Score
    vote: Vote


class Measured(TypedDict):
    """A share of right answers."""

    n: int
    """Questions."""
    accuracy: float
    interval: tuple[float, float]
    """95 % confidence interval, by a bootstrap over questions."""


class Fold(TypedDict):
    """What one half of a bin chose, and how right that was on the other half."""

    choice: Choice
    n: int
    """Questions in the other half."""
    accuracy: float


class Cell(Measured):
    """One bin of difficulty at one budget.

    Its accuracy is that of the two folds' choices, each on the half that it was not
    made on.
    """

    bin: int
    """1 is the easiest."""
    choice: Choice
    """The best on the whole bin; what a search uses."""
    folds: list[Fold]
    arms: dict[str, float]
    """The accuracy of each strategy; its score and vote were chosen on other halves."""


class ChosenMeasured(Measured):
    """The best single way for all questions, chosen on all and measured by folds."""

    choice: Choice


class Gain(TypedDict):
    """How much more often one way is right than another, on the same questions."""

    difference: float
    interval: tuple[float, float]


class Summary(TypedDict):
    """All bins at one budget, against choosing one strategy for all questions."""

    routed: Measured
    """Of the choice by bin."""
    fixed: ChosenMeasured
    """Of the strategy that is best without bins."""
    baseline: ChosenMeasured
    """Of best-of-N (without a verifier: of the majority vote)."""
    gain_over_fixed: Gain
    gain_over_baseline: Gain


class Prediction(TypedDict):
    """How good a predictor is, against the pass@1 of many samples."""

    predictor: Predictor
    samples: int
    """First samples that it was made from."""
    rank_correlation: float
    """Spearman's, over questions."""
    interval: tuple[float, float]
    brier: float
    """Mean squared distance of the predicted chance from the pass@1."""
    confusion: list[list[int]]
    """Questions by predicted bin (row) and oracle bin (column), both quantiles."""


class Trust(TypedDict):
    """Answers that were trusted for their score at one number of samples."""

    samples: int
    precision: float | None
    """The share of right answers among the trusted ones; None where there are none."""
    coverage: float
    """The share of questions that had one."""


class Stop(TypedDict):
    """What answers are worth that were trusted for their score."""

    target: float
    """The share of right answers that was wanted at the numbers of first samples."""
    n: int
    """Questions."""
    trust: list[Trust]
    """By number of samples. The more of them, the more often the best score is a
    verifier's mistake."""


class Calibration(TypedDict):
    """A calibration file. It belongs to one policy and one verifier."""

    version: int
    package: str
    """Version of the package that made it."""
    policy: str
    policy_parameters: int
    """0 where it is not known."""
    prm: str | None
    prm_parameters: int
    dataset: str
    fingerprint: str
    questions: int
    parameters: dict[str, Any]
    """Of all searches, where they are not the defaults."""
    strategies: list[str]
    """All that were compared."""
    seed: int
    """Of the searches, and of the folds."""
    predictor: Predictor
    samples: dict[str, int]
    """How many first samples the prediction at each budget is made from; by N. 0: there
    is one bin, and nothing to predict."""
    edges: dict[str, list[float]]
    """By N: predicted chances of success between the bins, in descending order: a
    question at or above the first is in bin 1."""
    stop_score: float | None
    """Score of the last step at which an answer counts as settled; None: at none."""
    stop: Stop
    """How right such answers were, with a score that was chosen on other questions."""
    summary: dict[str, Summary]
    """By N."""
    cells: dict[str, list[Cell]]
    """By N, the bins in order."""
    ways: dict[str, list[Choice]]
    """By N: each strategy with the score and vote that are best for it."""
    predictions: list[Prediction]


def bin_of(chance: float, edges: Sequence[float]) -> int:
    """The bin of a predicted chance of success, 1 for the easiest.

    Args:
        chance: In [0, 1].
        edges: Between the bins, in descending order.
    """
    return 1 + sum(chance < edge for edge in edges)


def calibrated_budget(calibration: Calibration, samples: int) -> str:
    """The calibrated N for a budget: the next one below it, or the smallest."""
    sizes = sorted(map(int, calibration["cells"]))
    return str(max((n for n in sizes if n <= samples), default=sizes[0]))


def choose(calibration: Calibration, chance: float, samples: int) -> Cell:
    """The cell for a question.

    Args:
        calibration: The calibration.
        chance: Predicted chance of success in [0, 1].
        samples: N.
    """
    budget = calibrated_budget(calibration, samples)
    cells = calibration["cells"][budget]
    return cells[bin_of(chance, calibration["edges"][budget]) - 1]
