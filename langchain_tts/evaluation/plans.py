"""Which searches a sweep runs, and which budgets are read off each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_tts.strategies import Strategy, get_strategy
from langchain_tts.strategies.context import SearchContext


@dataclass(frozen=True)
class Plan:
    """One search a question, and what is read off it.

    Args:
        strategy: Its name.
        budget: N of the search.
        sizes: The budgets that are read off it, in ascending order.
        nested: Whether its first n samples are the search at n.
        scored: Whether its answer can depend on step scores.
    """

    strategy: str
    budget: int
    sizes: tuple[int, ...]
    nested: bool
    scored: bool


def plans(
    strategies: Sequence[str], budgets: Sequence[int], context: SearchContext
) -> list[Plan]:
    """Plan a sweep.

    Args:
        strategies: Names of strategies; one that is named twice runs once.
        budgets: Values of N.
        context: Models and parameters of all searches.

    Returns:
        For a strategy with nested budgets one plan at the largest N; for another one a
        plan for each N, because its search at another N is another search.

    Raises:
        UnknownStrategyError: If there is no such strategy.
    """
    sizes = tuple(sorted(set(budgets)))
    found: list[Plan] = []
    for name in dict.fromkeys(strategies):
        strategy = get_strategy(name)
        nested = strategy.nested and not _stops_early(strategy, context)
        scored = strategy.verifier != "none" and context.prm is not None
        read_off = [sizes] if nested else [(size,) for size in sizes]
        found += [Plan(name, of[-1], of, nested, scored) for of in read_off]
    return found


def _stops_early(strategy: Strategy, context: SearchContext) -> bool:
    """Whether a search may take fewer samples than N, so that it tells no pass@N."""
    return context.early_stop != "off" and "early_stop" in strategy.parameters
