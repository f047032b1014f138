"""When a vote is settled: against enumeration, integration and hand-worked values."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest

from langchain_tts.search.settle import (
    fewest_to_settle,
    lead_probability,
    settled,
    tally,
)


def winner(votes: list[int | None]) -> int | None:
    """The most frequent answer, of equals the first: one vote after another."""
    cast = [vote for vote in votes if vote is not None]
    best = None
    for vote in cast:
        if best is None or cast.count(vote) > cast.count(best):
            best = vote
    return best


def never_changes(votes: list[int | None], remaining: int) -> bool:
    """Try everything that the remaining samples could say."""
    new = max((v for v in votes if v is not None), default=-1) + 1
    known = [*range(new + 1), None]
    now = winner(votes)
    return now is not None and all(
        winner([*votes, *rest]) == now
        for rest in itertools.product(known, repeat=remaining)
    )


def in_order_of_first_sample(votes: list[int | None]) -> list[int | None]:
    """Number the answers as `answer_classes` does."""
    names: dict[int, int] = {}
    return [None if v is None else names.setdefault(v, len(names)) for v in votes]


def random_votes(rng: random.Random, longest: int) -> list[int | None]:
    shares = [rng.random() ** 2 + 0.01 for _ in range(rng.randint(1, 4))]
    drawn: list[int | None] = list(
        rng.choices(range(len(shares)), shares, k=rng.randint(0, longest))
    )
    return in_order_of_first_sample([None if rng.random() < 0.1 else v for v in drawn])


def test_votes_are_counted_in_the_order_of_first_samples() -> None:
    assert tally([None, 0, 1, 1, None, 2, 1, 0]) == [2, 3, 1]
    assert tally([None, None]) == []


@pytest.mark.parametrize("seed", range(300))
def test_certain_is_what_no_outcome_of_the_rest_changes(seed: int) -> None:
    rng = random.Random(seed)
    votes = random_votes(rng, 9)
    remaining = rng.randint(0, 5)
    certain = settled(tally(votes), remaining) == "certain"
    assert certain == never_changes(votes, remaining)


@pytest.mark.parametrize(
    ("votes", "remaining", "certain"),
    [
        ([3, 1], 1, True),  # 3 : 2 at the worst
        ([3, 1], 2, True),  # 3 : 3 at the worst, and the first was sampled first
        ([1, 3], 2, False),  # 3 : 3 would go to the other one
        ([1, 3], 1, True),
        ([8], 8, True),  # 8 : 8 for an answer that nobody gave yet
        ([8], 9, False),
        ([2, 2], 0, True),
        ([], 3, False),
        ([], 0, False),
    ],
)
def test_ties_count_as_the_vote_breaks_them(
    votes: list[int], remaining: int, certain: bool
) -> None:
    assert settled(votes, remaining) == ("certain" if certain else None)


@pytest.mark.parametrize(
    ("first", "second", "probability"),
    [
        (4, 0, 1 - 2**-5),
        (3, 0, 1 - 2**-4),
        (0, 0, 0.5),
        (7, 7, 0.5),
        (1, 0, 0.75),  # the integral of 2x from 1/2 to 1
        (2, 1, 1 - (1 + 4) / 16),
        (5, 1, 1 - (1 + 7) / 128),
    ],
)
def test_probability_of_the_lead_by_hand(
    first: int, second: int, probability: float
) -> None:
    assert lead_probability(first, second) == probability


@pytest.mark.parametrize("seed", range(40))
def test_probability_of_the_lead_is_the_upper_half_of_a_beta(seed: int) -> None:
    rng = random.Random(seed)
    first, second = rng.randint(0, 60), rng.randint(0, 60)

    def density(x: float) -> float:
        scale = math.lgamma(first + second + 2)
        scale -= math.lgamma(first + 1) + math.lgamma(second + 1)
        return math.exp(scale + first * math.log(x) + second * math.log1p(-x))

    pieces = 20_000
    width = 0.5 / pieces
    integral = width * math.fsum(
        density(0.5 + (i + 0.5) * width) for i in range(pieces)
    )
    assert lead_probability(first, second) == pytest.approx(integral, abs=1e-7)


def test_probability_of_the_lead_of_many_samples_is_a_probability() -> None:
    # 2 ** 1201 is no float.
    assert lead_probability(600, 600) == 0.5
    assert lead_probability(700, 500) + lead_probability(500, 700) == 1.0
    assert lead_probability(500, 700) == pytest.approx(0.0, abs=1e-6)


def test_the_runner_up_is_the_second_most_frequent_answer() -> None:
    # 5 : 1 has 0.9375, 5 : 0 has 0.984375: the two others do not add up.
    assert settled([1, 5, 1], 100, 0.95) is None
    assert settled([1, 5, 1], 100, 0.93) == "confident"
    assert settled([5], 100, 0.984375) == "confident"


def test_certainty_is_named_before_confidence() -> None:
    assert settled([9], 7, 0.95) == "certain"
    assert settled([9], 90, 0.95) == "confident"


@pytest.mark.parametrize(
    ("remaining", "confidence", "fewest"),
    [
        (16, None, 8),  # 8 : 8 goes to the first
        (15, None, 8),
        (1, None, 1),
        (2, None, 1),
        (64, 0.95, 4),  # 4 : 0 has 0.96875, 3 : 0 has 0.9375
        (64, 0.96875, 4),
        (64, 0.97, 5),
        (6, 0.95, 3),  # certain sooner than confident
    ],
)
def test_the_first_samples_are_the_fewest_that_could_do(
    remaining: int, confidence: float | None, fewest: int
) -> None:
    assert fewest_to_settle([], remaining, confidence) == fewest


@pytest.mark.parametrize("confidence", [None, 0.6, 0.95])
@pytest.mark.parametrize("seed", range(60))
def test_no_fewer_samples_could_settle_the_vote_whatever_they_say(
    seed: int, confidence: float | None
) -> None:
    rng = random.Random(seed)
    votes = random_votes(rng, 6)
    remaining = rng.randint(1, 6)
    if settled(tally(votes), remaining, confidence):
        return
    fewest = fewest_to_settle(tally(votes), remaining, confidence)

    def could_settle(more: int) -> bool:
        known = [*range(len(Counter(votes)) + more), None]
        return any(
            settled(tally([*votes, *rest]), remaining - more, confidence)
            for rest in itertools.product(known, repeat=more)
        )

    assert fewest == next(more for more in itertools.count(1) if could_settle(more))
