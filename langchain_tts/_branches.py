"""A search tree folded for looking at: equal steps after equal steps are one branch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_tts.search.state import Candidate, Outcome, Status

_RANKS: dict[Status, int] = {
    "finished": 1,
    "active": 2,
    "truncated": 3,
    "pruned": 4,
    "failed": 5,
}
"""Which ends of a search are worth a line first (0 is the winner)."""


@dataclass
class Branch:
    """Candidates that wrote the same steps up to here."""

    text: str
    parent: Branch | None
    children: dict[str, Branch] = field(default_factory=dict)
    count: int = 0
    """Candidates that end in this step."""
    score: float | None = None
    """The best score of them."""
    ends: set[Status] = field(default_factory=set)
    """What became of those that were not continued."""
    winner: bool = False
    shown: bool = False

    @property
    def end(self) -> Status | None:
        """The best thing that became of a candidate that stops here."""
        return min(self.ends, key=_RANKS.__getitem__, default=None)

    @property
    def alive(self) -> bool:
        """Whether a candidate here or further on is still in the search."""
        if self.ends & {"active", "finished"}:
            return True
        return any(child.alive for child in self.children.values())

    def lineage(self) -> list[Branch]:
        """This branch and those before it, without the root."""
        branch: Branch | None = self
        found = []
        while branch is not None and branch.parent is not None:
            found.append(branch)
            branch = branch.parent
        return found

    def hidden(self) -> int:
        """Candidates directly after this step that are not shown."""
        return sum(c.count for c in self.children.values() if not c.shown)

    def ordered(self) -> list[Branch]:
        """The shown children: the winner's, then those alive, then by score."""
        return sorted(
            (child for child in self.children.values() if child.shown),
            key=lambda child: (not child.winner, not child.alive, -(child.score or 0)),
        )


def fold(
    tree: list[Candidate], result: Outcome | None, max_lines: int
) -> tuple[Branch, int]:
    """Fold a search tree and choose what to show of it.

    Args:
        tree: All candidates so far.
        result: The finished search's result, whose winner is marked.
        max_lines: Branches to show at most: the winner's path, then finished ones,
            then those still searched, then pruned ones, best scores first.

    Returns:
        The root (its children are first steps) and the number of branches left out.
    """
    root, places = _grow(tree)
    if result is not None:
        _mark_winner(places, result)
    branches = list(dict.fromkeys(map(id, places)))
    by_id = {id(branch): branch for branch in places}
    ends = [by_id[key] for key in branches if by_id[key].ends]
    ends.sort(key=_interest)
    shown = 0
    for branch in ends:
        new = [step for step in branch.lineage() if not step.shown]
        if shown + len(new) <= max_lines:
            shown += len(new)
            for step in new:
                step.shown = True
    return root, len(branches) - shown


def _grow(tree: list[Candidate]) -> tuple[Branch, list[Branch]]:
    root = Branch(text="", parent=None)
    places: list[Branch] = []
    continued = {c["parent"] for c in tree if c["status"] != "rollout"}
    for candidate in tree:
        parent = root if candidate["parent"] is None else places[candidate["parent"]]
        if candidate["status"] == "rollout":
            # It only judges the step before it, and stays behind that.
            places.append(parent)
            continue
        branch = parent.children.get(candidate["text"])
        if branch is None:
            branch = Branch(text=candidate["text"], parent=parent)
            parent.children[candidate["text"]] = branch
        branch.count += 1
        if candidate["score"] is not None:
            branch.score = max(branch.score or 0.0, candidate["score"])
        if candidate["id"] not in continued:
            branch.ends.add(candidate["status"])
        places.append(branch)
    return root, places


def _mark_winner(places: list[Branch], result: Outcome) -> None:
    for candidate in result["candidates"]:
        if candidate["text"] == result["text"]:
            for branch in places[candidate["id"]].lineage():
                branch.winner = True
            return


def _interest(branch: Branch) -> tuple[int, float]:
    won = branch.winner and not any(c.winner for c in branch.children.values())
    end = branch.end
    rank = 0 if won or end is None else _RANKS[end]
    return rank, -(branch.score or 0.0)
