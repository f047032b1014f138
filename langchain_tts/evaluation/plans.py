"""Which searches a sweep runs, and which budgets are read off each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from langchain_tts.evaluation.datasets import Question
from langchain_tts.strategies import Strategy, get_strategy
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.parameters import parse_strategy, strategy_text


@dataclass(frozen=True)
class Plan:
    """One search a question and seed, and what is read off it.

    Args:
        strategy: Its name.
        budget: N of the search.
        sizes: The budgets that are read off it, in ascending order.
        nested: Whether its first n samples are the search at n.
        scored: Whether its answer can depend on step scores.
        parameters: Fields of the context that are its own.
    """

    strategy: str
    budget: int
    sizes: tuple[int, ...]
    nested: bool
    scored: bool
    parameters: tuple[tuple[str, Any], ...] = ()

    @property
    def label(self) -> str:
        """The strategy with its parameters, as `parse_strategy` reads it."""
        return strategy_text(self.strategy, dict(self.parameters))


class Job(NamedTuple):
    """One search of a sweep."""

    plan: Plan
    question: Question
    seed: int
    """Of the sweep, not of the search."""


def plans(
    strategies: Sequence[str], budgets: Sequence[int], context: SearchContext
) -> list[Plan]:
    """Plan a sweep.

    Args:
        strategies: Strategies with or without parameters (`parse_strategy`); one that
            is named twice runs once.
        budgets: Values of N.
        context: Models and parameters of all searches.

    Returns:
        For a strategy with nested budgets one plan at the largest N; for another one a
        plan for each N, because its search at another N is another search.

    Raises:
        UnknownStrategyError: If there is no such strategy.
        SearchContextError: If there is no such parameter.
    """
    sizes = tuple(sorted(set(budgets)))
    found: dict[str, list[Plan]] = {}
    for text in strategies:
        name, parameters = parse_strategy(text)
        strategy = get_strategy(name)
        nested = strategy.nested and not _stops_early(
            strategy, replace(context, **parameters)
        )
        scored = strategy.verifier != "none" and context.prm is not None
        read_off = [sizes] if nested else [(size,) for size in sizes]
        found[strategy_text(name, parameters)] = [
            Plan(name, of[-1], of, nested, scored, tuple(parameters.items()))
            for of in read_off
        ]
    return [plan for group in found.values() for plan in group]


def _stops_early(strategy: Strategy, context: SearchContext) -> bool:
    """Whether a search may take fewer samples than N, so that it tells no pass@N."""
    return context.early_stop != "off" and "early_stop" in strategy.parameters
