"""FLOPs and their exchange, against values worked out by hand."""

from __future__ import annotations

import pytest

from langchain_tts.evaluation.exchange import (
    exchange_factor,
    inference_flops,
    training_flops,
)


@pytest.mark.parametrize(
    ("r", "factor"),
    [
        # 14 + 18.75 * 13
        (0.16, 257.75),
        # 14 + 39 / 0.79
        (0.79, 63.36708860759494),
        # 14 + 39 / 22
        (22, 15.772727272727273),
    ],
)
def test_a_model_14_times_larger_buys_what_snell_derives(
    r: float, factor: float
) -> None:
    assert exchange_factor(14, r) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize("r", [0.16, 0.79, 22])
@pytest.mark.parametrize("verifier", [0.0, 4.0])
def test_both_sides_cost_the_same(r: float, verifier: float) -> None:
    # A model of 1,000 parameters trained on 5,000 tokens, and one 14 times its size.
    trained, m, size = 5_000, 14, 1_000
    asked = r * trained
    large = training_flops(m * size, trained) + inference_flops(m * size, asked)
    both = round((1 + verifier) * size)
    left = large - training_flops(both, trained)
    factor = exchange_factor(m, r, verifier=verifier)
    assert inference_flops(both, factor * asked) == pytest.approx(left)


def test_a_verifier_of_the_small_model_s_size_halves_the_ratio() -> None:
    # 7 + 3 * 6
    assert exchange_factor(14, 1, verifier=1) == 25


def test_a_system_as_large_as_the_large_model_may_spend_as_much() -> None:
    assert exchange_factor(5, 0.16, verifier=4) == 1


def test_a_system_that_cost_more_to_train_than_there_is_may_spend_nothing() -> None:
    # 0.5 - 18.75 * 0.5
    assert exchange_factor(2, 0.16, verifier=3) == 0


def test_flops_are_liu_s_table_4() -> None:
    # Llama-3.1-405B on 15 T tokens: 3.65e25 in the paper.
    assert training_flops(405_000_000_000, 15e12) == pytest.approx(3.645e25)
    assert inference_flops(3, 10) == 60


@pytest.mark.parametrize(("m", "r", "verifier"), [(0, 1, 0), (2, 0, 0), (2, 1, -1)])
def test_what_no_model_has_is_refused(m: float, r: float, verifier: float) -> None:
    with pytest.raises(ValueError, match="no FLOPs can be exchanged"):
        exchange_factor(m, r, verifier=verifier)
