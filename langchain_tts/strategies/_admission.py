"""Fitting the next policy call under the budget and the policy's context window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from langchain_tts.budget import Ledger
from langchain_tts.search.select import take_away
from langchain_tts.strategies._setting import Setting


class Expansion(NamedTuple):
    """How many children a candidate is to get."""

    parent: int | None
    """None: first steps from the question."""
    children: int


class Fitted(NamedTuple):
    """What may run of a planned call."""

    expansions: list[Expansion]
    """Those of the plan that get any children, with as many as they get."""
    max_tokens: int
    """New tokens that each sample may have."""
    limit: str | None
    """The budget limit that made this less than was planned."""


def within(plan: Sequence[Expansion], places: int) -> list[Expansion]:
    """A plan of at most `places` children.

    Plans keep to that by themselves, unless a search was edited by hand: an answer that
    was pruned stays paid for, and more may have been kept than a strategy would keep.
    """
    counts = take_away([count for _, count in plan], max(0, places))
    pairs = zip(plan, counts, strict=True)
    return [Expansion(parent, count) for (parent, _), count in pairs]


def fit(
    plan: Sequence[Expansion],
    setting: Setting,
    ledger: Ledger,
    *,
    prompts: Mapping[int | None, int],
    max_tokens: int,
    likely_tokens: float,
) -> Fitted:
    """Fit a planned call under the ceilings.

    Where not all samples can have `max_tokens`, it is better to run fewer of them than
    to cut them all short: samples are taken away, from the worst parents first, until
    each of the others can have what it is likely to need.

    Args:
        plan: The children wanted, best parents first.
        setting: The search's models and budget.
        ledger: What was spent.
        prompts: Prompt tokens of each parent's request.
        max_tokens: New tokens that a sample may have at most.
        likely_tokens: New tokens that a sample probably needs.

    Returns:
        What may run (nothing where the budget is used up).
    """
    wanted = sum(count for _, count in plan)
    if not wanted:
        return Fitted([], 0, None)
    if setting.generation_seconds(ledger.spent) <= 0:
        return Fitted([], 0, "seconds")
    likely_tokens = min(likely_tokens, max_tokens)
    counts = [count for _, count in plan]
    for total in range(wanted, 0, -1):
        counts = take_away(counts, total)
        read = _prompt_tokens(plan, counts, setting, prompts)
        admission = ledger.admit(total, max_tokens, read)
        allowed = admission["max_tokens"] if admission["samples"] == total else 0
        if allowed >= likely_tokens or (total == 1 and allowed):
            less = total < wanted or allowed < max_tokens
            limit = _tighter(ledger, wanted * max_tokens) if less else None
            return Fitted(_with_counts(plan, counts), allowed, limit)
    return Fitted([], 0, ledger.exhausted() or _tighter(ledger, wanted * max_tokens))


def _with_counts(plan: Sequence[Expansion], counts: Sequence[int]) -> list[Expansion]:
    pairs = zip(plan, counts, strict=True)
    return [Expansion(parent, count) for (parent, _), count in pairs if count]


def _prompt_tokens(
    plan: Sequence[Expansion],
    counts: Sequence[int],
    setting: Setting,
    prompts: Mapping[int | None, int],
) -> int:
    """Prompt tokens of a call in the worst case.

    Siblings are one request to the policy, but a verifier without a cache reads the
    prompt again for each of them.
    """
    once = setting.prm is None and setting.policy.reads_prompt_once
    return sum(
        prompts[parent] * (min(count, 1) if once else count)
        for (parent, _), count in zip(plan, counts, strict=True)
    )


def _tighter(ledger: Ledger, tokens: int) -> str:
    """Which limit does not allow `tokens` more."""
    limit = ledger.budget.tokens
    if limit is not None and limit - ledger.spent.get("generated_tokens", 0) < tokens:
        return "tokens"
    return "flops"
