"""A strategy's graph in a few lines: its nodes in a row, other edges underneath."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from langgraph.graph import END, START
from rich.text import Text

Edge = tuple[str, str]

_NAMES = {START: "start", END: "end"}
_ARROW = "─▶"
_NODE = "bold"
_HERE = "bold reverse"
_LINE = "bright_black"
_MANY = 3
"""Nodes between the same two from which on they are listed."""
_WIDTH = 79


def strip(edges: Sequence[Edge], here: str | None) -> Text:
    """Draw a graph.

    Args:
        edges: From one node to another.
        here: The node that runs next, which is marked; None marks the end.

    Returns:
        The longest way through in one line, and a line for each other edge; what lies
        off that way is written on its line. Many nodes between the same two are listed.
    """
    here = here or END
    choices = _choices(edges)
    listed = {node for nodes in choices.values() for node in nodes}
    edges = [edge for edge in edges if not listed & set(edge)]
    way = _longest_way(edges)
    centers: dict[str, int] = {}
    text = Text(no_wrap=True)
    for node in way:
        if node != START:
            text.append(_ARROW, style=_LINE)
        name = f" {_NAMES.get(node, node)} "
        centers[node] = len(text) + len(name) // 2
        style = "bright_black" if node in _NAMES else _NODE
        text.append(name, style=_HERE if node == here else style)
        if (node, node) in edges:
            text.append("↺", style=_LINE)
    for arc in _arcs(edges, way):
        text.append("\n")
        _draw(text, arc, centers, here)
    for (before, after), nodes in choices.items():
        _list(text, before, nodes, after, here)
    return text


def _choices(edges: Sequence[Edge]) -> dict[Edge, list[str]]:
    """The nodes of which one is gone through from one node to another, if many."""
    found: dict[Edge, list[str]] = {}
    for node in dict.fromkeys(target for _, target in edges):
        before = [source for source, target in edges if target == node]
        after = [target for source, target in edges if source == node]
        if len(before) == len(after) == 1:
            found.setdefault((before[0], after[0]), []).append(node)
    return {ends: nodes for ends, nodes in found.items() if len(nodes) >= _MANY}


def _list(text: Text, before: str, nodes: Sequence[str], after: str, here: str) -> None:
    """Write nodes one after another, in lines."""
    start = f" {before} "
    text.append("\n" + start, style=_LINE)
    text.append(_ARROW, style=_LINE)
    width = margin = len(start) + len(_ARROW)
    for node in nodes:
        name = f" {node} "
        if width + len(name) + 1 > _WIDTH:
            text.append("\n" + " " * margin)
            width = margin
        text.append(name, style=_HERE if node == here else _NODE)
        text.append("·" if node != nodes[-1] else "", style=_LINE)
        width += len(name) + 1
    end = f"{_ARROW} {after} "
    if width + len(end) > _WIDTH:
        text.append("\n" + " " * margin)
    text.append(end, style=_LINE)


class _Arc(NamedTuple):
    source: str
    target: str
    through: str | None = None
    """A node off the way."""


def _longest_way(edges: Sequence[Edge]) -> list[str]:
    """The longest way from the start to the end that comes to no node twice."""
    best: list[str] = [START, END]
    ways = [[START]]
    while ways:
        way = ways.pop()
        if way[-1] == END and len(way) > len(best):
            best = way
        ways += [
            [*way, target]
            for source, target in edges
            if source == way[-1] and target not in way
        ]
    return best


def _arcs(edges: Sequence[Edge], way: Sequence[str]) -> list[_Arc]:
    steps = set(pairwise(way))
    arcs = [
        _Arc(source, target)
        for source, target in edges
        if source != target
        and (source, target) not in steps
        and {source, target} <= set(way)
    ]
    off = {node for edge in edges for node in edge} - set(way)
    arcs += [
        _Arc(before, after, node)
        for node in sorted(off)
        for before, entered in edges
        for left, after in edges
        if entered == node == left and {before, after} <= set(way)
    ]
    return arcs


def _draw(text: Text, arc: _Arc, centers: dict[str, int], here: str) -> None:
    source, target = centers[arc.source], centers[arc.target]
    low, high = min(source, target), max(source, target)
    ends = ("▲", "╯") if target < source else ("╰", "▲")
    inside = high - low - 1
    name = "" if arc.through is None else f" {arc.through} "
    left = max(0, inside - len(name)) // 2
    text.append(" " * low)
    text.append(ends[0] + "─" * left, style=_LINE)
    text.append(name, style=_HERE if arc.through == here else _NODE)
    text.append("─" * (inside - left - len(name)) + ends[1], style=_LINE)
