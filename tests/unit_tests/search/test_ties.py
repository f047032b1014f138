from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tts.search.ties import log_key, logprob_key, reaches, score_key


@pytest.mark.parametrize(
    ("number", "key"),
    [
        (0.9241441, 0.92414),
        (0.9999999, 1.0),
        (-0.5000001, -0.5),
        (3.1234567, 3.12346),
        # Five significant digits, not five decimals: a product of twelve halves.
        (0.000244140625, 0.00024414),
        (1.2345678e-9, 1.2346e-9),
        (0.0, 0.0),
    ],
)
def test_a_score_is_compared_by_five_digits(number: float, key: float) -> None:
    assert score_key(number) == key


@pytest.mark.parametrize("score", [1.0, 0.92414, 0.5, 0.1, 0.05])
@pytest.mark.parametrize("noise", [1e-7, -1e-7])
def test_what_a_batch_does_to_a_score_makes_no_difference(
    score: float, noise: float
) -> None:
    assert score_key(score + noise) == score_key(score)
    assert score_key(score + 100 * noise) != score_key(score)


@given(st.floats(0, 70), st.floats(0, 70))
def test_keys_are_in_the_order_of_the_scores(first: float, second: float) -> None:
    low, high = sorted([first, second])
    assert score_key(low) <= score_key(high)


def test_logarithms_have_fixed_decimals() -> None:
    # Of a score near 1, where five significant digits would be its last ones.
    assert log_key(-1e-7) == log_key(1e-7) == 0.0
    assert log_key(-0.69315001) == -0.69315
    assert logprob_key(-1.000004) == -1.0
    assert logprob_key(-1.004) == -1.004


@pytest.mark.parametrize(
    ("score", "reached"),
    [(0.9, True), (0.8999999, True), (0.9000001, True), (0.8999, False), (1.0, True)],
)
def test_a_score_reaches_a_threshold_that_it_equals(
    score: float, *, reached: bool
) -> None:
    assert reaches(score, 0.9) is reached
