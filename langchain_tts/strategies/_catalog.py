"""The package's own strategies, simplest first, and what N means for each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from langchain_tts.strategies._registry import BudgetRule, Strategy, register_strategy

if TYPE_CHECKING:
    from langchain_tts.strategies._graph import Graph


def _builder(module: str) -> Callable[[], Graph]:
    """Import a strategy's module, and with it LangGraph, only when it is built."""

    def build() -> Graph:
        found = import_module(f"langchain_tts.strategies.{module}")
        graph: Graph = found.build()
        return graph

    return build


_EVENLY = "they share the places evenly, the better ones get one more"

_BUILT_IN = (
    Strategy(
        "greedy",
        "one answer at temperature 0",
        BudgetRule(width="1 answer, whatever N is", beams="–", depth="1"),
        _builder("greedy"),
        verifier="none",
        nested=True,
    ),
    Strategy(
        "majority_vote",
        "N answers, the most frequent one",
        BudgetRule(width="N answers", beams="–", depth="1"),
        _builder("majority_vote"),
        verifier="none",
        nested=True,
    ),
    Strategy(
        "best_of_n",
        "N answers, chosen by the verifier's scores",
        BudgetRule(width="N answers", beams="–", depth="1"),
        _builder("best_of_n"),
        verifier="votes",
        nested=True,
    ),
    Strategy(
        "beam_search",
        "the best steps so far are continued, the others pruned",
        BudgetRule(
            width="L = N − final candidates",
            beams="max(1, ⌊L / M⌋), each with M next steps",
            depth="until N answers are final, at most max_rounds",
            uneven=_EVENLY,
        ),
        _builder("beam_search"),
    ),
    Strategy(
        "dvts",
        "independent subtrees, each continuing its best step",
        BudgetRule(
            width="N − final candidates",
            beams="max(1, ⌊N / M⌋) subtrees, each keeps 1 step",
            depth="until each subtree's best step is an answer, at most max_rounds",
            uneven="the first subtrees get one more",
        ),
        _builder("dvts"),
    ),
)

for _strategy in _BUILT_IN:
    register_strategy(_strategy)
