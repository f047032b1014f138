"""Votes: step scores to trajectory scores, and trajectories to one answer.

The scores and votes of Liu et al. 2025 (section 3) and `prod`. Answers are compared as
classes of mathematically equal ones, which the caller passes in (`answer_classes`):
`classes[i]` is the class of `finals[i]`, None where it has no answer. Only finished
trajectories with an answer vote. Ties are broken by the best trajectory score, then by
the order in which the trajectories were sampled.

Answers that come in chains, each revising the ones before it, are not independent: a
vote by scores is then held inside each chain, and again among the trajectories that won
there (Snell et al. 2024, section 6). `chains[i]` is the chain of `finals[i]`; without
chains each trajectory is one of its own. A majority counts all answers of all chains.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple, get_args

from langchain_tts.search.select import roots
from langchain_tts.search.state import (
    Candidate,
    FinalCandidate,
    Score,
    TableRow,
    Vote,
    VoteRow,
    path,
)
from langchain_tts.search.ties import score_key

_BY_SCORE: tuple[Vote, ...] = ("max", "vote")

COMBINATIONS: tuple[tuple[Score | None, Vote], ...] = (
    (None, "majority"),
    *product(get_args(Score), _BY_SCORE),
)
"""Majority, and all combinations of score and vote."""


class Decision(NamedTuple):
    """The outcome of a vote."""

    winner: int | None
    """Index of the best trajectory with the winning answer, or of the one that is most
    like a composed answer; None if nobody voted."""
    rows: list[VoteRow]
    """All answers, the winner first."""
    text: str | None = None
    """The winning turn, where it is composed and nobody sampled it."""
    answer: str | None = None
    """The winning answer, where it is not the winning trajectory's."""
    notes: Sequence[str] = ()
    """What a user should know about how it was decided."""


class _Ballot(NamedTuple):
    answer: str
    group: int
    """Its class of equal answers."""
    position: int
    id: int
    score: float


class _Standing(NamedTuple):
    """One class of answers after a vote."""

    weight: float
    best: _Ballot
    size: int


def trajectory_score(step_scores: Sequence[float], score: Score) -> float | None:
    """Aggregate the scores of a trajectory's steps; None if there are none."""
    if not step_scores:
        return None
    match score:
        case "min":
            return min(step_scores)
        case "last":
            return step_scores[-1]
        case "avg":
            return math.fsum(step_scores) / len(step_scores)
        case "prod":
            return math.prod(step_scores)


def decide(
    finals: Sequence[FinalCandidate],
    classes: Sequence[int | None],
    vote: Vote,
    chains: Sequence[int] | None = None,
) -> Decision:
    """Vote over answers with each trajectory's `score` (a missing one counts as 0).

    Args:
        finals: The trajectories, in any order.
        classes: The class of equal answers that each belongs to.
        vote: How to choose.
        chains: The chain that each belongs to, if they revise one another.

    Returns:
        The winning trajectory and all answers with their counts and weights: the
        number of votes, the best score or the sum of scores. With chains the weights
        are those of the vote among the chains' winners, 0 for an answer that won in
        none, and the counts are still of all trajectories.
    """
    scores = [final["score"] or 0.0 for final in finals]
    return _decide(_ballots(finals, classes, scores), vote, chains)


def ranking(
    finals: Sequence[FinalCandidate], classes: Sequence[int | None], vote: Vote
) -> list[int]:
    """The classes of answers as `decide` ranks them, the winner first."""
    scores = [final["score"] or 0.0 for final in finals]
    standings = _count(_ballots(finals, classes, scores), vote)
    return [standing.best.group for standing in standings]


def rescored(
    finals: Sequence[FinalCandidate], score: Score | None
) -> list[FinalCandidate]:
    """Trajectories with another trajectory score; None takes their scores away."""
    return [
        {
            **final,
            "score": None
            if score is None
            else trajectory_score(final["step_scores"], score),
        }
        for final in finals
    ]


def all_votes(
    finals: Sequence[FinalCandidate],
    classes: Sequence[int | None],
    chains: Sequence[int] | None = None,
) -> list[TableRow]:
    """The answers of majority and of all combinations of score and vote.

    Majority breaks ties by order alone, as it does without a verifier.
    """
    return [_row(finals, classes, *kind, chains) for kind in COMBINATIONS]


