"""The state of a search: the channels of every strategy's graph.

What grows with every round is a `DeltaChannel`: a checkpoint stores what a step added
to it, not the whole of it again, so that a saved search stays proportional to what was
generated.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any, cast

from langgraph.channels import DeltaChannel
from typing_extensions import TypedDict

from langchain_tts.budget import Spent, add_spent
from langchain_tts.search.cascade import Asked
from langchain_tts.search.routing import Route
from langchain_tts.search.state import Candidate, Message, Outcome, SearchResult, merge
from langchain_tts.search.tool_route import Routed


class Given(TypedDict):
    """What a search was given when it began."""

    candidates: int
    """How many candidates the tree had."""
    samples: int
    """How many samples of the budget they had cost."""


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
    stages: list[Asked]
    """Cascade: the policies that were asked, without the one that is asked now."""
    routed: Routed
    """Tool route: which route each sample took, and which was chosen."""
    chosen: dict[str, Any]
    """Fields of the context that this search has chosen for itself."""
    route: Route
    """What a search that chooses its strategy has chosen, and why."""
    given: Given
    """Step search: what was sampled before it began."""
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


def changes(before: SearchState, after: SearchState) -> SearchState:
    """The update that makes the second state of the first one, by `apply`."""
    tree, told = before.get("tree", []), before.get("degradations", [])
    spent = {k: -v for k, v in before.get("spent", {}).items()}  # type: ignore[operator]
    return {
        **after,
        "tree": [
            candidate
            for place, candidate in enumerate(after.get("tree", []))
            if place >= len(tree) or candidate != tree[place]
        ],
        "spent": add_spent(after.get("spent", {}), cast("Spent", spent)),
        "degradations": after.get("degradations", [])[len(told) :],
        "visited": after.get("visited", [])[len(before.get("visited", [])) :],
    }


def result_of(state: SearchState) -> SearchResult:
    """What a finished search returns: its outcome and its tree."""
    return SearchResult(**state["result"], tree=state["tree"])
