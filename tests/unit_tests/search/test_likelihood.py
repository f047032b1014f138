from __future__ import annotations

import math

from langchain_tts.search.likelihood import log_score


def test_scores_become_log_likelihoods() -> None:
    assert log_score(1.0) == 0.0
    assert log_score(0.5) == math.log(0.5)


def test_a_zero_is_nearly_impossible_but_still_a_number() -> None:
    assert log_score(0.0) == math.log(1e-9)


def test_a_missing_score_changes_nothing() -> None:
    assert log_score(None) == 0.0
