"""The open list of a best-first search: which step is expanded next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from langchain_tts.search.siblings import distinct, usable
from langchain_tts.search.state import Candidate
from langchain_tts.search.ties import logprob_key

Cost = Callable[[Sequence[Candidate], int, int], float]
"""What it costs to take a candidate of a tree for the n-th time, n from 1; a key of
`search.ties`, as equal costs are a tie."""


class Taken(NamedTuple):
    """What was taken from the open list."""

    expand: int | None
    """The step to expand; None if the search is over."""
    visited: list[int]
    """What was taken now, answers among it, in order."""


def take(
    tree: Sequence[Candidate],
    visited: Sequence[int],
    cost: Cost,
    *,
    answers: int,
    deepest: int,
    openings: int,
) -> Taken:
    """Take the cheapest steps and answers until one has to be opened.

    The open list follows from the tree: all distinct answers that were not taken yet,
    and all distinct steps after which more may be proposed. Ties go to the step with
    the higher log-probability, then to the one proposed first; candidates without a
    score come after all that have one.

    Args:
        tree: The search tree.
        visited: What was taken so far.
        cost: What is cheapest.
        answers: The search is over when so many of those taken are answers.
        deepest: Steps that an answer may have.
        openings: How often steps of the same depth may be opened in all.
    """
    left = answers - sum(tree[i]["status"] == "finished" for i in visited)
    times = Counter(visited)

    def price(candidate_id: int) -> tuple[bool, float, float, int]:
        candidate = tree[candidate_id]
        return (
            candidate["score"] is None,
            cost(tree, candidate_id, times[candidate_id] + 1),
            -logprob_key(candidate["logprob"]),
            candidate_id,
        )

    taken: list[int] = []
    for candidate_id in sorted(_open(tree, times, deepest, openings), key=price):
        if left <= 0:
            break
        taken.append(candidate_id)
        if tree[candidate_id]["status"] == "active":
            return Taken(candidate_id, taken)
        left -= 1
    return Taken(None, taken)


def _open(
    tree: Sequence[Candidate], times: Counter[int], deepest: int, openings: int
) -> list[int]:
    opened = Counter(
        tree[i]["depth"] for i in times.elements() if tree[i]["status"] != "finished"
    )

    usables = [i for i in distinct(tree) if usable(tree, i)]
    continued = {tree[i]["parent"] for i in usables}

    def is_open(candidate_id: int) -> bool:
        candidate = tree[candidate_id]
        if candidate["status"] == "finished":
            return not times[candidate_id]
        depth = candidate["depth"]
        dead = times[candidate_id] and candidate_id not in continued
        return not dead and depth < deepest and opened[depth] < openings

    return [i for i in usables if is_open(i)]
