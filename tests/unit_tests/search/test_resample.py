from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_tts.search.resample import (
    effective_sample_size,
    resample,
    systematic_counts,
)

SHARES = st.lists(st.floats(0.001, 1.0), min_size=1, max_size=12).map(
    lambda weights: [weight / sum(weights) for weight in weights]
)
OFFSETS = st.floats(0.0, 1.0, exclude_max=True)


@pytest.mark.parametrize(
    ("weights", "size"),
    [([1, 1, 2], 16 / 6), ([0.3] * 7, 7.0), ([5], 1.0), ([1, 1e-12], 1.0)],
)
def test_effective_sample_size_is_the_squared_sum_over_the_sum_of_squares(
    weights: list[float], size: float
) -> None:
    logs = [math.log(weight) for weight in weights]
    assert effective_sample_size(logs) == pytest.approx(size)


def test_even_weights_are_worth_exactly_as_many_as_they_are() -> None:
    # However small: one that is under "all of them" would be resampled for nothing.
    assert effective_sample_size([-5000.1] * 9) == 9


@pytest.mark.parametrize(
    ("shares", "places", "offset", "counts"),
    [
        # The first has 0.2 of the line of 2 places, which are at 0.1 and 1.1 ...
        ([0.1, 0.9], 2, 0.1, [1, 1]),
        # ... or at 0.3 and 1.3.
        ([0.1, 0.9], 2, 0.3, [0, 2]),
        ([0.5, 0.25, 0.25], 4, 0.99, [2, 1, 1]),
        ([0.3, 0.3, 0.4], 1, 0.5, [0, 1, 0]),
        ([1.0], 3, 0.7, [3]),
        ([0.5, 0.5], 0, 0.2, [0, 0]),
    ],
)
def test_places_go_to_those_on_whose_part_of_the_line_they_lie(
    shares: list[float], places: int, offset: float, counts: list[int]
) -> None:
    assert systematic_counts(shares, places, offset) == counts


@settings(deadline=None)
@given(SHARES, st.integers(0, 40), OFFSETS)
def test_everyone_gets_its_share_rounded_down_or_up_and_all_places_are_given(
    shares: list[float], places: int, offset: float
) -> None:
    counts = systematic_counts(shares, places, offset)
    assert sum(counts) == places
    for share, count in zip(shares, counts, strict=True):
        fair = share * places
        assert math.floor(fair - 1e-9) <= count <= math.ceil(fair + 1e-9)


@settings(deadline=None)
@given(SHARES, st.integers(1, 20))
def test_on_average_everyone_gets_exactly_its_share(
    shares: list[float], places: int
) -> None:
    offsets = [(i + 0.5) / 500 for i in range(500)]
    drawn = [systematic_counts(shares, places, offset) for offset in offsets]
    for i, share in enumerate(shares):
        mean = sum(counts[i] for counts in drawn) / len(drawn)
        assert mean == pytest.approx(share * places, abs=2 / 500)


def test_plain_resampling_makes_all_weights_even() -> None:
    drawn = resample([math.log(3), 0.0], 4, temperature=1.0, offset=0.5)
    assert drawn == ([3, 1], [0.0, 0.0])


def test_a_temperature_flattens_the_draw_and_is_made_up_for_by_the_weights() -> None:
    # Weights 4 and 1 are drawn as 2 to 1, so their copies weigh 4/2 to 1/1.
    drawn = resample([math.log(4), 0.0], 3, temperature=2.0, offset=0.5)
    assert drawn.counts == [2, 1]
    assert drawn.log_weights == pytest.approx([math.log(2), 0.0])


@settings(deadline=None)
@given(st.lists(st.floats(-6.0, 0.0), min_size=1, max_size=8), st.floats(1.0, 5.0))
def test_at_any_temperature_the_weighted_copies_stand_for_the_old_weights(
    logs: list[float], temperature: float
) -> None:
    mass = [0.0] * len(logs)
    for i in range(400):
        drawn = resample(logs, 5, temperature=temperature, offset=(i + 0.5) / 400)
        for particle, count in enumerate(drawn.counts):
            mass[particle] += count * math.exp(drawn.log_weights[particle])
    weights = [math.exp(log) for log in logs]
    for got, weight in zip(mass, weights, strict=True):
        assert got / sum(mass) == pytest.approx(weight / sum(weights), abs=0.01)
