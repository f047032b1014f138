from __future__ import annotations

import math
import random
from itertools import combinations

import pytest

from langchain_tts.evaluation.estimates import (
    accuracy,
    bootstrap,
    mean,
    paired_difference,
    pass_at_k,
)


def test_accuracy_and_its_binomial_standard_error() -> None:
    # 3 of 4: sqrt(0.75 * 0.25 / 4).
    assert accuracy([True, True, False, True]) == {
        "n": 4,
        "accuracy": 0.75,
        "stderr": pytest.approx(0.21650635),
    }


def test_mean_and_its_standard_error() -> None:
    # Deviations of 0.25, 0.25, 0.5: sqrt((0.0625 + 0.0625 + 0.25) / 3 / 3).
    assert mean([0.25, 0.25, 1.0]) == {
        "n": 3,
        "mean": 0.5,
        "stderr": pytest.approx(0.20412415),
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_of_marks_is_their_accuracy(seed: int) -> None:
    rng = random.Random(seed)
    marks = [rng.random() < 0.3 for _ in range(50)]
    share = accuracy(marks)
    of_numbers = mean([float(mark) for mark in marks])
    assert of_numbers["mean"] == pytest.approx(share["accuracy"])
    assert of_numbers["stderr"] == pytest.approx(share["stderr"])


@pytest.mark.parametrize("seed", range(3))
def test_the_bootstrap_agrees_with_the_formula(seed: int) -> None:
    rng = random.Random(seed)
    for values in (
        [float(rng.random() < 0.3) for _ in range(500)],
        [rng.random() for _ in range(300)],
    ):
        found, exact = bootstrap(values, seed=seed), mean(values)
        assert (found["n"], found["mean"]) == (exact["n"], exact["mean"])
        # The error of a standard deviation of 2000 draws is 1.6%.
        assert found["stderr"] == pytest.approx(exact["stderr"], rel=0.07)
        assert found["low"] == pytest.approx(
            exact["mean"] - 1.96 * exact["stderr"], abs=0.2 * exact["stderr"]
        )
        assert found["high"] == pytest.approx(
            exact["mean"] + 1.96 * exact["stderr"], abs=0.2 * exact["stderr"]
        )


def test_the_bootstrap_of_two_values_by_hand() -> None:
    # Means of 0, 1/2, 1 with chances 1/4, 1/2, 1/4: sqrt(1/4 * 1/4 * 2).
    found = bootstrap([0.0, 1.0], samples=20_000)
    assert found["stderr"] == pytest.approx(math.sqrt(1 / 8), rel=0.02)
    assert (found["low"], found["high"]) == (0.0, 1.0)


def test_the_bootstrap_is_repeatable_and_its_seed_matters() -> None:
    values = [float(i % 3 == 0) for i in range(50)]
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap(values, seed=1) != bootstrap(values)
    assert bootstrap(values[::-1]) == bootstrap(values)


def test_the_bootstrap_of_one_value_is_certain_of_it() -> None:
    assert bootstrap([0.5]) == {
        "n": 1,
        "mean": 0.5,
        "stderr": 0.0,
        "low": 0.5,
        "high": 0.5,
    }


def test_the_bootstrap_of_many_different_values_is_in_blocks() -> None:
    values = [i / 40_000 for i in range(40_000)]
    found = bootstrap(values, samples=60)
    assert found["stderr"] == pytest.approx(mean(values)["stderr"], rel=0.3)


def test_a_paired_difference_is_of_the_same_questions() -> None:
    # The right side is right wherever the left is, and on 30 of 100 others.
    left = [1.0] * 80 + [0.0] * 20
    right = [1.0] * 50 + [0.0] * 50
    found = paired_difference(left, right)
    assert found.difference == pytest.approx(0.3)
    assert found.stderr == pytest.approx(math.sqrt(0.3 * 0.7 / 100), rel=0.07)
    assert found.low < 0.3 < found.high
    apart = math.hypot(mean(left)["stderr"], mean(right)["stderr"])
    assert found.stderr < 0.8 * apart
    assert paired_difference(right, left).difference == pytest.approx(-0.3)


def test_nothing_differs_from_itself() -> None:
    values = [0.0, 1.0, 0.5]
    assert paired_difference(values, values) == (0.0, 0.0, 0.0, 0.0)


def test_values_that_cannot_be_estimated_are_refused() -> None:
    with pytest.raises(ValueError, match="no mean of no values"):
        bootstrap([])
    with pytest.raises(ValueError, match="2 values cannot be paired with 1"):
        paired_difference([0.0, 1.0], [1.0])


@pytest.mark.parametrize("samples", range(1, 9))
def test_pass_at_k_is_the_share_of_all_subsets_with_a_right_sample(
    samples: int,
) -> None:
    for right in range(samples + 1):
        marks = [True] * right + [False] * (samples - right)
        for k in range(1, samples + 1):
            chosen = list(combinations(marks, k))
            share = sum(any(subset) for subset in chosen) / len(chosen)
            assert pass_at_k(samples, right, k) == pytest.approx(share, abs=1e-12)


def test_pass_at_k_by_hand() -> None:
    assert pass_at_k(4, 1, 1) == 0.25
    assert pass_at_k(4, 1, 4) == 1.0
    assert pass_at_k(4, 2, 2) == pytest.approx(1 - 1 / 6)
    assert pass_at_k(10, 0, 10) == 0.0


def test_pass_at_k_of_many_samples_is_exact() -> None:
    # C(100000, 5000) is no float; their quotient is.
    exact = 1 - math.comb(99_990, 5_000) / math.comb(100_000, 5_000)
    assert pass_at_k(100_000, 10, 5_000) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    ("samples", "right", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)]
)
def test_impossible_counts_are_refused(samples: int, right: int, k: int) -> None:
    with pytest.raises(ValueError, match="is not defined; give 0 <= right"):
        pass_at_k(samples, right, k)
