"""The points of a branch: what was done, from the question to where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

START = "start"
"""What was done at the first point."""


class Point(NamedTuple):
    """A point to which a search can go back."""

    number: int
    """Its place on the branch, from 0."""
    checkpoint_id: str
    did: str
    """The node that ran, the edit that was made, or `start`."""
    round: int
    """Rounds that were finished."""


def mark(node: str, before: str | None, edit: str = "") -> Mapping[str, str]:
    """The metadata of a checkpoint, from which `points` tells what was done.

    Args:
        node: The node as which the state was written.
        before: The checkpoint at which the branch stood.
        edit: What was edited, if anything was.
    """
    marks = {"node": node, "edit": edit, "before": before}
    return {key: value for key, value in marks.items() if value}


def points(
    saver: BaseCheckpointSaver[Any], thread: RunnableConfig, checkpoint_id: str
) -> list[Point]:
    """The points up to a checkpoint, the first one first.

    LangGraph copies a checkpoint before it goes on from an old one; the marks lead past
    those copies.
    """
    saved = {found.checkpoint["id"]: found for found in saver.list(thread)}
    chain: list[str] = []
    current: str | None = checkpoint_id
    while current is not None:
        chain.append(current)
        current = saved[current].metadata.get("before")  # type: ignore[assignment]
    return [
        Point(
            number=number,
            checkpoint_id=point,
            did=_did(saved[point].metadata),
            round=saved[point].checkpoint["channel_values"].get("round", 0),
        )
        for number, point in enumerate(reversed(chain))
    ]


def _did(metadata: Mapping[str, Any]) -> str:
    return str(metadata.get("edit") or metadata["node"])


def parting(a: Sequence[Point], b: Sequence[Point]) -> Point:
    """The last point that two branches of one session have in common."""
    shared = {point.checkpoint_id for point in b}
    return [point for point in a if point.checkpoint_id in shared][-1]
