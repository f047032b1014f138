"""When a vote is settled: no more samples are needed to know, or to trust, its winner.

A vote is given as a tally: the votes of each answer, in the order in which the answers
were first sampled. The leader is the answer with the most votes, of equals the one that
was sampled first, as in `search.vote`.

- `certain`: no outcome of the samples that are left can change the winner.
- `confident`: the Beta test of Adaptive-Consistency (Aggarwal et al. 2023, arXiv
  2305.11860, section 3): the leader is the more likely answer of the first two with at
  least the wanted probability.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Literal

Settled = Literal["certain", "confident"]
"""Why no more samples are needed."""

SETTLED = ("certain", "confident", "scored")
"""Why a search stopped that had found its answer before its budget was spent: its vote
was settled, or an answer was scored high enough."""


def tally(classes: Sequence[int | None]) -> list[int]:
    """Count the votes of each answer, in the order of their first samples.

    Args:
        classes: For each sample, in order, the class of equal answers that it belongs
            to; None where it has no answer.
    """
    return list(Counter(c for c in classes if c is not None).values())


def settled(
    votes: Sequence[int], remaining: int, confidence: float | None = None
) -> Settled | None:
    """Tell whether a vote needs no more samples, and why.

    Args:
        votes: The tally.
        remaining: Samples that may still be taken; each gives one vote or none.
        confidence: Probability that is enough; None settles for certainty only.

    Returns:
        `certain` before `confident`; None if more samples are needed.
    """
    if not any(votes):
        return None
    if _is_certain(votes, remaining):
        return "certain"
    first, second = sorted([*votes, 0], reverse=True)[:2]
    if confidence is not None and lead_probability(first, second) >= confidence:
        return "confident"
    return None


def fewest_to_settle(
    votes: Sequence[int], remaining: int, confidence: float | None = None
) -> int:
    """The smallest number of further samples that could settle a vote.

    They would if all of them voted for the leader; nothing else settles it sooner, so
    sampling that many at once wastes none.

    Args:
        votes: The tally; it is not settled yet.
        remaining: Samples that may still be taken, at least 1.
        confidence: As of `settled`.

    Returns:
        A number from 1 to `remaining`.
    """
    standing = list(votes) or [0]
    leader = standing.index(max(standing))

    def settles(more: int) -> bool:
        hoped = [count + more * (i == leader) for i, count in enumerate(standing)]
        return settled(hoped, remaining - more, confidence) is not None

    return 1 + bisect_left(range(1, remaining), x=True, key=settles)


def lead_probability(first: int, second: int) -> float:
    """How probable it is that the first answer is the more likely one of two.

    P(X > 1/2) for X ~ Beta(first + 1, second + 1): the share of the first answer among
    the two, after a uniform prior. For whole counts it is a sum of binomial
    coefficients, P(Bin(first + second + 1, 1/2) <= first), and computed exactly.

    Args:
        first: Votes of the leader.
        second: Votes of the runner-up.

    Returns:
        A probability, 1/2 for equal counts.
    """
    trials = first + second + 1
    outcomes = 1 << trials
    against = sum(math.comb(trials, k) for k in range(second + 1))
    return (outcomes - against) / outcomes


def _is_certain(votes: Sequence[int], remaining: int) -> bool:
    most = max(votes)
    leader = votes.index(most)
    # The last one is an answer that nobody has given yet.
    rivals = [(i, count) for i, count in enumerate([*votes, 0]) if i != leader]
    return all(
        count + remaining < most or (count + remaining == most and leader < i)
        for i, count in rivals
    )
