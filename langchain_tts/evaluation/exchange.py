"""FLOPs of training and inference, and what they buy from each other.

Snell et al. 2024 (section 7), with the counts of Liu et al. 2025 (Table 4): a model
of P parameters costs `6 P D` FLOPs to train on D tokens, `2 P T` to compute T tokens.

Snell's question: a model is made M times larger, trained on as many tokens, and writes
as many. What else could those FLOPs have bought? With X for what training the small
model costs and Y for its inference over its life, the larger one costs M (X + Y). The
small model may spend the same, of which X is gone already: k times its inference, where

    X + k Y = M (X + Y),  so  k = M + (M - 1) X / Y.

Training and inference of one model differ in tokens and in the factors 6 and 2:

    X / Y = 6 P D_pretrain / (2 P D_inference) = 3 / R,  R = D_inference / D_pretrain,

so k = M + (3 / R) (M - 1). A model that is asked little (R << 1) may spend much on each
question; one that is asked a lot (R >> 1) hardly more than the larger one would.

**With the verifier.** The small system is then a policy with a verifier v times its
size, trained on as many tokens. Let it read every token that the policy writes: both X
and Y of the system are 1 + v times the policy's, and the same derivation holds with
M / (1 + v) in place of M: what counts is by how much the large model is larger than
*both*. The result is again in units of the system's own inference.
"""

from __future__ import annotations

TRAINING, INFERENCE = 6.0, 2.0
"""FLOPs a parameter and token."""


def training_flops(parameters: int, tokens: float) -> float:
    """FLOPs of training a model.

    Args:
        parameters: P.
        tokens: D, how many it was trained on.
    """
    return TRAINING * parameters * tokens


def inference_flops(parameters: int, tokens: float) -> float:
    """FLOPs of computing tokens, prompts and what is generated alike.

    Args:
        parameters: P.
        tokens: How many are computed; those found in a cache are not.
    """
    return INFERENCE * parameters * tokens


def exchange_factor(m: float, r: float, *, verifier: float = 0.0) -> float:
    """By what a small model's inference may grow for the FLOPs of a larger model.

    Args:
        m: M, parameters of the large model over those of the small one.
        r: R, tokens of inference over tokens of training.
        verifier: Parameters of the small model's verifier over its own; 0 counts the
            policy only, as both papers do.

    Returns:
        k: how many times what the small model, with its verifier, spends on one answer.
        Below 1 (0 at least) its training alone has left less than one answer.

    Raises:
        ValueError: If `m` or `r` is not above 0, or `verifier` is below 0.
    """
    if m <= 0 or r <= 0 or verifier < 0:
        msg = (
            f"no FLOPs can be exchanged with m={m}, r={r} and verifier={verifier}; "
            "give m and r above 0 and verifier of at least 0"
        )
        raise ValueError(msg)
    larger = m / (1 + verifier)
    return max(0.0, larger + TRAINING / INFERENCE / r * (larger - 1))
