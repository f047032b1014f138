"""Comparing searches of real models that ran in different processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest


def rounded(tree: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A tree that does not tell what another batch does to the last digits."""
    return [
        {
            **c,
            "logprob": pytest.approx(c["logprob"], abs=1e-3),
            "score": pytest.approx(c["score"], abs=1e-4),
        }
        for c in tree
    ]


def untimed(result: Mapping[str, Any]) -> dict[str, Any]:
    """A search result without what the clock decides.

    Subtrees that run side by side meet in the engine's batches as the clock has it.
    That decides whether a prefix was in the cache already, never how much was read.
    """
    spent = result["spent"]
    return {
        **result,
        "seconds": None,
        "spent": {
            "policy_calls": spent["policy_calls"],
            "generated_tokens": spent["generated_tokens"],
            "samples": spent["samples"],
            "read": spent["prompt_tokens"] + spent["cached_tokens"],
            "judged": spent.get("prm_tokens", 0) + spent.get("prm_cached_tokens", 0),
        },
    }


def near(value: Any) -> Any:
    """A value whose floats may differ by what another batch does to them."""
    if isinstance(value, float):
        return pytest.approx(value, abs=1e-3)
    if isinstance(value, Mapping):
        return {key: near(one) for key, one in value.items()}
    if isinstance(value, list):
        return [near(one) for one in value]
    return value
