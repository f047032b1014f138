"""Drawing tokens: reproducible numbers, exact probabilities."""

from __future__ import annotations

import math

import pytest
import torch

from langchain_tts.engines.sampling import mix, sample, uniforms


def splitmix64(state: int) -> int:
    """The finalizer as published, on Python's integers."""
    mask = 2**64 - 1
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


@pytest.mark.parametrize("value", [0, 1, 12345, 2**63 - 1, -1])
def test_mix_is_splitmix64(value: int) -> None:
    mixed = int(mix(torch.tensor([value]))[0])
    assert mixed % 2**64 == splitmix64(value % 2**64)


def test_numbers_are_uniform_and_differ_by_seed_and_position() -> None:
    seeds = mix(torch.arange(200))[:, None]
    numbers = uniforms(seeds, torch.arange(200)[None])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = torch.histc(numbers.flatten(), bins=20, min=0, max=1)
    chi2 = float(((counts - 2000) ** 2 / 2000).sum())
    assert chi2 < 19 + 4 * math.sqrt(2 * 19)
    assert len(set(numbers.flatten().tolist())) > 39_000
    for axis in (numbers, numbers.T):
        correlation = torch.corrcoef(
            torch.stack([axis[:-1].flatten(), axis[1:].flatten()])
        )
        assert abs(float(correlation[0, 1])) < 0.02


def test_a_number_picks_the_token_whose_share_it_falls_into() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log().repeat(6, 1)
    numbers = torch.tensor([0.0, 0.49, 0.51, 0.79, 0.81, 1 - 2**-24])
    tokens, logprobs = sample(logits, torch.ones(6), numbers)
    assert tokens.tolist() == [0, 0, 1, 1, 2, 2]
    shares = [0.5, 0.5, 0.3, 0.3, 0.2, 0.2]
    assert logprobs.exp().tolist() == pytest.approx(shares)


def test_impossible_tokens_are_never_drawn() -> None:
    logits = torch.tensor([[-math.inf, 0.0, -math.inf]]).repeat(3, 1)
    numbers = torch.tensor([0.0, 0.5, 1 - 2**-24])
    assert sample(logits, torch.ones(3), numbers)[0].tolist() == [1, 1, 1]


def test_temperature_sharpens_and_zero_takes_the_best() -> None:
    logits = torch.tensor([1.0, 2.0, 0.0]).repeat(3, 1)
    temperatures = torch.tensor([0.0, 0.5, 2.0])
    numbers = torch.full((3,), 0.2)
    tokens, logprobs = sample(logits, temperatures, numbers)
    # exp(2), exp(4), 1 give shares 0.12, 0.87; exp(.5), e, 1 give 0.31, 0.51.
    assert tokens.tolist() == [1, 1, 0]
    expected = logits[0].log_softmax(dim=-1)[tokens]
    assert logprobs.tolist() == pytest.approx(expected.tolist())
