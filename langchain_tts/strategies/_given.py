"""What a step search was given: answers that were sampled before it began.

A search that chooses its strategy has sampled some whole answers before. They are final
candidates of the chosen search, which has only the rest of N to spend.
"""

from __future__ import annotations

from langchain_tts.search.select import finished, roots
from langchain_tts.strategies.state import Given, SearchState

_NOTHING = Given(candidates=0, samples=0)


def given(state: SearchState) -> Given:
    """What the search was given; nothing where it began with the question."""
    return state.get("given", _NOTHING)


def own_finals(state: SearchState) -> list[int]:
    """Ids of the complete answers that this search itself has found."""
    first = given(state)["candidates"]
    return [i for i in finished(state.get("tree", [])) if i >= first]


def given_finals(state: SearchState) -> list[int]:
    """Ids of the complete answers that it was given."""
    first = given(state)["candidates"]
    return [i for i in finished(state.get("tree", [])) if i < first]


def given_roots(state: SearchState) -> int:
    """How many first steps it was given."""
    first = given(state)["candidates"]
    return sum(i < first for i in roots(state.get("tree", [])))


def own_samples(state: SearchState) -> int:
    """Samples of the budget that this search itself has spent."""
    return state.get("spent", {}).get("samples", 0) - given(state)["samples"]
