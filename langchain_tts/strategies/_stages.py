"""Stages: the parts of a cascade, each a best-of-N of one policy.

A stage has the first steps that its policy sampled, and what follows them. Seen alone
it is the tree of a search of its own: its samples have the seeds, and its prefixes the
scores, that they would have there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from langchain_tts.budget import Budget
from langchain_tts.search.select import share
from langchain_tts.search.state import Candidate
from langchain_tts.strategies.state import SearchState

if TYPE_CHECKING:
    from langchain_tts.strategies.context import AnyPolicy, SearchContext

LARGER = {
    "tinymath-small": ("tinymath", "tinymath-large"),
    "tinymath": ("tinymath-large",),
}
"""The larger policies of the embedded ones."""


def policies(context: SearchContext) -> tuple[AnyPolicy, ...]:
    """The policies of a cascade, the smallest one first."""
    if context.cascade is not None:
        return (context.policy, *context.cascade)
    name = named(context.policy)
    return (context.policy, *LARGER.get(name, ()))


def named(model: object) -> str:
    """What a policy or a verifier is called, however it was given."""
    if isinstance(model, str):
        return model
    return getattr(model, "name", None) or type(model).__name__


def stage_of(state: SearchState) -> int:
    """The number of the policy that is asked now, counted from 0."""
    return sum(asked["deferred"] for asked in state.get("stages", []))


def at_stage(context: SearchContext, stage: int) -> SearchContext:
    """The context with the policy of a stage; the larger ones stay what they are.

    The key that is set belongs to the first policy: another one may be another server.
    """
    _, *larger = policies(context)
    if not stage or not larger:
        return context
    # A forked search may go on with fewer policies.
    policy = larger[min(stage, len(larger)) - 1]
    return replace(context, policy=policy, cascade=tuple(larger), api_key=None)


def sizes(context: SearchContext) -> list[int]:
    """How many samples each policy may take: even shares of N, the first ones larger.

    A policy for which nothing is left is not asked.
    """
    samples = Budget.parse(context.budget).samples
    return [size for size in share(samples, len(policies(context))) if size]


def is_last(state: SearchState, context: SearchContext) -> bool:
    """Whether no other policy can be asked."""
    return stage_of(state) + 1 >= len(sizes(context))


def stage_size(state: SearchState, context: SearchContext) -> int:
    """How many samples the policy that is asked now may take."""
    counts = sizes(context)
    return counts[min(stage_of(state), len(counts) - 1)]


def own(state: SearchState) -> list[int]:
    """Ids of the candidates of the stage: its first steps, and what follows them."""
    before = [
        asked["candidates"] for asked in state.get("stages", []) if asked["deferred"]
    ]
    first = before[-1] if before else 0
    found: set[int] = set()
    for candidate in state.get("tree", []):
        parent = candidate["parent"]
        # Steps that were written by hand may follow an earlier policy's.
        if candidate["id"] >= first if parent is None else parent in found:
            found.add(candidate["id"])
    return sorted(found)


def alone(state: SearchState) -> SearchState:
    """The state of the stage as a search of its own."""
    ids = own(state)
    places = {candidate_id: place for place, candidate_id in enumerate(ids)}
    tree = [_moved(state["tree"][i], places) for i in ids]
    return {**state, "tree": tree}


def joined(state: SearchState, update: SearchState) -> SearchState:
    """An update of the state of the stage alone as one of the whole search."""
    ids = own(state)
    known = len(state.get("tree", []))
    records = update.get("tree", [])
    last = max((record["id"] for record in records), default=-1)
    ids += range(known, known + last + 1 - len(ids))
    places = dict(enumerate(ids))
    found: SearchState = {**update}
    if "tree" in update:
        found["tree"] = [_moved(record, places) for record in records]
    if "proposed" in update:
        found["proposed"] = [places[i] for i in update["proposed"]]
    return found


def _moved(record: Candidate, places: Mapping[int, int]) -> Candidate:
    """A candidate, or a change of one, with other ids."""
    moved: Candidate = {**record, "id": places[record["id"]]}
    if record.get("parent") is not None:
        moved["parent"] = places[cast("int", record["parent"])]
    return moved
