"""Siblings: equal proposals after the same steps are one node of a tree search."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_tts.search.select import expandable
from langchain_tts.search.state import Candidate, FinishReason


def distinct(tree: Sequence[Candidate]) -> dict[int, list[int]]:
    """Group siblings of the same text that ended in the same way.

    Returns:
        The ids of each group by its first, which stands for it; in order of the first.
    """
    first: dict[tuple[int | None, str, FinishReason], int] = {}
    groups: dict[int, list[int]] = {}
    for candidate in tree:
        key = (candidate["parent"], candidate["text"], candidate["finish_reason"])
        groups.setdefault(first.setdefault(key, candidate["id"]), []).append(
            candidate["id"]
        )
    return groups


def usable(tree: Sequence[Candidate], candidate_id: int) -> bool:
    """Whether a search may go to a candidate: an answer, or a step to continue."""
    finished = tree[candidate_id]["status"] == "finished"
    return finished or bool(expandable(tree, [candidate_id]))
