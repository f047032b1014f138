"""Cascades: how sure a policy is of its answer, and how sure it has to be.

Plain data, as it is in the state of a search and in a file of thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from typing_extensions import TypedDict

from langchain_tts.search.state import FinalCandidate, Score, Vote
from langchain_tts.search.vote import decide

VERSION = 1

Trust = Literal["vote_share", "score", "both"]
"""What tells how sure a policy is of its answer: the share of its samples that give it,
the best trajectory score of these, or the mean of both."""


class Asked(TypedDict):
    """A policy of a cascade that was asked."""

    policy: str
    confidence: float | None
    """In [0, 1]; None where there was no answer to tell it from."""
    deferred: bool
    """Whether the next policy was asked as well."""
    candidates: int
    """How many candidates the tree had when this one had been asked."""


class Figures(TypedDict):
    """How a cascade did on some questions."""

    n: int
    accuracy: float
    interval: tuple[float, float]
    """95 % confidence interval of `accuracy`."""
    flops: float
    """Mean of a question, policies and verifier."""
    deferred: list[float]
    """For each policy but the last the share of the questions that it passed on."""


class Thresholds(TypedDict):
    """A file of thresholds, which belongs to some policies in order and a verifier."""

    version: int
    policies: list[str]
    prm: str | None
    dataset: str
    fingerprint: str
    questions: int
    samples: list[int]
    """How many samples each policy gave."""
    score: Score
    vote: Vote
    trust: Trust
    defer_below: list[float]
    """For each policy but the last the confidence below which the next one is asked."""
    target: dict[str, float]
    """What the thresholds were chosen for: `accuracy`, or `flops` a question."""
    chosen: Figures
    """On the questions that the thresholds were chosen on, which flatters them."""
    held_out: Figures
    """Of thresholds chosen on one half of the questions, on the other half."""


def confidence(
    finals: Sequence[FinalCandidate],
    classes: Sequence[int | None],
    taken: int,
    vote: Vote,
    trust: Trust,
) -> float | None:
    """How sure a policy is of the answer that it would give.

    Where a trajectory with an answer has no score, the answer is the most frequent one
    and only the vote share counts. Where none has an answer to be counted, as in free
    text, it is the best score of a complete one.

    Args:
        finals: The trajectories that the policy sampled.
        classes: The class of equal answers of each; None where it has no answer.
        taken: How many samples were taken, those that failed or were cut too.
        vote: How trajectories become an answer.
        trust: What is looked at.

    Returns:
        A number in [0, 1]; None if there is nothing to tell it from.
    """
    place = winner(finals, classes, vote)
    if place is None:
        complete = [f["score"] for f in finals if f["status"] == "finished"]
        return max((score for score in complete if score is not None), default=None)
    same = [
        final["score"]
        for final, found in zip(finals, classes, strict=True)
        if found == classes[place]
    ]
    share = len(same) / taken
    best = max((score for score in same if score is not None), default=0.0)
    if trust == "vote_share" or not is_scored(finals, classes):
        return share
    return best if trust == "score" else (share + best) / 2


def winner(
    finals: Sequence[FinalCandidate], classes: Sequence[int | None], vote: Vote
) -> int | None:
    """The place of the trajectory that is a policy's answer; None if there is none."""
    scored = is_scored(finals, classes)
    return decide(finals, classes, vote if scored else "majority").winner


def is_scored(finals: Sequence[FinalCandidate], classes: Sequence[int | None]) -> bool:
    """Whether all trajectories with an answer have a score."""
    return all(
        final["score"] is not None
        for final, found in zip(finals, classes, strict=True)
        if found is not None
    )
