"""What a search needs besides its state: models, budget and parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import get_args

from langchain_tts.budget import Budget
from langchain_tts.policies.base import Policy
from langchain_tts.rewards.base import RewardModel
from langchain_tts.search.vote import Score, Vote

__all__ = ["Score", "SearchContext", "SearchContextError", "Vote"]


class SearchContextError(ValueError):
    """A parameter that no search can use."""


@dataclass(frozen=True)
class SearchContext:
    """Runtime context of every strategy's graph (never part of its state).

    Strings are resolved to models when the search starts, so that a graph can be run
    from a form.

    Args:
        policy: A policy or its name, e.g. `tinymath`.
        prm: A verifier or its name; None searches without one where that is possible.
        budget: Limits of the search.
        beam_width: M, how many children each kept candidate gets.
        max_rounds: Rounds of step search at most.
        max_step_tokens: New tokens a step may have.
        max_tokens: New tokens a whole answer may have.
        temperature: Of sampling.
        score: How step scores become a trajectory score.
        vote: How trajectories become an answer.

    Raises:
        SearchContextError: If a parameter is out of its range.
    """

    policy: Policy | str = "tinymath"
    prm: RewardModel | str | None = "tinymath"
    budget: Budget = field(default_factory=Budget)
    beam_width: int = 4
    max_rounds: int = 40
    max_step_tokens: int = 2048
    max_tokens: int = 8192
    temperature: float = 0.8
    score: Score = "last"
    vote: Vote = "max"

    def __post_init__(self) -> None:
        """Refuse parameters that would fail in the middle of a search."""
        for name in ("beam_width", "max_rounds", "max_step_tokens", "max_tokens"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                msg = f"{name} is {value!r}; give a whole number above 0"
                raise SearchContextError(msg)
        if not 0.0 <= self.temperature < math.inf:
            msg = f"temperature is {self.temperature!r}; give 0 or more, e.g. 0.8"
            raise SearchContextError(msg)
        for name, kinds in (("score", get_args(Score)), ("vote", get_args(Vote))):
            value = getattr(self, name)
            if value not in kinds:
                msg = f"{name} is {value!r}; it is one of {', '.join(kinds)}"
                raise SearchContextError(msg)
