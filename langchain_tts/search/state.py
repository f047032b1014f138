"""The records of a search: the tree, its final candidates and the result.

Everything in a checkpoint is plain data (`TypedDict`s of JSON values), so a
search can be saved, edited by hand in a debugger, forked and resumed.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NotRequired, cast

from typing_extensions import TypedDict

from langchain_tts.budget import Spent

Status = Literal["active", "finished", "truncated", "pruned", "failed", "rollout"]
"""`active`: may be expanded. `finished`: a complete answer. `truncated`: cut by a
token limit, never votes. `pruned`: not selected. `failed`: the engine lost it.
`rollout`: looked ahead to score the step before it, never expanded, never votes."""

FinishReason = Literal["step", "stop", "length", "failed"]
"""`step`: ended by the step delimiter. `stop`: the policy ended its answer.
`length`: cut by a token limit. `failed`: no usable output."""


Score = Literal["min", "last", "avg", "prod"]
"""Step scores to trajectory score (Liu et al. 2025, section 3)."""

Vote = Literal["majority", "max", "vote"]
"""Trajectories to answer: count, best trajectory, or summed scores per answer."""


class ToolCall(TypedDict):
    """A call of a tool that an assistant's turn makes."""

    name: str
    arguments: dict[str, Any]
    id: NotRequired[str]
    """What its result refers to; a call that was just sampled has none."""


class Message(TypedDict):
    """One chat message, as the policy's chat template takes it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tools: NotRequired[list[dict[str, Any]]]
    """Of a system message, which comes first: the functions that may be called, in
    OpenAI's format."""
    tool_calls: NotRequired[list[ToolCall]]
    """Of an assistant's message."""
    tool_call_id: NotRequired[str]
    """Of a tool's message: the call that it answers."""


class Candidate(TypedDict):
    """One node of the search tree: a step, and all steps before it by `parent`."""

    id: int
    """Position in the tree, counted from 0."""
    parent: int | None
    """`id` of the candidate that holds the previous step; None for a first step."""
    depth: int
    """Number of steps up to and including this one (a first step has depth 1)."""
    seed: int
    """What its sample was drawn with."""
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
    chain: NotRequired[int]
    """Revision: the chain of answers that it belongs to."""


class VoteRow(TypedDict):
    """One class of mathematically equal answers."""

    answer: str
    count: int
    weight: float


class TableRow(TypedDict):
    """The answer of one combination of score and vote."""

    score: Score | None
    """None for majority, which does not look at scores."""
    vote: Vote
    answer: str | None
    id: int | None
    """`id` of the trajectory that stands for the answer."""


class Outcome(TypedDict):
    """What a search found; with its tree it is a `SearchResult`."""

    answer: str | None
    text: str
    strategy: str
    budget: dict[str, float | int | None]
    spent: Spent
    seconds: float
    stop_reason: str
    """`finished`; `certain` or `confident` where a vote was settled early, and `scored`
    where an answer reached `stop_score`; or the limit that ended the search: `tokens`,
    `flops` or `seconds` of the budget, `rounds`, or `length` where every candidate was
    cut; or `policy` where the policy was lost."""
    seed: int
    score: str
    """How step scores became a trajectory score: `min`, `last`, `avg` or `prod`."""
    vote: str
    """How trajectories became an answer: `majority`, `max` or `vote`."""
    candidates: list[FinalCandidate]
    """All final candidates, best first."""
    votes: list[VoteRow]
    table: list[TableRow]
    """The answer of majority and of every other combination of score and vote."""
    degradations: list[str]
    route: NotRequired[dict[str, Any]]
    """What a search that chooses its strategy itself has chosen, and why."""


class SearchResult(Outcome):
    """What every strategy returns."""

    tree: list[Candidate]
    """All candidates by `id`, the pruned ones too."""


def change(candidate_id: int, **fields: Any) -> Candidate:
    """A record that changes only the named fields of a candidate in a tree."""
    return cast("Candidate", {"id": candidate_id, **fields})


def merge(tree: list[Candidate], writes: Sequence[list[Candidate]]) -> list[Candidate]:
    """Merge records into a tree: a known `id` is changed, a new one is appended.

    Args:
        tree: The tree so far; `tree[i]["id"] == i`.
        writes: Lists of new candidates, whose ids continue the tree's without gaps, and
            of changes (`change`), in the order in which they were made.

    Returns:
        A new list; the arguments are not changed.

    Raises:
        ValueError: If a new id would leave a gap, or if a change has no candidate.
    """
    merged = list(tree)
    for updates in writes:
        for record in _by_id(updates):
            place = record["id"]
            if place < len(merged):
                merged[place] = {**merged[place], **record}
            elif place == len(merged) and record.keys() >= _WHOLE:
                merged.append(record)
            else:
                msg = (
                    f"candidate id {place} leaves a gap or is not a whole candidate: "
                    f"the tree has {len(merged)}, the next id is {len(merged)}"
                )
                raise ValueError(msg)
    return merged


_WHOLE = Candidate.__required_keys__


def _by_id(records: Iterable[Candidate]) -> list[Candidate]:
    return sorted(records, key=operator.itemgetter("id"))


def path(tree: Sequence[Candidate], candidate_id: int) -> list[Candidate]:
    """The steps from the first to `candidate_id`, in order."""
    steps: list[Candidate] = []
    current: int | None = candidate_id
    while current is not None:
        steps.append(tree[current])
        current = tree[current]["parent"]
    return steps[::-1]
