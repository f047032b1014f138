"""Routes without a calibration: what the models allow, and Liu et al.'s rule."""

from __future__ import annotations

import pytest

from langchain_tts.search.routing import Models, first_samples, level, prior


@pytest.mark.parametrize(
    ("samples", "calibrated", "first"),
    [
        (1, None, 1),
        (4, None, 1),
        (16, None, 4),
        (32, None, 8),
        (256, None, 8),
        (16, 6, 6),
        (4, 6, 4),
        (4, 0, 0),
    ],
)
def test_the_first_samples_are_a_quarter_or_as_calibrated_and_never_more_than_n(
    samples: int, calibrated: int | None, first: int
) -> None:
    assert first_samples(samples, calibrated) == first


@pytest.mark.parametrize(
    ("chance", "name"),
    [
        (1.0, "easy"),
        (0.5, "easy"),
        (0.49, "medium"),
        (0.1, "medium"),
        (0.09, "hard"),
        (0.0, "hard"),
    ],
)
def test_levels_are_those_of_liu_et_al(chance: float, name: str) -> None:
    assert level(chance) == name


@pytest.mark.parametrize(
    ("billions", "chance", "strategy"),
    [
        (1.5, 0.9, "beam_search"),
        (6.9, 0.0, "beam_search"),
        (7, 0.9, "dvts"),
        (7, 0.1, "dvts"),
        (7, 0.09, "beam_search"),
        (32, 0.5, "dvts"),
        (32, 0.0, "beam_search"),
        (32.1, 0.0, "best_of_n"),
        (72, 0.9, "best_of_n"),
    ],
)
def test_the_rule_goes_by_the_size_of_the_policy_and_the_level(
    billions: float, chance: float, strategy: str
) -> None:
    rule = prior(chance, Models(parameters=int(billions * 1e9)))
    assert (rule.strategy, rule.by_difficulty) == (strategy, True)


@pytest.mark.parametrize(
    ("models", "strategy", "by_difficulty"),
    [
        (Models(10, verifier=False), "majority_vote", False),
        (Models(10, turns=True), "best_of_n", False),
        (Models(10, turns=True, verifier=False), "majority_vote", False),
        (Models(10, by_step=False), "best_of_n", False),
        (Models(10, long_reasoning=True), "majority_vote", True),
        (Models(None), "best_of_n", True),
    ],
)
def test_models_that_cannot_be_searched_by_steps_answer_whole(
    models: Models, strategy: str, *, by_difficulty: bool
) -> None:
    rule = prior(0.3, models)
    assert (rule.strategy, rule.by_difficulty) == (strategy, by_difficulty)
