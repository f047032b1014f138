"""Search strategies: LangGraph state machines on one set of nodes, in one registry."""

from langchain_tts.search.select import Selection
from langchain_tts.strategies import _catalog  # noqa: F401 (registers the built-in ones)
from langchain_tts.strategies._own import step_strategy
from langchain_tts.strategies._registry import (
    STRATEGIES,
    BudgetRule,
    Strategy,
    StrategyError,
    UnknownStrategyError,
    get_strategy,
    register_strategy,
)

__all__ = [
    "STRATEGIES",
    "BudgetRule",
    "Selection",
    "Strategy",
    "StrategyError",
    "UnknownStrategyError",
    "get_strategy",
    "register_strategy",
    "step_strategy",
]
