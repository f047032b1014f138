from __future__ import annotations

import math

import pytest

from langchain_tts.evaluation.difficulty import (
    Rated,
    brier,
    confusion,
    correlation_interval,
    pass_at_1,
    prediction_of,
    predictions,
    quantile_edges,
    quantiles,
    rank_correlation,
    ranks,
)
from tests.unit_tests.evaluation.searches import final, record, sampled


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert ranks([30, 10, 20, 20]) == [4, 1, 2.5, 2.5]
    assert ranks([5, 5, 5]) == [2, 2, 2]


def test_rank_correlation_without_ties_is_spearmans_formula() -> None:
    # 1 - 6 sum(d^2) / (n (n^2 - 1)), where d is 1, 1, 0, 1, 1.
    found = rank_correlation([1, 2, 3, 4, 5], [20, 10, 30, 50, 40])
    assert found == pytest.approx(1 - 6 * 4 / 120)


def test_rank_correlation_with_ties_is_pearsons_of_the_ranks() -> None:
    # Ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4: covariance 4.5, squares 4.5 and 5.
    found = rank_correlation([1, 2, 2, 3], [1, 3, 2, 4])
    assert found == pytest.approx(4.5 / (4.5 * 5) ** 0.5)


def test_rank_correlation_sees_order_only() -> None:
    assert rank_correlation([1, 2, 3], [0.1, 5, 1000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def test_what_has_no_order_correlates_with_nothing() -> None:
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0.0


def test_the_interval_of_a_rank_correlation_is_fishers_with_fiellers_error() -> None:
    # n = 103: atanh(0.6) = 0.6931 +- 1.96 * sqrt(1.06 / 100).
    low, high = correlation_interval(0.6, 103)
    assert low == pytest.approx(math.tanh(0.693147 - 1.96 * 0.102956), abs=1e-5)
    assert high == pytest.approx(math.tanh(0.693147 + 1.96 * 0.102956), abs=1e-5)
    assert correlation_interval(0.6, 3) == (-1, 1)
    assert correlation_interval(1.0, 50) == (1, 1)


def test_quantile_bins_have_equally_many_questions() -> None:
    chances = [i / 10 for i in range(10)]
    assert quantile_edges(chances) == [0.8, 0.6, 0.4, 0.2]
    assert quantile_edges(chances, bins=2) == [0.5]


def test_equal_chances_stay_in_one_bin() -> None:
    # Four of ten are certain to be wrong: they are a bin, and what is above another.
    chances = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.0, 0.0, 0.0, 0.0]
    assert quantile_edges(chances) == [0.9, 0.7, 0.5]
    assert quantile_edges([0.3] * 7) == []
    assert quantiles(chances).edges == [0.9, 0.7, 0.5]
    assert quantiles(chances).bins == [1, 1, 2, 2, 3, 3, 4, 4, 4, 4]


def test_a_bin_of_less_than_half_its_share_is_joined_to_its_neighbor() -> None:
    chances = [0.9] * 50 + [0.5] * 48 + [0.1] * 2
    assert quantile_edges(chances) == [0.9]


def test_pass_at_1_counts_lost_samples_as_wrong() -> None:
    search = record("q", "best_of_n", {}, sampled([0.5] * 3, [True, True, False]))
    search["samples"] = 4
    assert pass_at_1(search) == 0.5
    assert pass_at_1(search, after=1) == pytest.approx(1 / 3)
    assert pass_at_1(record("q", "best_of_n", {}, error="lost")) == 0.0


def test_a_prediction_is_made_from_the_first_samples_only() -> None:
    search = record("q", "best_of_n", {}, sampled([0.2, 0.4, 1, 1], [True] * 4))
    assert prediction_of(search, "score", 2) == pytest.approx(0.3)


def test_equal_answers_in_other_words_are_one_vote() -> None:
    finals = [final(i, 0.0, right=True, answer=a) for i, a in enumerate(["0.5", "1/2"])]
    assert prediction_of(record("q", "best_of_n", {}, finals), "vote_share", 2) == 1.0


def test_the_oracle_is_read_off_samples_that_the_prediction_has_not_seen() -> None:
    # The first sample's score follows its own luck; the others are the opposite.
    searches = [
        record("a", "best_of_n", {}, sampled([0.9] + [0.5] * 3, [True] + [False] * 3)),
        record("b", "best_of_n", {}, sampled([0.1] + [0.5] * 3, [False] + [True] * 3)),
    ]
    (found,) = [p for p in predictions(searches, [1]) if p["predictor"] == "score"]
    assert found["rank_correlation"] == pytest.approx(-1)
    assert found["brier"] == pytest.approx(0.81)


def test_every_predictor_is_measured_at_every_number_of_samples() -> None:
    searches = [
        record(
            str(i),
            "best_of_n",
            {},
            sampled([i / 4] * 4, [True] * i + [False] * (4 - i)),
        )
        for i in range(5)
    ]
    found = {(p["predictor"], p["samples"]): p for p in predictions(searches, [1, 2])}
    assert len(found) == 6
    low, high = found["score", 2]["interval"]
    assert low <= found["score", 2]["rank_correlation"] <= high


def test_without_a_verifier_votes_alone_predict() -> None:
    finals = [
        final(0, None, right=True, answer="1"),
        final(1, None, right=True, answer="1"),
    ]
    searches = [record(name, "majority_vote", {}, finals) for name in "ab"]
    assert {p["predictor"] for p in predictions(searches, [1])} == {"vote_share"}


def test_the_confusion_matrix_has_predicted_bins_in_rows() -> None:
    # Five questions, one in each bin; the two hardest are taken for one another.
    rated = [
        Rated(oracle, predicted)
        for oracle, predicted in [
            (0.9, 0.9),
            (0.7, 0.7),
            (0.5, 0.5),
            (0.3, 0.1),
            (0.1, 0.3),
        ]
    ]
    assert confusion(rated) == [
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
    ]


def test_brier_is_the_mean_squared_distance() -> None:
    assert brier([Rated(1.0, 0.5), Rated(0.0, 0.1)]) == pytest.approx((0.25 + 0.01) / 2)
