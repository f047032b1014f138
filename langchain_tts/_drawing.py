"""Drawings of a strategy's graph: as Mermaid text, and as a picture of characters.

The picture stands the nodes below one another in the order in which they were added to
the graph, which is the order in which they run. What goes on with the next node is
drawn straight down; every other edge goes round, through a lane on the right, and
enters its node by an arrow. Dots are edges that are only sometimes taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from langgraph.graph import END, START

from langchain_tts.strategies import Strategy

_NAMES = {START: "start", END: "end"}
_LANE = 3
"""Columns from one lane to the next."""


class Arrow(NamedTuple):
    """One edge, between places in the order of the nodes."""

    source: int
    target: int
    label: str = ""
    sometimes: bool = False


def mermaid(strategy: Strategy) -> str:
    """The strategy's graph in the language of Mermaid, as LangGraph writes it."""
    return strategy.build().compile().get_graph().draw_mermaid().strip()


def picture(strategy: Strategy) -> str:
    """The strategy's graph, drawn with ASCII characters."""
    graph = strategy.build().compile().get_graph()
    # START is where every search begins and END where it ends, whatever came first.
    inner = [name for name in graph.nodes if name not in _NAMES]
    names = [START, *inner, END]
    places = {name: place for place, name in enumerate(names)}
    arrows = [
        Arrow(
            places[edge.source],
            places[edge.target],
            "" if edge.data is None else str(edge.data),
            edge.conditional,
        )
        for edge in graph.edges
    ]
    return draw([_NAMES.get(name, name) for name in names], arrows)


def draw(names: Sequence[str], arrows: Iterable[Arrow]) -> str:
    """Draw a graph.

    Args:
        names: The nodes, in the order in which they are drawn.
        arrows: The edges.

    Returns:
        Lines of ASCII characters.
    """
    arrows = sorted(set(arrows))
    down = {a.source: a for a in arrows if a.target == a.source + 1}
    round_about = [a for a in arrows if a.target != a.source + 1]
    canvas = _Canvas(names, [arrow.label for arrow in arrows])
    entries: list[int] = []
    exits: dict[Arrow, int] = {}
    for place, name in enumerate(names):
        entries.append(canvas.node(name))
        leaving = [arrow for arrow in round_about if arrow.source == place]
        for arrow in leaving:
            exits[arrow] = canvas.fork(goes_on=place in down or arrow != leaving[-1])
        if place in down:
            canvas.down(down[place])
        elif place + 1 < len(names):
            canvas.gap()
    lanes = _lanes(round_about, entries, exits)
    for target, lane in lanes.items():
        group = [arrow for arrow in round_about if arrow.target == target]
        rows = [exits[arrow] for arrow in group]
        dotted = all(arrow.sometimes for arrow in group)
        canvas.lane(lane, entries[target], rows, sometimes=dotted)
        for arrow in group:
            canvas.out(exits[arrow], lane, arrow)
        canvas.into(names[target], entries[target], lane)
    return canvas.text()


def _lanes(
    arrows: Sequence[Arrow], entries: Sequence[int], exits: dict[Arrow, int]
) -> dict[int, int]:
    """The lane of each node that is reached round about: shorter ones further in."""
    spans: dict[int, tuple[int, int]] = {}
    for arrow in arrows:
        rows = (entries[arrow.target], exits[arrow])
        low, high = spans.get(arrow.target, rows)
        spans[arrow.target] = (min(low, *rows), max(high, *rows))
    lanes: dict[int, int] = {}
    for target in sorted(spans, key=lambda t: (spans[t][1] - spans[t][0], t)):
        low, high = spans[target]
        taken = {
            lanes[other]
            for other in lanes
            if spans[other][0] <= high and low <= spans[other][1]
        }
        lanes[target] = max(taken, default=-1) + 1
    return lanes


class _Canvas:
    """Characters by row and column; rows are added from top to bottom."""

    def __init__(self, names: Sequence[str], labels: Sequence[str]) -> None:
        self.cells: dict[tuple[int, int], str] = {}
        self.rows = 0
        width = max(len(name) for name in names) + len("[  ]")
        self.center = width // 2
        label = max((len(label) for label in labels), default=0)
        self.first_lane = max(width, self.center + label + len(": . ")) + _LANE

    def write(self, row: int, column: int, text: str) -> None:
        """Write over what is there."""
        for offset, character in enumerate(text):
            self.cells[row, column + offset] = character

    def fill(self, row: int, columns: range, character: str) -> None:
        """Write a line from left to right, under the lanes that it crosses."""
        for column in columns:
            self.cells.setdefault((row, column), character)

    def node(self, name: str) -> int:
        """Add a node; returns its row."""
        text = _boxed(name)
        self.write(self.rows, self.center - len(text) // 2, text)
        self.rows += 1
        return self.rows - 1

    def fork(self, *, goes_on: bool) -> int:
        """Add the row in which an edge leaves to the right; returns the row."""
        self.write(self.rows, self.center, "+" if goes_on else "'")
        self.rows += 1
        return self.rows - 1

    def down(self, arrow: Arrow) -> None:
        """Add the edge to the next node."""
        line = f": {arrow.label}".rstrip() if arrow.sometimes else "|"
        self.write(self.rows, self.center, line)
        self.write(self.rows + 1, self.center, "v")
        self.rows += 2

    def gap(self) -> None:
        """Add an empty row, where nothing goes on with the next node."""
        self.rows += 1

    def lane(
        self, lane: int, entry: int, exits: Sequence[int], *, sometimes: bool
    ) -> None:
        """Draw the upright part of the edges into one node."""
        column = self._column(lane)
        low, high = min(entry, *exits), max(entry, *exits)
        for row in range(low + 1, high):
            self.cells[row, column] = ":" if sometimes else "|"
        for row in (entry, *exits):
            self.cells[row, column] = "+"
        self.cells[low, column], self.cells[high, column] = ".", "'"

    def out(self, row: int, lane: int, arrow: Arrow) -> None:
        """Draw an edge from its node to its lane."""
        label = f" {arrow.label} " if arrow.label else ""
        self.write(row, self.center + 2, label)
        columns = range(self.center + 1, self._column(lane))
        self.fill(row, columns, "." if arrow.sometimes else "-")

    def into(self, name: str, row: int, lane: int) -> None:
        """Draw the arrow from a lane into its node."""
        text = _boxed(name)
        start = self.center - len(text) // 2 + len(text) + 1
        self.write(row, start, "<")
        self.fill(row, range(start + 1, self._column(lane)), "-")

    def text(self) -> str:
        """All rows, without what is empty at their ends."""
        width = 1 + max(column for _, column in self.cells)
        lines = (
            "".join(self.cells.get((row, column), " ") for column in range(width))
            for row in range(self.rows)
        )
        return "\n".join(line.rstrip() for line in lines)

    def _column(self, lane: int) -> int:
        return self.first_lane + lane * _LANE


def _boxed(name: str) -> str:
    return f"( {name} )" if name in _NAMES.values() else f"[ {name} ]"
