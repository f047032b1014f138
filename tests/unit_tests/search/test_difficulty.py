from __future__ import annotations

import pytest

from langchain_tts.search.difficulty import Sample, predicted_chance


def _sample(*scores: float, cut: bool = False) -> Sample:
    return Sample(status="truncated" if cut else "finished", step_scores=list(scores))


FOUR = [_sample(0.2, 0.9), _sample(0.6), _sample(0.9, 0.3), _sample(0.8, cut=True)]


def test_the_score_is_the_mean_of_the_last_steps_and_cut_samples_count_nothing() -> (
    None
):
    # 0.9, 0.6 and 0.3 of four.
    assert predicted_chance(FOUR, [0, 0, 1, None], "score") == 0.45


def test_the_vote_share_is_that_of_the_most_frequent_answer_among_all_samples() -> None:
    assert predicted_chance(FOUR, [0, 0, 1, None], "vote_share") == 0.5


def test_both_is_the_mean_of_both() -> None:
    assert predicted_chance(FOUR, [0, 0, 1, None], "both") == pytest.approx(0.475)


def test_a_complete_sample_without_an_answer_counts_nothing() -> None:
    samples = [_sample(1.0), _sample(1.0)]
    assert predicted_chance(samples, [0, None], "score") == 0.5
    assert predicted_chance(samples, [0, None], "vote_share") == 0.5


def test_a_missing_score_counts_nothing() -> None:
    assert predicted_chance([_sample(), _sample(0.8)], [0, 0], "score") == 0.4


def test_without_samples_there_is_no_chance() -> None:
    assert predicted_chance([], [], "both") == 0.0


def test_differences_below_a_millionth_are_none() -> None:
    one, other = (
        predicted_chance([_sample(x)], [0], "score") for x in (0.91, 0.9100000004)
    )
    assert one == other
