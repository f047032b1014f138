"""Sampling with one seed a sample: what a sample becomes does not depend on its batch.

The random number for a token is a hash of the sample's seed and of the token's position
(a counter-based generator; Salmon et al. 2011), so no generator state is carried from
one batch to the next, and a sample that is continued with the same seed goes on as if
it had never been interrupted.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = -0x61C8864680B583EB  # 2^64 / golden ratio, as a signed 64-bit integer
_MIX_1 = -0x40A7B892E31B1A47
_MIX_2 = -0x6B2FB644ECCEEE15
_UNIFORM_BITS = 24  # what a float32 in [0, 1) holds exactly


def _shift(values: Tensor, bits: int) -> Tensor:
    """Logical right shift (torch's own keeps the sign)."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def mix(values: Tensor) -> Tensor:
    """The finalizer of splitmix64 (Steele et al. 2014): a bijection of 64-bit words."""
    values = (values ^ _shift(values, 30)) * _MIX_1
    values = (values ^ _shift(values, 27)) * _MIX_2
    return values ^ _shift(values, 31)


def uniforms(keys: Tensor, positions: Tensor) -> Tensor:
    """One number in [0, 1) for each pair of key and position.

    Args:
        keys: `mix` of the samples' seeds, int64.
        positions: Positions of the tokens in their sequences, int64.
    """
    words = mix(keys + positions * _GOLDEN)
    return _shift(words, 64 - _UNIFORM_BITS).float() * 2.0**-_UNIFORM_BITS


def sample(
    logits: Tensor, temperatures: Tensor, numbers: Tensor
) -> tuple[Tensor, Tensor]:
    """Draw one token a row by inverting the cumulative distribution.

    Args:
        logits: (rows, vocabulary), float32.
        temperatures: (rows,); 0 takes the most likely token.
        numbers: (rows,) numbers in [0, 1).

    Returns:
        The tokens (rows,) and their natural log-probabilities at temperature 1 (rows,).
    """
    greedy = temperatures == 0
    scaled = logits / torch.where(greedy, 1.0, temperatures)[:, None]
    # The shift by the row's maximum keeps exp() in range; no normalisation is needed.
    best, tokens = scaled.max(dim=-1, keepdim=True)
    cumulative = torch.exp(scaled - best).cumsum(dim=-1)
    thresholds = numbers[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, thresholds, right=True)
    drawn = drawn.clamp_(max=logits.shape[-1] - 1)
    tokens = torch.where(greedy[:, None], tokens, drawn)
    logprobs = logits.gather(1, tokens)[:, 0] - logits.logsumexp(dim=-1)
    return tokens[:, 0], logprobs
