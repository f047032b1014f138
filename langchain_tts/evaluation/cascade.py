"""Thresholds of a cascade, chosen on questions that each of its policies was asked.

A policy's answer does not depend on the policies asked before it, so one run of each is
enough to know what every cascade of them, with any thresholds, would have answered and
spent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple, get_args

from langchain_tts.answers import answer_classes
from langchain_tts.evaluation.costs import costs_at
from langchain_tts.evaluation.estimates import bootstrap
from langchain_tts.evaluation.folds import halves
from langchain_tts.evaluation.records import FinalRecord, SearchRecord
from langchain_tts.search.cascade import Figures, Trust, confidence, winner
from langchain_tts.search.state import FinalCandidate, Score, Vote
from langchain_tts.search.ties import reaches
from langchain_tts.search.vote import trajectory_score

COMBINATIONS = 20_000
"""Thresholds that are tried at most; of each policy at least three."""

_DIGITS = 1e6
"""How finely thresholds are told apart."""

_SLACK = 1e-9
"""Accuracies that are equal but for rounding."""


class TargetError(ValueError):
    """A target that no thresholds reach."""


@dataclass(frozen=True)
class Given:
    """What one policy gave on one question.

    Args:
        confidences: How sure it was, by what tells that.
        right: Whether its answer was right.
        flops: Of its samples and their scores.
    """

    confidences: Mapping[Trust, float | None]
    right: bool
    flops: float


class Target(NamedTuple):
    """What thresholds are chosen for."""

    kind: Literal["accuracy", "flops"]
    """The cheapest that are right so often, or the most accurate that cost so much."""
    value: float


class Cut(NamedTuple):
    """Thresholds, and what tells how sure a policy is."""

    trust: Trust
    defer_below: tuple[float, ...]


class Ended(NamedTuple):
    """How a cascade did on one question."""

    right: bool
    flops: float
    last: int
    """The number of the last policy that was asked."""


def given(
    record: SearchRecord, size: int, score: Score, vote: Vote, *, scored: bool
) -> Given:
    """Read off a search what its policy would give to a cascade.

    Args:
        record: A search of independent samples, at least `size` of them.
        size: How many the policy is to give; the first ones are read.
        score: How step scores become a trajectory score.
        vote: How trajectories become an answer.
        scored: Whether there is a verifier.
    """
    if record["error"] is not None:
        return Given(dict.fromkeys(get_args(Trust)), right=False, flops=0.0)
    records = [final for final in record["finals"] if final["sample"] < size]
    finals = [_final(final, score) for final in records]
    classes = answer_classes([final["answer"] for final in finals])
    trusts: tuple[Trust, ...] = get_args(Trust) if scored else ("vote_share",)
    taken = min(size, record["samples"] or size)
    place = winner(finals, classes, vote if scored else "majority")
    costs = costs_at(record, size)
    prm = costs["prm_flops"]
    if prm is None:
        # Of the first samples only; on average they cost what the others do.
        prm = record["spent"].get("prm_flops", 0.0) * size / (record["samples"] or size)
    return Given(
        {trust: confidence(finals, classes, taken, vote, trust) for trust in trusts},
        right=place is not None and records[place]["right"],
        flops=costs["policy_flops"] + prm,
    )


def _final(record: FinalRecord, score: Score) -> FinalCandidate:
    return FinalCandidate(
        id=record["sample"],
        text=record["text"],
        answer=record["answer"],
        step_scores=record["step_scores"],
        score=trajectory_score(record["step_scores"], score),
        logprob=record["logprob"],
        status=record["status"],
    )


def ended(answers: Sequence[Given], cut: Cut) -> Ended:
    """What a cascade would have done on a question, given each policy's answer."""
    flops, right = 0.0, False
    for last, answer in enumerate(answers):
        flops += answer.flops
        sure = answer.confidences[cut.trust]
        right = right if sure is None else answer.right
        enough = [*cut.defer_below, -math.inf][last]
        if sure is not None and reaches(sure, enough):
            break
    return Ended(right, flops, last)


