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
