"""Search strategies: LangGraph state machines on one set of nodes, in one registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langgraph.graph import StateGraph

    from langchain_tts.search.state import SearchState
    from langchain_tts.strategies.context import SearchContext

    Graph = StateGraph[SearchState, SearchContext, SearchState, SearchState]


class UnknownStrategyError(ValueError):
    """A strategy that is not registered."""


@dataclass(frozen=True)
class Strategy:
    """One way to spend a budget.

    Args:
        name: How it is asked for.
        summary: What it does, in one line.
        budget_rule: What a budget of N, with a beam width of M, means for it.
        build: Makes its graph.
    """

    name: str
    summary: str
    budget_rule: str
    build: Callable[[], Graph]


def _builder(name: str) -> Callable[[], Graph]:
    """Import a strategy's module, and with it LangGraph, only when it is built."""

    def build() -> Graph:
        graph: Graph = import_module(f"{__name__}.{name}").build()
        return graph

    return build


STRATEGIES: dict[str, Strategy] = {
    name: Strategy(name, summary, budget_rule, _builder(name))
    for name, summary, budget_rule in (
        (
            "greedy",
            "one answer at temperature 0",
            "1 sample, whatever N is",
        ),
        (
            "majority_vote",
            "N answers, the most frequent one",
            "N samples",
        ),
        (
            "best_of_n",
            "N answers, chosen by the verifier's scores",
            "N samples, each of their steps scored",
        ),
        (
            "beam_search",
            "the best steps so far are continued, the others pruned",
            (
                "N first steps, then max(1, L // M) beams that share the L = N - "
                "(final candidates) proposals of a round evenly, better beams first; "
                "at most N final candidates"
            ),
        ),
        (
            "dvts",
            "independent subtrees, each continuing its best step",
            (
                "max(1, N // M) subtrees that share N first steps evenly, first ones "
                "first, then continue their best step as often, less their final "
                "candidates; at most N final candidates"
            ),
        ),
    )
}
"""All strategies by name, simplest first."""


def get_strategy(name: str) -> Strategy:
    """Look a strategy up.

    Raises:
        UnknownStrategyError: If there is none of that name.
    """
    if name not in STRATEGIES:
        msg = f"unknown strategy {name!r}; the strategies are {', '.join(STRATEGIES)}"
        raise UnknownStrategyError(msg)
    return STRATEGIES[name]
