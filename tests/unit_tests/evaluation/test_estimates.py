from __future__ import annotations

import math
import random
from itertools import combinations

import pytest

from langchain_tts.evaluation.estimates import accuracy, mean, pass_at_k


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
