"""Budget (what a search may spend) and Ledger (what it has spent).

A budget is a ceiling over the whole search. Every engine call is first
admitted by the ledger in its worst case, so no limit is ever passed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Self, cast

from pydantic import ConfigDict
from typing_extensions import TypedDict

DEFAULT_SAMPLES = 16
"""N where the caller sets none."""


FORM = ConfigDict(use_attribute_docstrings=True, arbitrary_types_allowed=True)
"""How pydantic describes a form of the fields of a dataclass: by the text under each.
What is no plain data, such as a loaded model, has no place in it."""


class BudgetError(ValueError):
    """A budget that cannot be used."""


class Spent(TypedDict, total=False):
    """What a search has used so far; a missing key counts as 0."""

    samples: int
    """Sequences requested from the policy that became final candidates."""
    policy_calls: int
    prompt_tokens: int
    """Prompt tokens the policy computed (cache hits excluded)."""
    cached_tokens: int
    """Prompt tokens the policy took from its cache."""
    generated_tokens: int
    prm_calls: int
    prm_tokens: int
    """Tokens the PRM computed (cache hits excluded)."""
    prm_cached_tokens: int
    policy_flops: float
    prm_flops: float
    seconds: float


def add_spent(left: Spent, right: Spent) -> Spent:
    """Add two records key by key."""
    total = dict(left)
    for key, value in right.items():
        total[key] = total.get(key, 0) + value  # type: ignore[operator]
    return cast("Spent", total)


@dataclass(frozen=True)
class Budget:
    """Limits of one search; None means no limit of that kind.

    Raises:
        BudgetError: If a limit is not a positive finite number.
    """

    __pydantic_config__ = FORM

    samples: int = DEFAULT_SAMPLES
    """N, the number of candidates that the strategy works with."""

    tokens: int | None = None
    """Generated policy tokens over the whole search."""

    flops: float | None = None
    """Floating point operations, policy and PRM: 2 x parameters x computed tokens each
    (Liu et al. 2025, section 4.4, with the PRM added)."""

    seconds: float | None = None
    """Wall-clock seconds; a call that stalls is given up a tenth of them later."""

    def __post_init__(self) -> None:
        """Refuse limits that no search could keep."""
        for name, value in asdict(self).items():
            if value is None and name != "samples":
                continue
            whole = name in {"samples", "tokens"}
            kinds = (int,) if whole else (int, float)
            if (
                isinstance(value, bool)
                or not isinstance(value, kinds)
                or not math.isfinite(value)
                or value <= 0
            ):
                kind = "whole number" if whole else "number"
                msg = f"budget {name} is {value!r}; give a {kind} above 0, e.g. 16"
                raise BudgetError(msg)

    @classmethod
    def parse(cls, value: object) -> Self:
        """Make a budget from N, from the text of N, from a mapping or from a budget.

        Raises:
            BudgetError: If `value` is none of these.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, dict):
            unknown = set(value) - {"samples", "tokens", "flops", "seconds"}
            if unknown:
                msg = (
                    f"unknown budget limit {min(unknown)!r}; "
                    "the limits are samples, tokens, flops and seconds"
                )
                raise BudgetError(msg)
            return cls(**value)
        if isinstance(value, str):
            try:
                value = int(value)
            except ValueError:
                msg = f"budget is {value!r}; give a whole number above 0, e.g. 16"
                raise BudgetError(msg) from None
        return cls(samples=value)  # type: ignore[arg-type]

    def within(self, seconds: float | None) -> Self:
        """This budget with no more than some seconds; None: as it is."""
        if seconds is None:
            return self
        return replace(self, seconds=min(seconds, self.seconds or seconds))

    def to_dict(self) -> dict[str, float | int | None]:
        """The limits as plain data."""
        return asdict(self)


class Admission(TypedDict):
    """What the ledger lets the next policy call use."""

    samples: int
    """How many of the requested sequences may run (0: none)."""
    max_tokens: int
    """New tokens each of them may have."""


@dataclass(frozen=True)
class Ledger:
    """A budget together with what was spent of it.

    Args:
        budget: The limits.
        spent: What was used so far.
        policy_parameters: Parameters of the policy, for FLOPs.
        prm_parameters: Parameters of the verifier, for FLOPs (0: none is used).
    """

    budget: Budget
    spent: Spent
    policy_parameters: int = 0
    prm_parameters: int = 0

    def exhausted(self) -> str | None:
        """The name of a limit that is used up, or None."""
        used = {
            "tokens": self.spent.get("generated_tokens", 0),
            "flops": self.flops,
            "seconds": self.spent.get("seconds", 0.0),
        }
        for name, amount in used.items():
            limit = getattr(self.budget, name)
            if limit is not None and amount >= limit:
                return name
        return None

    @property
    def flops(self) -> float:
        """FLOPs of policy and PRM so far."""
        return self.spent.get("policy_flops", 0.0) + self.spent.get("prm_flops", 0.0)

    def admit(self, samples: int, max_tokens: int, prompt_tokens: int = 0) -> Admission:
        """Fit a policy call under the ceilings, assuming that nothing is cached.

        Keeps as many sequences as can have at least one token each, then shares the
        remaining tokens evenly.

        Args:
            samples: Sequences wanted.
            max_tokens: New tokens wanted for each.
            prompt_tokens: Prompt tokens of the call in all.

        Returns:
            The sequences and tokens a sequence that may be used.
        """
        if self.exhausted() or samples <= 0:
            return Admission(samples=0, max_tokens=0)
        allowed: float = math.inf
        if self.budget.tokens is not None:
            allowed = self.budget.tokens - self.spent.get("generated_tokens", 0)
        if self.budget.flops is not None:
            # A generated token is computed once by the policy and scored once by the
            # PRM; a prompt token likewise.
            per_token = 2.0 * (self.policy_parameters + self.prm_parameters)
            left = self.budget.flops - self.flops
            if per_token:
                allowed = min(allowed, left // per_token - prompt_tokens)
        if allowed >= samples * max_tokens:
            return Admission(samples=samples, max_tokens=max_tokens)
        samples = max(0, min(samples, int(allowed)))
        return Admission(
            samples=samples, max_tokens=int(allowed // samples) if samples else 0
        )

    def seconds_left(self) -> float | None:
        """Seconds until the time limit; None without one."""
        if self.budget.seconds is None:
            return None
        return max(0.0, self.budget.seconds - self.spent.get("seconds", 0.0))
