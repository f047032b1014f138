"""How candidates look in the tree, and one of them at length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from langchain_tts._picture import MARKS, printable, score_color
from langchain_tts.search.state import Candidate, path
from langchain_tts.strategies.state import SearchState

_DROPPED = {"pruned", "failed"}
_FADED = "dim strike"
_ROLLOUT = ("⤳ looked ahead", "bright_black")
_LABEL = 200
"""Characters of a step in the tree; the screen cuts what does not fit."""


def number(score: float | None) -> str:
    """A score, or a dash where there is none."""
    return "–" if score is None else f"{score:.2f}"


@dataclass(frozen=True)
class View:
    """The candidates of a search as they are shown.

    Args:
        state: The search.
        winner: The candidate whose answer was chosen, if any was.
    """

    state: SearchState
    winner: int | None

    @property
    def tree(self) -> list[Candidate]:
        """All candidates by id."""
        return self.state.get("tree", [])

    @cached_property
    def children(self) -> dict[int | None, list[Candidate]]:
        """The children of each candidate: those alive first, the best of them first."""
        found: dict[int | None, list[Candidate]] = {}
        for candidate in self.tree:
            found.setdefault(candidate["parent"], []).append(candidate)
        for siblings in found.values():
            siblings.sort(key=lambda c: (c["id"] not in self.alive, -(c["score"] or 0)))
        return found

    @cached_property
    def alive(self) -> set[int]:
        """What may still be continued, what votes, and what leads to either."""
        continued = {c["parent"] for c in self.tree if c["status"] != "rollout"}
        alive: set[int] = set()
        for candidate in reversed(self.tree):
            open_end = candidate["status"] == "active" and (
                candidate["id"] not in continued or self._goes_on(candidate)
            )
            live = open_end or candidate["status"] == "finished"
            if candidate["id"] in alive or live:
                alive.add(candidate["id"])
                if candidate["parent"] is not None:
                    alive.add(candidate["parent"])
        return alive

    def _goes_on(self, candidate: Candidate) -> bool:
        return candidate["id"] in self.state.get("frontier", [])

    def label(self, candidate: Candidate) -> Text:
        """A candidate in one line: score, id, what became of it, and its step."""
        dead = candidate["id"] not in self.alive
        color = "bright_black" if dead else f"bold {score_color(candidate['score'])}"
        words, style = self._standing(candidate)
        return Text.assemble(
            (f"{number(candidate['score']):>4} ", color),
            (f"#{candidate['id']} ", "bright_black"),
            (f"{words[0]} ", style),
            (
                printable(candidate["text"])[:_LABEL] or "(empty)",
                _FADED if candidate["status"] in _DROPPED else "dim" if dead else "",
            ),
            no_wrap=True,
        )

    def details(self, candidate_id: int) -> RenderableType:
        """A candidate's whole path, each step with its score."""
        steps = path(self.tree, candidate_id)
        candidate = steps[-1]
        table = Table.grid(padding=(0, 1))
        table.add_column(width=4, justify="right")
        table.add_column(ratio=1, overflow="fold")
        for step in steps:
            score = Text(
                number(step["score"]), style=f"bold {score_color(step['score'])}"
            )
            style = "bold" if step is candidate else ""
            table.add_row(score, Text(_lines(step["text"]), style=style))
        whole = math.fsum(step["logprob"] for step in steps)
        facts = Text.assemble(
            self._standing(candidate),
            (f" · step {candidate['depth']}\nlog p  ", "bright_black"),
            f"{candidate['logprob']:.2f} step · {whole:.2f} path",
        )
        return Group(table, Text(), facts)

    def _standing(self, candidate: Candidate) -> tuple[str, str]:
        """What has become of a candidate, in words that begin with a mark; a style."""
        if candidate["id"] == self.winner:
            return "★ chosen", f"bold {score_color(1.0)}"
        if candidate["status"] != "active":
            return MARKS.get(candidate["status"], _ROLLOUT)
        if candidate["id"] in self.children:
            return "· continued", "bright_black"
        if self._goes_on(candidate):
            return "● to be continued", "bold cyan"
        return "○ proposed", "cyan"


def _lines(text: str) -> str:
    """A step as it was written, without control characters."""
    return "\n".join(map(printable, text.splitlines())) or "(empty)"
