"""The registry: strategies by name, the package's own and a user's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from langchain_tts.search.certain import Certainty

if TYPE_CHECKING:
    from langchain_tts.strategies._graph import Graph

VerifierUse = Literal["none", "optional", "votes", "steps"]
"""`none`: a verifier is not even loaded. `optional`: the search does without one, and
counts answers then. `votes`: it chooses among finished answers, which a majority vote
can do without. `steps`: it steers the search."""


class UnknownStrategyError(ValueError):
    """A strategy that is not registered."""


class StrategyError(ValueError):
    """A strategy that cannot be registered."""


@dataclass(frozen=True)
class BudgetRule:
    """What a budget of N means, with a beam width of M, in words for a table.

    Args:
        width: How many samples a policy call asks for.
        beams: How many of them are continued.
        depth: How many calls follow one another.
        rollouts: What is generated only to judge something else.
        uneven: What happens where N is not divisible.
    """

    width: str
    beams: str
    depth: str
    rollouts: str = "none"
    uneven: str = "nothing is divided"


@dataclass(frozen=True)
class Strategy:
    """One way to spend a budget.

    Args:
        name: How it is asked for.
        summary: What it does, in one line.
        budget: What a budget of N means for it.
        build: Makes its graph.
        verifier: What it uses a verifier for.
        parameters: The fields of `SearchContext` that only some strategies read and
            this one does.
        nested: Whether the first n samples of a run at N are the run at n, so that one
            run answers every smaller budget.
        turns: Whether its candidates may be whole turns with tool calls, or answers by
            a schema: it samples whole answers, and votes over them.
        certainty: When it is known what can still become the answer.
        chooses: Whether it chooses among strategies or models itself: then no other
            search chooses it.
    """

    name: str
    summary: str
    budget: BudgetRule
    build: Callable[[], Graph]
    verifier: VerifierUse = "steps"
    parameters: tuple[str, ...] = ()
    nested: bool = False
    turns: bool = False
    certainty: Certainty = "end"
    chooses: bool = False


STRATEGIES: dict[str, Strategy] = {}
"""All strategies by name."""


def register_strategy(strategy: Strategy) -> Strategy:
    """Make a strategy known by its name, everywhere a strategy can be named.

    Args:
        strategy: The strategy. Registering the same one again does nothing.

    Returns:
        The strategy.

    Raises:
        StrategyError: If the name is taken by another strategy, or cannot be one.
    """
    if not strategy.name.isidentifier():
        msg = (
            f"strategy name {strategy.name!r} is not an identifier; "
            "use letters, digits and underscores, e.g. 'my_search'"
        )
        raise StrategyError(msg)
    if STRATEGIES.setdefault(strategy.name, strategy) != strategy:
        msg = f"there is a strategy {strategy.name!r} already; choose another name"
        raise StrategyError(msg)
    return strategy


def get_strategy(name: str) -> Strategy:
    """Look a strategy up.

    Args:
        name: A registered name, or `module:attribute` for a strategy that is imported
            (and registered) now, e.g. `my_package.search:my_search`.

    Raises:
        UnknownStrategyError: If there is none of that name.
    """
    if ":" in name:
        return register_strategy(_imported(name))
    if name not in STRATEGIES:
        msg = (
            f"unknown strategy {name!r}; the strategies are {', '.join(STRATEGIES)}; "
            "one of your own is named by 'module:attribute'"
        )
        raise UnknownStrategyError(msg)
    return STRATEGIES[name]


def _imported(name: str) -> Strategy:
    module, _, attribute = name.partition(":")
    try:
        strategy = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        msg = (
            f"strategy {name!r} cannot be imported: {error}; give 'module:attribute' "
            "of an installed module or of one in the current directory"
        )
        raise UnknownStrategyError(msg) from error
    if not isinstance(strategy, Strategy):
        msg = (
            f"{name!r} is a {type(strategy).__name__}, not a Strategy; "
            "see examples/my_strategy.py"
        )
        raise UnknownStrategyError(msg)
    return strategy
