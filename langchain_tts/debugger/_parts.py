"""A graph of which some nodes run a graph: all its nodes in one graph.

LangGraph stops before the nodes of the graph that is run. `interrupt_before` does not
reach a graph that one of them runs, and that one has checkpoints of its own. But both
have the same channels. So the nodes of the part `beam_search` become nodes of the
whole, `beam_search/propose` and so on, and a step, a point, a branch and an edit are
the same everywhere. A vote that is left to the whole is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import cast

from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import END, START
from langgraph.graph._branch import BranchSpec

from langchain_tts.strategies._calls import Node
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._stage import Stage
from langchain_tts.strategies.state import SearchState

Edge = tuple[str, str]
"""From one node to another."""

_IN = "/"
"""Between the name of a part and that of its node."""


def part_of(node: str | None) -> str:
    """The part that a node is in; empty for one of the whole."""
    return (node or "").rpartition(_IN)[0]


def phase_of(node: str) -> str:
    """The name of a node without that of its part."""
    return node.rpartition(_IN)[2]


def inside(part: str, phase: str) -> str:
    """The name of a part's node; that of the whole's where there is no part."""
    return f"{part}{_IN}{phase}" if part else phase


def edges_outside(edges: Sequence[Edge], only: str = "") -> list[Edge]:
    """The edges of the whole, of which each part is one node again.

    Args:
        edges: Of all nodes.
        only: The part that is shown; without one all are.
    """
    found: list[Edge] = []
    for source, target in edges:
        parts = part_of(source), part_of(target)
        if parts[0] != parts[1] or not parts[0]:
            hidden = only and {*parts} - {only, ""}
            found += [] if hidden else [(parts[0] or source, parts[1] or target)]
    return list(dict.fromkeys(found))


def edges_inside(edges: Sequence[Edge], part: str) -> list[Edge]:
    """The edges of a part, from its start to its end."""

    def named(node: str, other: str) -> str:
        return phase_of(node) if part_of(node) == part else other

    found = [
        (named(source, START), named(target, END))
        for source, target in edges
        if part in {part_of(source), part_of(target)}
    ]
    return list(dict.fromkeys(found))


def joined(graph: Graph) -> Graph:
    """Make one graph of a graph and of those that its nodes run.

    A part whose edges do not say where they lead stays one node.
    """
    parts = {
        name: spec.runnable.machine
        for name, spec in graph.nodes.items()
        if isinstance(spec.runnable, Stage)
        and _plain(spec.runnable.machine, graph)
        and len(_after(name, graph)) == 1
    }
    if not parts:
        return graph
    whole = state_machine()
    _copy(graph, whole, {node: node for node in (*graph.nodes, START, END)}, parts)
    for name, part in parts.items():
        [after] = _after(name, graph)
        votes = [node for node, spec in part.nodes.items() if _votes(spec.runnable)]
        names = {node: inside(name, node) for node in part.nodes}
        names |= dict.fromkeys([*votes, END], after)
        _copy(part, whole, {**names, START: name}, votes)
        _enter(whole, name)
    return whole


def _plain(part: Graph, graph: Graph) -> bool:
    """Whether a part has the channels of the whole, and edges that tell its ways."""
    ways = [branch for named in part.branches.values() for branch in named.values()]
    starts = [edge for edge in part.edges if edge[0] == START]
    return (
        part.channels.keys() == graph.channels.keys()
        and not part.waiting_edges
        and not any(
            spec.ends or spec.error_handler_node for spec in part.nodes.values()
        )
        and all(branch.ends for branch in ways)
        and len(starts) + len(part.branches.get(START, {})) == 1
    )


def _after(part: str, graph: Graph) -> list[str]:
    """Where the whole goes on after a part, if it always goes the same way."""
    ways = [target for source, target in graph.edges if source == part]
    return [] if part in graph.branches else ways


def _votes(runnable: object) -> bool:
    return isinstance(runnable, Node) and runnable.votes


def _copy(
    graph: Graph, whole: Graph, names: Mapping[str, str], without: Collection[str]
) -> None:
    """Copy the nodes and edges of a graph under other names, without some nodes."""
    whole.nodes |= {
        names[node]: spec for node, spec in graph.nodes.items() if node not in without
    }
    whole.edges |= {
        (names[source], names[target])
        for source, target in graph.edges
        if source not in without
    }
    for source, branches in graph.branches.items():
        if source not in without:
            whole.branches[names[source]] = {
                label: branch._replace(
                    ends={key: names[end] for key, end in (branch.ends or {}).items()}
                )
                for label, branch in branches.items()
            }


def _enter(whole: Graph, part: str) -> None:
    """Let what leads to a part lead to the first of its nodes."""
    first = next((end for source, end in whole.edges if source == part), None)
    doors = whole.branches.pop(part, {})
    before = [source for source, end in whole.edges if end == part]
    whole.edges = {edge for edge in whole.edges if part not in edge}
    for source in before:
        if first is None:
            whole.branches[source] |= doors
        else:
            whole.edges.add((source, first))
    for branches in whole.branches.values():
        for label, branch in branches.items():
            ends = branch.ends or {}
            if part not in ends.values():
                continue
            if first is None:
                [door] = doors.values()
                branches[label] = _through(branch, part, door)
            else:
                found = {k: first if end == part else end for k, end in ends.items()}
                branches[label] = branch._replace(ends=found)


def _through(branch: BranchSpec, part: str, door: BranchSpec) -> BranchSpec:
    """A choice, and behind it the one that a part begins with."""
    outer, inner = branch.ends or {}, door.ends or {}

    def choose(state: SearchState, config: RunnableConfig) -> str:
        end = outer[cast("Hashable", branch.path.invoke(state, config))]
        if end != part:
            return end
        return inner[cast("Hashable", door.path.invoke(state, config))]

    ends = [*outer.values(), *inner.values()]
    return branch._replace(
        path=RunnableLambda(choose), ends={end: end for end in ends if end != part}
    )
