"""The state of a search: JSON-shaped records and the reducers that merge them.

Everything in a checkpoint is plain data (`TypedDict`s of JSON values), so a
search can be saved, edited by hand in a debugger, forked and resumed.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Annotated, Literal, TypedDict

from langchain_tts.budget import Spent, add_spent

Status = Literal["active", "finished", "truncated", "pruned", "failed"]
"""`active`: may be expanded. `finished`: a complete answer. `truncated`: cut by a
token limit, never votes. `pruned`: not selected. `failed`: the engine lost it."""

FinishReason = Literal["step", "stop", "length", "failed"]
"""`step`: ended by the step delimiter. `stop`: the policy ended its answer.
`length`: cut by a token limit. `failed`: no usable output."""


class Message(TypedDict):
    """One chat message, as the policy's chat template takes it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class Candidate(TypedDict):
    """One node of the search tree: a step, and all steps before it by `parent`."""

    id: int
    """Position in the tree, counted from 0."""
    parent: int | None
    """`id` of the candidate that holds the previous step; None for a first step."""
    depth: int
    """Number of steps up to and including this one (a first step has depth 1)."""
    text: str
    """This step alone, without the delimiter."""
    token_ids: list[int]
    """The policy's token ids of this step, the delimiter's included."""
    logprob: float
    """Natural log-probability of `token_ids` under the policy at temperature 1."""
    score: float | None
    """PRM score in [0, 1] of the prefix that ends here; None where not scored."""
    status: Status
    finish_reason: FinishReason


class FinalCandidate(TypedDict):
    """A whole trajectory as a search result reports it."""

    id: int
    """`id` of the last step in the tree."""
    text: str
    answer: str | None
    step_scores: list[float]
    score: float | None
    """Trajectory score: `step_scores` aggregated as the search was told to."""
    logprob: float
    status: Status


class VoteRow(TypedDict):
    """One class of mathematically equal answers."""

    answer: str
    count: int
    weight: float


class SearchResult(TypedDict):
    """What every strategy returns."""

    answer: str | None
    text: str
    strategy: str
    budget: dict[str, float | int | None]
    spent: Spent
    seconds: float
    stop_reason: str
    """`finished`, or the limit that ended the search: `tokens`, `flops` or `seconds`
    of the budget, `rounds`, or `length` where every candidate was cut."""
    seed: int
    score: str
    """How step scores became a trajectory score: `min`, `last`, `avg` or `prod`."""
    vote: str
    """How trajectories became an answer: `majority`, `max` or `vote`."""
    candidates: list[FinalCandidate]
    """All final candidates, best first."""
    votes: list[VoteRow]
    tree: list[Candidate]
    degradations: list[str]


def upsert(tree: list[Candidate], updates: list[Candidate]) -> list[Candidate]:
    """Merge candidates into a tree by `id`: known ids are replaced, new ones appended.

    Args:
        tree: The tree so far; `tree[i]["id"] == i`.
        updates: Changed or new candidates. New ids continue the tree's without gaps.

    Returns:
        A new list; the arguments are not changed.

    Raises:
        ValueError: If a new id would leave a gap.
    """
    merged = list(tree)
    for candidate in sorted(updates, key=operator.itemgetter("id")):
        if candidate["id"] < len(merged):
            merged[candidate["id"]] = candidate
        elif candidate["id"] == len(merged):
            merged.append(candidate)
        else:
            msg = (
                f"candidate id {candidate['id']} leaves a gap: "
                f"the tree has {len(merged)} candidates, the next id is {len(merged)}"
            )
            raise ValueError(msg)
    return merged


class SearchState(TypedDict, total=False):
    """The channels of every strategy's graph. Only `messages` is needed as input."""

    messages: list[Message]
    seed: int
    tree: Annotated[list[Candidate], upsert]
    frontier: list[int]
    """Ids of the candidates that the next round expands; empty: expand the question."""
    proposed: list[int]
    """Ids of the candidates that the last `propose` added."""
    round: int
    spent: Annotated[Spent, add_spent]
    degradations: Annotated[list[str], operator.add]
    stop_reason: str
    result: SearchResult


def path(tree: Sequence[Candidate], candidate_id: int) -> list[Candidate]:
    """The steps from the first to `candidate_id`, in order."""
    steps: list[Candidate] = []
    current: int | None = candidate_id
    while current is not None:
        steps.append(tree[current])
        current = tree[current]["parent"]
    return steps[::-1]
