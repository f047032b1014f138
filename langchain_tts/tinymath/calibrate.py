"""Fit the implicit PRM's scale and offset on the calibration split.

score = sigmoid(scale x log-likelihood ratio of the prefix + offset), the probability
that every step so far is right.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import LlamaForCausalLM

from langchain_tts.engines.tokens import load_tokenizer
from langchain_tts.policies.transformers import TransformersPolicy
from langchain_tts.search.state import Message
from langchain_tts.tinymath.generator import load_split
from langchain_tts.tinymath.rollouts import roll_out
from langchain_tts.tinymath.tool_turns import roll_out_turns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Any

    from langchain_tts.tinymath.rollouts import Rollout

_SAMPLES = 8


def calibrate(policy: Path, verifier: Path) -> None:
    """Write `prm_config.json` of the implicit PRM beside the verifier's weights."""
    rolled = roll_out(TransformersPolicy(policy), load_split("calibration"), _SAMPLES)
    asked = (
        ([Message(role="user", content=problem.question)], rollouts)
        for problem, rollouts in rolled
    )
    _fit(policy, verifier, asked)


def calibrate_turns(policy: Path, verifier: Path) -> None:
    """The same for the tool models, on turns that follow right turns."""
    rolled = roll_out_turns(
        TransformersPolicy(policy), load_split("calibration"), _SAMPLES
    )
    _fit(policy, verifier, rolled, turns=True)


def _fit(
    policy: Path,
    verifier: Path,
    rolled: Iterable[tuple[list[Message], list[Rollout]]],
    **settings: Any,
) -> None:
    """Fit scale and offset to samples and the labels of their steps."""
    model = LlamaForCausalLM.from_pretrained(verifier).float().eval()
    tokens, _ = load_tokenizer(verifier)
    ratios: list[float] = []
    right: list[bool] = []
    for messages, rollouts in rolled:
        prompt = tokens.chat_ids(messages)
        for rollout, steps in zip(
            rollouts, step_logprobs(model, prompt, rollouts), strict=True
        ):
            ratios.extend(np.cumsum(np.subtract(steps, rollout.logprobs)))
            end = rollout.first_wrong
            right.extend(end is None or i < end for i in range(len(steps)))
    scale, offset = fit_logistic(np.array(ratios), np.array(right, float))
    config = {
        "format": "implicit",
        "scale": round(scale, 4),
        "offset": round(offset, 4),
        "reference": policy.name,
        "calibration_steps": len(right),
        **settings,
    }
    (verifier / "prm_config.json").write_text(json.dumps(config, indent=2) + "\n")


@torch.inference_mode()
def step_logprobs(
    model: LlamaForCausalLM, prompt: list[int], rollouts: list[Rollout]
) -> list[list[float]]:
    """Log-probability of each step of each rollout under `model`."""
    bodies = [[i for step in r.token_ids for i in step] for r in rollouts]
    longest = max(map(len, bodies))
    rows = torch.tensor([prompt + b + [0] * (longest - len(b)) for b in bodies])
    # Padding stands on the right: a causal model never looks at it.
    logprobs = model(rows).logits.log_softmax(-1)[:, len(prompt) - 1 : -1]
    chosen = logprobs.gather(2, rows[:, len(prompt) :, None]).squeeze(2)
    result = []
    for row, rollout in zip(chosen, rollouts, strict=True):
        ends = np.cumsum([len(ids) for ids in rollout.token_ids])
        result.append(
            [
                float(row[end - len(ids) : end].sum())
                for end, ids in zip(ends, rollout.token_ids, strict=True)
            ]
        )
    return result


def fit_logistic(
    x: np.ndarray, y: np.ndarray, iterations: int = 50
) -> tuple[float, float]:
    """Scale and offset that maximise the likelihood of `y` (Newton's method)."""
    # Ratios far out in the tails would make Newton's first step overflow.
    features = np.stack([np.clip(x, -30, 30), np.ones_like(x)], 1)
    weights = np.zeros(2)
    for _ in range(iterations):
        chance = 1 / (1 + np.exp(-features @ weights))
        slope = features.T @ (y - chance)
        curvature = (features * (chance * (1 - chance))[:, None]).T @ features
        weights += np.linalg.solve(curvature + 1e-6 * np.eye(2), slope)
    return float(weights[0]), float(weights[1])
