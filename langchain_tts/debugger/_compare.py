"""Two branches of a session side by side: where they parted, and what came of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from langchain_tts.budget import Spent
from langchain_tts.debugger._history import Point
from langchain_tts.debugger._machine import Stop
from langchain_tts.search.state import Candidate, VoteRow

_FIELDS = ("text", "score", "status")


class Change(NamedTuple):
    """A candidate of both branches that is not the same in both."""

    a: int
    """Its id in the first branch."""
    b: int
    """Its id in the second branch."""
    fields: Mapping[str, tuple[Any, Any]]
    """Each field that differs, with its two values."""


class Difference(NamedTuple):
    """What is not the same in two trees."""

    only_a: list[int]
    """Ids of the candidates that only the first tree has."""
    only_b: list[int]
    changed: list[Change]


class Side(NamedTuple):
    """What came of one branch."""

    branch: str
    next: str | None
    """The node that runs next; None at the end."""
    answer: str | None
    votes: list[VoteRow]
    spent: Spent
    candidates: int
    """Size of the tree."""
    degradations: list[str]


@dataclass(frozen=True)
class Comparison:
    """Two branches side by side; as text it is a table.

    Args:
        parted: The last point that both have in common.
        a: What came of the first branch.
        b: What came of the second branch.
        tree: What is not the same in their trees.
    """

    parted: Point
    a: Side
    b: Side
    tree: Difference

    def rows(self) -> list[tuple[str, str, str]]:
        """The comparison as rows of a table: what, first branch, second branch."""
        spent = {**self.a.spent, **self.b.spent}
        shown = [key for key in Spent.__annotations__ if key in spent]

        def row(what: str, of: Callable[[Side], str]) -> tuple[str, str, str]:
            return what, of(self.a), of(self.b)

        rows = [
            row("next", lambda side: side.next or "the end"),
            row("answer", _answer),
            row("votes", _votes),
            row("candidates", lambda side: str(side.candidates)),
            *(row(key, partial(_amount, key)) for key in shown),
            row("degradations", lambda side: "; ".join(side.degradations)),
            ("only here", _ids(self.tree.only_a), _ids(self.tree.only_b)),
        ]
        for change in self.tree.changed:
            same = change.a == change.b
            ids = f"#{change.a}" if same else f"#{change.a} and #{change.b}"
            rows += [
                (f"{field} of {ids}", _value(left), _value(right))
                for field, (left, right) in change.fields.items()
            ]
        return [found for found in rows if any(found[1:])]

    @property
    def title(self) -> str:
        """Where the branches parted, in one line."""
        point = self.parted
        return f"parted after {point.did} (point {point.number}, round {point.round})"

    def __str__(self) -> str:
        rows = [("", self.a.branch, self.b.branch), *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        lines = [
            f"{what:<{widths[0]}}  {left:<{widths[1]}}  {right}".rstrip()
            for what, left, right in rows
        ]
        return "\n".join([self.title, *lines])


def side(branch: str, at: Stop) -> Side:
    """What came of a branch that stands at `at`."""
    result = at.state["result"] if at.next is None else None
    return Side(
        branch=branch,
        next=at.next,
        answer=None if result is None else result["answer"],
        votes=[] if result is None else result["votes"],
        spent=at.state.get("spent", {}),
        candidates=len(at.state.get("tree", [])),
        degradations=at.state.get("degradations", []),
    )


def compare_trees(a: Sequence[Candidate], b: Sequence[Candidate]) -> Difference:
    """Tell two trees of one search apart.

    A candidate is the same in both if it was sampled in the same place with the same
    seeds on its path. Where that holds of several, they are matched in their order.
    """
    places_a, places_b = _places(a), _places(b)
    changed = []
    for place, left in places_a.items():
        right = places_b.get(place)
        if right is None:
            continue
        fields = {
            field: (a[left][field], b[right][field])  # type: ignore[literal-required]
            for field in _FIELDS
            if a[left][field] != b[right][field]  # type: ignore[literal-required]
        }
        if fields:
            changed.append(Change(left, right, fields))
    return Difference(
        only_a=[i for place, i in places_a.items() if place not in places_b],
        only_b=[i for place, i in places_b.items() if place not in places_a],
        changed=changed,
    )


_Place = tuple[tuple[int, ...], int]


def _places(tree: Sequence[Candidate]) -> dict[_Place, int]:
    """Each candidate by the seeds on its path and by how many had the same before."""
    seeds: list[tuple[int, ...]] = []
    seen: Counter[tuple[int, ...]] = Counter()
    places: dict[_Place, int] = {}
    for candidate in tree:
        parent = candidate["parent"]
        above = () if parent is None else seeds[parent]
        here = (*above, candidate["seed"])
        places[here, seen[here]] = candidate["id"]
        seen[here] += 1
        seeds.append(here)
    return places


def _answer(side: Side) -> str:
    return side.answer or ("–" if side.next else "none")


def _votes(side: Side) -> str:
    return ", ".join(f"{row['answer']} ×{row['count']}" for row in side.votes)


def _amount(key: str, side: Side) -> str:
    amount: object = side.spent.get(key, 0)
    return f"{amount:.3g}" if isinstance(amount, float) else str(amount)


def _ids(ids: Sequence[int], most: int = 8) -> str:
    """Ids in a short line; a tree may have thousands."""
    listed = " ".join(f"#{i}" for i in ids[:most])
    more = len(ids) - most
    return f"{listed} and {more} more" if more > 0 else listed


def _value(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value or "none")
