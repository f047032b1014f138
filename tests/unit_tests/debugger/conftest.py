from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from langchain_tts.budget import Budget
from langchain_tts.debugger import SearchDebugger
from langchain_tts.strategies.context import SearchContext
from tests.unit_tests.fakes import QUESTION, TreePolicy, TreePrm, random_language

Start = Callable[..., SearchDebugger]


def context(
    *, language: int = 3, budget: Budget | int = 8, **parameters: Any
) -> SearchContext:
    return SearchContext(
        **{
            "policy": TreePolicy(random_language(language, depth=5)),
            "prm": TreePrm(),
            "budget": Budget.parse(budget),
            **parameters,
        }
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts debuggers on a small scripted search, and closes them."""
    with ExitStack() as opened:

        def started(
            strategy: str = "beam_search",
            *,
            seed: int = 7,
            name: str | None = None,
            file: Any = None,
            **setting: Any,
        ) -> SearchDebugger:
            debugger = SearchDebugger(
                QUESTION,
                strategy=strategy,
                context=context(**setting),
                seed=seed,
                name=name,
                file=file,
            )
            return opened.enter_context(debugger)

        yield started
