"""Test-time scaling for LangChain: chat models that search for their answer.

Names are imported when they are first used: `import langchain_tts` loads neither
LangGraph nor an engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from langchain_tts._version import __version__

if TYPE_CHECKING:
    from langchain_tts.budget import Budget, BudgetError
    from langchain_tts.chat_model import TTSChatModel
    from langchain_tts.debugger import SearchDebugger
    from langchain_tts.engines.errors import NoToolsError
    from langchain_tts.policies import resolve_policy
    from langchain_tts.policies.base import Policy
    from langchain_tts.rewards import resolve_prm
    from langchain_tts.rewards.base import RewardModel
    from langchain_tts.search.select import Selection
    from langchain_tts.search.state import Candidate, Message, SearchResult
    from langchain_tts.strategies import (
        BudgetRule,
        Strategy,
        get_strategy,
        register_strategy,
        step_strategy,
    )
    from langchain_tts.strategies._calls import PolicyFailedError
    from langchain_tts.strategies._proposal import QuestionError
    from langchain_tts.strategies._setting import MissingVerifierError
    from langchain_tts.strategies.context import SearchContext
    from langchain_tts.strategies.run import (
        asolve,
        astream_search,
        solve,
        stream_search,
    )
    from langchain_tts.strategies.state import SearchInput, SearchState

__all__ = [
    "Budget",
    "BudgetError",
    "BudgetRule",
    "Candidate",
    "Message",
    "MissingVerifierError",
    "NoToolsError",
    "Policy",
    "PolicyFailedError",
    "QuestionError",
    "RewardModel",
    "SearchContext",
    "SearchDebugger",
    "SearchInput",
    "SearchResult",
    "SearchState",
    "Selection",
    "Strategy",
    "TTSChatModel",
    "__version__",
    "asolve",
    "astream_search",
    "get_strategy",
    "register_strategy",
    "resolve_policy",
    "resolve_prm",
    "solve",
    "step_strategy",
    "stream_search",
]

_HOMES = {
    "Budget": "langchain_tts.budget",
    "BudgetError": "langchain_tts.budget",
    "BudgetRule": "langchain_tts.strategies",
    "Candidate": "langchain_tts.search.state",
    "Message": "langchain_tts.search.state",
    "MissingVerifierError": "langchain_tts.strategies._setting",
    "NoToolsError": "langchain_tts.engines.errors",
    "Policy": "langchain_tts.policies.base",
    "PolicyFailedError": "langchain_tts.strategies._calls",
    "QuestionError": "langchain_tts.strategies._proposal",
    "RewardModel": "langchain_tts.rewards.base",
    "SearchContext": "langchain_tts.strategies.context",
    "SearchDebugger": "langchain_tts.debugger",
    "SearchInput": "langchain_tts.strategies.state",
    "SearchResult": "langchain_tts.search.state",
    "SearchState": "langchain_tts.strategies.state",
    "Selection": "langchain_tts.search.select",
    "Strategy": "langchain_tts.strategies",
    "TTSChatModel": "langchain_tts.chat_model",
    "asolve": "langchain_tts.strategies.run",
    "astream_search": "langchain_tts.strategies.run",
    "get_strategy": "langchain_tts.strategies",
    "register_strategy": "langchain_tts.strategies",
    "resolve_policy": "langchain_tts.policies",
    "resolve_prm": "langchain_tts.rewards",
    "solve": "langchain_tts.strategies.run",
    "step_strategy": "langchain_tts.strategies",
    "stream_search": "langchain_tts.strategies.run",
}
"""Where each public name lives."""


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
