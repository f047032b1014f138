"""The state of a search: the channels of every strategy's graph.

What grows with every round is a `DeltaChannel`: a checkpoint stores what a step added
to it, not the whole of it again, so that a saved search stays proportional to what was
generated.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import chain
from typing import Annotated

from langgraph.channels import DeltaChannel
from typing_extensions import TypedDict

from langchain_tts.budget import Spent, add_spent
from langchain_tts.search.state import Candidate, Message, Outcome, SearchResult, merge

_SNAPSHOT_EVERY = 1000
"""Updates of a channel after which it is stored whole, so that few have to be replayed.
No search but the longest tree search makes that many."""


def append(values: list[int], writes: Sequence[list[int]]) -> list[int]:
    """All values in the order in which they were written."""
    return [*values, *chain.from_iterable(writes)]


class SearchInput(TypedDict, total=False):
    """What a search starts from. Only `messages` is needed."""

    messages: list[Message]
    """The conversation; the last message is the question."""
    seed: int
    """Makes the search repeatable; one is drawn where there is none."""


class SearchState(SearchInput, total=False):
    """The channels of every strategy's graph."""

    tree: Annotated[
        list[Candidate], DeltaChannel(merge, snapshot_frequency=_SNAPSHOT_EVERY)
    ]
    frontier: list[int]
    """Ids of the candidates that the next round expands; empty: expand the question."""
    proposed: list[int]
    """Ids of the candidates that the last `propose` added."""
    round: int
    spent: Annotated[Spent, add_spent]
    degradations: Annotated[list[str], operator.add]
    stop_reason: str
    result: Outcome
    weights: list[float]
    """Particle filter: the natural log-weight of each place of the frontier."""
    visited: Annotated[
        list[int], DeltaChannel(append, snapshot_frequency=_SNAPSHOT_EVERY)
    ]
    """Tree search: where each simulation ended, or what was taken, in that order."""
    chains: list[list[int]]
    """Revision: for each chain the last steps of its answers, in their order."""
    wanted: int
    """Majority vote: how many samples the next call takes; fewer cannot settle it."""


def apply(state: SearchState, update: SearchState) -> SearchState:
    """The state after an update, as the channels of a graph would have it."""
    return {
        **state,
        **update,
        "tree": merge(state.get("tree", []), [update.get("tree", [])]),
        "spent": add_spent(state.get("spent", {}), update.get("spent", {})),
        "degradations": state.get("degradations", []) + update.get("degradations", []),
        "visited": append(state.get("visited", []), [update.get("visited", [])]),
    }


def result_of(state: SearchState) -> SearchResult:
    """What a finished search returns: its outcome and its tree."""
    return SearchResult(**state["result"], tree=state["tree"])