def first_samples(
    tree: Sequence[Candidate], finals: Sequence[FinalCandidate], n: int
) -> list[int]:
    """Indices of the trajectories that the first `n` samples of whole answers gave.

    Failed samples count towards `n`: a run at `n` would have lost them too.
    """
    first = set(roots(tree)[:n])
    return [
        index
        for index, final in enumerate(finals)
        if path(list(tree), final["id"])[0]["id"] in first
    ]


def nested_votes(
    tree: Sequence[Candidate],
    finals: Sequence[FinalCandidate],
    classes: Sequence[int | None],
    sizes: Iterable[int],
) -> dict[int, list[TableRow]]:
    """The tables of `all_votes` for smaller budgets, from one run.

    For strategies that sample whole answers; a step search at a smaller N is another
    search.

    Args:
        tree: The run's tree.
        finals: The run's final candidates, in any order.
        classes: The class of equal answers that each belongs to.
        sizes: Budgets N, none above the run's own.

    Returns:
        The table for each size.
    """
    tables: dict[int, list[TableRow]] = {}
    for n in sizes:
        chosen = first_samples(tree, finals, n)
        tables[n] = all_votes(
            [finals[index] for index in chosen], [classes[index] for index in chosen]
        )
    return tables


def _row(
    finals: Sequence[FinalCandidate],
    classes: Sequence[int | None],
    score: Score | None,
    vote: Vote,
    chains: Sequence[int] | None,
) -> TableRow:
    winner = decide(rescored(finals, score), classes, vote, chains).winner
    chosen = None if winner is None else finals[winner]
    return TableRow(
        score=score,
        vote=vote,
        answer=None if chosen is None else chosen["answer"],
        id=None if chosen is None else chosen["id"],
    )


def _ballots(
    finals: Sequence[FinalCandidate],
    classes: Sequence[int | None],
    scores: Sequence[float],
) -> list[_Ballot]:
    """The trajectories that vote: the complete ones with an answer."""
    ballots = []
    for index, (final, group) in enumerate(zip(finals, classes, strict=True)):
        answer = final["answer"]
        if final["status"] == "finished" and group is not None and answer is not None:
            ballots.append(_Ballot(answer, group, index, final["id"], scores[index]))
    return ballots


def _decide(
    ballots: Sequence[_Ballot], vote: Vote, chains: Sequence[int] | None
) -> Decision:
    standings = _count(ballots, vote)
    if chains is not None and vote != "majority":
        winners = _count(_chain_winners(ballots, vote, chains), vote)
        sizes = {standing.best.group: standing.size for standing in standings}
        won = {standing.best.group for standing in winners}
        standings = [
            *(s._replace(size=sizes[s.best.group]) for s in winners),
            *(s._replace(weight=0.0) for s in standings if s.best.group not in won),
        ]
    return Decision(
        winner=standings[0].best.position if standings else None,
        rows=[
            VoteRow(answer=best.answer, count=size, weight=weight)
            for weight, best, size in standings
        ],
    )


def _chain_winners(
    ballots: Sequence[_Ballot], vote: Vote, chains: Sequence[int]
) -> list[_Ballot]:
    """For each chain the best trajectory with the answer that wins in it."""
    members: dict[int, list[_Ballot]] = {}
    for ballot in ballots:
        members.setdefault(chains[ballot.position], []).append(ballot)
    return [_count(chain, vote)[0].best for chain in members.values()]


def _count(ballots: Sequence[_Ballot], vote: Vote) -> list[_Standing]:
    """Hold one vote: all classes of answers, the winner first."""
    groups: dict[int, list[_Ballot]] = {}
    for ballot in ballots:
        groups.setdefault(ballot.group, []).append(ballot)
    standings = [
        _Standing(
            weight=_weight(group, vote),
            best=min(group, key=_merit),
            size=len(group),
        )
        for group in groups.values()
    ]
    return sorted(standings, key=lambda s: (-score_key(s.weight), *_merit(s.best)))


def _merit(ballot: _Ballot) -> tuple[float, int]:
    return -score_key(ballot.score), ballot.id


def _weight(ballots: Sequence[_Ballot], vote: Vote) -> float:
    match vote:
        case "majority":
            return float(len(ballots))
        case "max":
            return max(ballot.score for ballot in ballots)
        case "vote":
            # Exactly rounded: the order of the trajectories cannot matter.
            return math.fsum(ballot.score for ballot in ballots)
