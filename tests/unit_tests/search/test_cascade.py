"""How sure a policy is of its answer: numbers worked out by hand."""

from __future__ import annotations

import pytest

from langchain_tts.search.cascade import Trust, confidence, winner
from langchain_tts.search.state import FinalCandidate, Status, Vote


def final(
    answer: str | None, score: float | None, status: Status = "finished"
) -> FinalCandidate:
    return FinalCandidate(
        id=0,
        text="",
        answer=answer,
        step_scores=[],
        score=score,
        logprob=0.0,
        status=status,
    )


THREE_AND_ONE = [final("7", 0.2), final("7", 0.4), final("7", 0.3), final("9", 0.8)]
CLASSES = [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("vote", "trust", "expected"),
    [
        # The most frequent answer is 7: 3 of 4, its best score is 0.4.
        ("majority", "vote_share", 0.75),
        ("majority", "score", 0.4),
        ("majority", "both", 0.575),
        # The best trajectory says 9: 1 of 4, score 0.8.
        ("max", "vote_share", 0.25),
        ("max", "score", 0.8),
        ("max", "both", 0.525),
    ],
)
def test_confidence_is_in_the_answer_that_would_be_given(
    vote: Vote, trust: Trust, expected: float
) -> None:
    assert confidence(THREE_AND_ONE, CLASSES, 4, vote, trust) == pytest.approx(expected)


def test_samples_that_were_lost_or_cut_count_against_an_answer() -> None:
    finals = [final("7", 0.5), final("7", 0.5), final(None, None, "truncated")]
    # 2 of 4: one sample was cut, and another one failed.
    assert confidence(finals, [0, 0, None], 4, "max", "vote_share") == 0.5


@pytest.mark.parametrize("trust", ["vote_share", "score", "both"])
def test_without_all_scores_the_share_of_the_most_frequent_answer_counts(
    trust: Trust,
) -> None:
    finals = [final("7", None), final("7", 0.1), final("9", 0.9)]
    assert winner(finals, [0, 0, 1], "max") in {0, 1}
    assert confidence(finals, [0, 0, 1], 3, "max", trust) == pytest.approx(2 / 3)


def test_texts_without_an_answer_are_trusted_as_their_best_score() -> None:
    finals = [final(None, 0.3), final(None, 0.6), final(None, 0.9, "truncated")]
    assert confidence(finals, [None] * 3, 3, "max", "both") == 0.6
    assert confidence([final(None, None)], [None], 1, "max", "both") is None
    assert confidence([], [], 2, "max", "both") is None
