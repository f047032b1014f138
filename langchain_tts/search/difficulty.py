"""Predicted difficulty: how probable the policy is right, without knowing the answer.

Snell et al. 2024 (section 3.2) take the mean score that a verifier gives to the final
answers of some samples; a vote share needs no verifier. Both are read off the first
samples of a search, which are then its first candidates: the prediction costs nothing
that would not have been sampled anyway.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from typing_extensions import TypedDict

from langchain_tts.search.calibration import Predictor
from langchain_tts.search.state import Status
from langchain_tts.search.vote import trajectory_score


class Sample(TypedDict):
    """What is read of a sample; a `FinalCandidate` has it, and so has a record."""

    status: Status
    step_scores: list[float]


def predicted_chance(
    finals: Sequence[Sample], classes: Sequence[int | None], predictor: Predictor
) -> float:
    """Predict how probable it is that one sample is right.

    The score of a trajectory is here always that of its last step, whatever the search
    decides by, so that a prediction means the same in every search.

    Args:
        finals: The first whole samples, complete or cut. A cut one and one without an
            answer are wrong, so they count 0. One that the engine lost says nothing
            about the question: it is not among them and does not count.
        classes: The class of equal answers that each belongs to; None for no answer.
        predictor: What to predict from: the mean score (one that is missing counts 0),
            the share of the most frequent answer, or the mean of both.

    Returns:
        A probability in [0, 1] in millionths, since scores vary a little with the
        batches that they are computed in; 0 without samples.
    """
    if not finals:
        return 0.0
    return round(_chance(finals, classes, predictor), 6)


def _chance(
    finals: Sequence[Sample], classes: Sequence[int | None], predictor: Predictor
) -> float:
    match predictor:
        case "score":
            return _mean_score(finals, classes)
        case "vote_share":
            return _vote_share(finals, classes)
        case "both":
            return (_mean_score(finals, classes) + _vote_share(finals, classes)) / 2


def _mean_score(finals: Sequence[Sample], classes: Sequence[int | None]) -> float:
    scores = (
        trajectory_score(final["step_scores"], "last") or 0.0
        for final, group in zip(finals, classes, strict=True)
        if _is_answer(final, group)
    )
    return math.fsum(scores) / len(finals)


def _vote_share(finals: Sequence[Sample], classes: Sequence[int | None]) -> float:
    votes = Counter(
        group
        for final, group in zip(finals, classes, strict=True)
        if _is_answer(final, group)
    )
    return max(votes.values(), default=0) / len(finals)


def _is_answer(final: Sample, group: int | None) -> bool:
    return final["status"] == "finished" and group is not None