def cuts(questions: Sequence[Sequence[Given]]) -> list[Cut]:
    """All thresholds that are worth a try.

    A threshold is one of the confidences that a policy had; where there are too many,
    those that split its questions evenly.
    """
    stages = len(questions[0]) - 1
    most = max(3, int(COMBINATIONS ** (1 / stages)))
    found: list[Cut] = []
    for trust in questions[0][0].confidences:
        values = [
            _spread(
                [sure for one in questions if (sure := one[stage].confidences[trust])],
                most,
            )
            for stage in range(stages)
        ]
        found += [Cut(trust, chosen) for chosen in product(*values)]
    return found


def _spread(confidences: Iterable[float], most: int) -> list[float]:
    """Never to pass a question on, unless entirely sure, and confidences between."""
    # Rounded down, so that a policy that was so sure is so still.
    rounded = (math.floor(sure * _DIGITS) / _DIGITS for sure in confidences)
    known = sorted({0.0, 1.0, *rounded})
    places = {round(i * (len(known) - 1) / (most - 1)) for i in range(most)}
    return [known[place] for place in sorted(places)]


def choose(questions: Sequence[Sequence[Given]], target: Target) -> Cut:
    """The thresholds that reach a target best, or come closest to it.

    Args:
        questions: For each question what each policy gave, the smallest first.
        target: What is wanted.

    Returns:
        Of those that reach it the cheapest, or the most accurate; of equals the more
        accurate, or the cheaper one.
    """

    def merit(cut: Cut) -> tuple[bool, float, float]:
        accuracy, flops = _means(questions, cut)
        if target.kind == "accuracy":
            reached = accuracy >= target.value - _SLACK
            return (reached, -flops, accuracy) if reached else (False, accuracy, -flops)
        reached = flops <= target.value
        return (reached, accuracy, -flops) if reached else (False, -flops, accuracy)

    return max(cuts(questions), key=merit)


def _means(questions: Sequence[Sequence[Given]], cut: Cut) -> tuple[float, float]:
    """Accuracy, and mean FLOPs."""
    ends = [ended(answers, cut) for answers in questions]
    return sum(e.right for e in ends) / len(ends), sum(e.flops for e in ends) / len(
        ends
    )


def figures(ends: Sequence[Ended], policies: int) -> Figures:
    """How a cascade did on some questions."""
    spread = bootstrap([float(end.right) for end in ends])
    passed = Counter(stage for end in ends for stage in range(end.last))
    return Figures(
        n=len(ends),
        accuracy=spread["mean"],
        interval=(spread["low"], spread["high"]),
        flops=sum(end.flops for end in ends) / len(ends),
        deferred=[passed[stage] / len(ends) for stage in range(policies - 1)],
    )


def check(questions: Sequence[Sequence[Given]], cut: Cut, target: Target) -> None:
    """Make sure that thresholds reach their target on all questions.

    Raises:
        TargetError: If they do not; none do then.
    """
    accuracy, flops = _means(questions, cut)
    if target.kind == "accuracy" and accuracy < target.value - _SLACK:
        msg = (
            f"no thresholds reach an accuracy of {target.value:g}: the best is "
            f"{accuracy:.3f}; give a lower target, larger policies or more samples"
        )
        raise TargetError(msg)
    if target.kind == "flops" and flops > target.value:
        msg = (
            f"no thresholds keep to {target.value:g} FLOPs a question: the least is "
            f"{flops:.4g}; give more, or fewer samples"
        )
        raise TargetError(msg)


def held_out(questions: Mapping[str, Sequence[Given]], target: Target) -> list[Ended]:
    """Each half of the questions by the thresholds that the other half chose."""
    ids = list(questions)
    fold = halves(ids, [1] * len(ids), 0)
    ends: list[Ended] = []
    for half in (0, 1):
        other = [
            questions[one] for one, at in zip(ids, fold, strict=True) if at != half
        ]
        cut = choose(other, target)
        ends += [
            ended(questions[one], cut)
            for one, at in zip(ids, fold, strict=True)
            if at == half
        ]
    return ends
