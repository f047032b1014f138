"""The open list of a best-first search: which step is expanded next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from langchain_tts.search.siblings import distinct, usable
from langchain_tts.search.state import Candidate

Order = Callable[[Sequence[Candidate], Iterable[int]], list[int]]
"""Sorts candidates of a tree, cheapest first."""


class Taken(NamedTuple):
    """What was taken from the open list."""

    expand: int | None
    """The step to expand; None if the search is over."""
    visited: list[int]
    """What was taken now, answers among it, in order."""


def take(
    tree: Sequence[Candidate],
    visited: Sequence[int],
    order: Order,
    *,
    answers: int,
    deepest: int,
) -> Taken:
    """Take the cheapest steps and answers until one has to be expanded.

    The open list follows from the tree: all distinct answers and steps that were not
    taken yet.

    Args:
        tree: The search tree.
        visited: What was taken so far.
        order: What is cheapest.
        answers: The search is over when so many of those taken are answers.
        deepest: Steps that an answer may have.
    """
    left = answers - sum(tree[i]["status"] == "finished" for i in visited)
    taken: list[int] = []
    for candidate_id in order(tree, _open(tree, visited, deepest)):
        if left <= 0:
            break
        taken.append(candidate_id)
        if tree[candidate_id]["status"] == "active":
            return Taken(candidate_id, taken)
        left -= 1
    return Taken(None, taken)


def _open(tree: Sequence[Candidate], visited: Iterable[int], deepest: int) -> list[int]:
    known = set(visited)
    return [
        i
        for i in distinct(tree)
        if i not in known
        and usable(tree, i)
        and (tree[i]["status"] == "finished" or tree[i]["depth"] < deepest)
    ]
