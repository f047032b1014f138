"""Stepping into the strategy that another one chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START

from langchain_tts.debugger import DebuggerError, SearchDebugger, _machine
from langchain_tts.debugger._parts import edges_inside, edges_outside, joined
from langchain_tts.strategies import STRATEGIES, Strategy, _nodes, _route, get_strategy
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._stage import stage
from langchain_tts.strategies.run import solve
from langchain_tts.strategies.state import SearchState
from tests.unit_tests.debugger.conftest import Start, context
from tests.unit_tests.debugger.test_debugger import ids, timeless, until
from tests.unit_tests.debugger.test_random_edits import (
    test_any_edit_at_any_point_leaves_a_search_that_can_go_on as edit_at_random,
)
from tests.unit_tests.fakes import QUESTION, TreePolicy, TreePrm, random_language
from tests.unit_tests.strategies.test_compute_optimal import ROUTABLE, calibration

Into = Callable[..., SearchDebugger]
BEAM = ["beam_search/propose", "beam_search/score", "beam_search/select"]


@pytest.fixture
def into(start: Start, monkeypatch: pytest.MonkeyPatch) -> Into:
    """Starts debuggers on a search that chooses a given strategy."""

    def started(chosen: str, *, adaptive: bool = False, **more: Any) -> SearchDebugger:
        monkeypatch.setattr(_route, "load_calibration", lambda *_: calibration(chosen))
        return start("compute_optimal", adaptive=adaptive, **more)

    return started


def edges_of(graph: Graph) -> list[tuple[str, str]]:
    drawn = graph.compile().get_graph()
    return [(edge.source, edge.target) for edge in drawn.edges]


# Going through


@pytest.mark.parametrize("chosen", ROUTABLE)
def test_a_chosen_strategy_is_stepped_through_and_finds_the_same(
    chosen: str, into: Into
) -> None:
    debugger = into(chosen)
    names, sizes = [], []
    while (name := debugger.step()) is not None:
        names.append(name)
        sizes.append(len(debugger.tree))
    assert names[:3] == ["propose", "score", "route"]
    assert names[-1] == "aggregate"
    own = set(STRATEGIES[chosen].build().nodes) - {"aggregate"}
    assert {name.partition("/")[0] for name in names[3:-1]} == {chosen}
    assert {name.partition("/")[2] for name in names[3:-1]} <= own
    assert [point.did for point in debugger.history] == ["start", *names]
    grown = {
        name
        for name, before, after in zip(names[1:], sizes, sizes[1:], strict=False)
        if after > before
    }
    assert grown <= {f"{chosen}/propose", f"{chosen}/look_ahead"}
    found = debugger.result
    assert found is not None
    plain = solve(
        QUESTION, strategy="compute_optimal", context=context(adaptive=False), seed=7
    )
    assert found["route"]["strategy"] == chosen
    assert timeless(found) == timeless(plain)
    if chosen != "dvts":  # Its subtrees are not searched in lockstep by `solve`.
        costs = [{**r["spent"], "seconds": 0} for r in (found, plain)]
        assert costs[0] == costs[1]


def test_the_nodes_of_a_beam_search_are_run_one_at_a_time(into: Into) -> None:
    policy, prm = TreePolicy(random_language(3, depth=5)), TreePrm()
    debugger = into("beam_search", policy=policy, prm=prm)
    until(debugger, BEAM[0])
    calls, size = (len(policy.calls), len(prm.calls)), len(debugger.tree)
    assert debugger.step() == BEAM[0]
    assert (len(policy.calls), len(prm.calls)) == (calls[0] + 1, calls[1])
    new = debugger.tree[size:]
    assert new
    assert {c["score"] for c in new} == {None}
    assert debugger.step() == BEAM[1]
    assert (len(policy.calls), len(prm.calls)) == (calls[0] + 1, calls[1] + 1)
    assert None not in {c["score"] for c in debugger.tree}
    assert (debugger.next, debugger.result) == (BEAM[2], None)


@pytest.mark.parametrize("chosen", ["beam_search", "majority_vote"])
def test_going_back_inside_and_on_again_finds_the_same(chosen: str, into: Into) -> None:
    debugger = into(chosen)
    first = debugger.run()
    for point in debugger.history[3::3]:
        debugger.back(point.number)
        assert debugger.history[-1][2:] == point[2:]
        assert timeless(debugger.run()) == timeless(first)


def test_a_session_is_left_and_opened_again_inside(into: Into, tmp_path: Path) -> None:
    file = tmp_path / "debug.sqlite"
    left = into("beam_search", name="mine", file=file)
    until(left, BEAM[2], 1)
    tree = left.tree
    left.close()
    policy, prm = TreePolicy(random_language(3, depth=5)), TreePrm()
    with SearchDebugger.open("mine", file, policy=policy, prm=prm) as again:
        assert (again.next, again.tree) == (BEAM[2], tree)
        plain = solve(
            QUESTION,
            strategy="compute_optimal",
            context=context(adaptive=False),
            seed=7,
        )
        assert timeless(again.run()) == timeless(plain)


# Editing


def test_a_score_that_is_changed_inside_decides_who_is_kept(into: Into) -> None:
    debugger = into("beam_search")
    until(debugger, BEAM[2])
    active = set(ids(debugger, "active"))
    debugger.step()
    dropped = max(active.intersection(ids(debugger, "pruned")))
    debugger.fork("other")
    debugger.back()
    debugger.rescore(dropped, 1.0)
    assert debugger.next == BEAM[2]
    debugger.step()
    assert debugger.state["frontier"][0] == dropped
    parted = debugger.compare("main", "other").parted
    assert (parted.did, parted.number) == (BEAM[1], 5)


def test_a_score_that_is_changed_before_the_choice_changes_the_choice(
    start: Start,
) -> None:
    debugger = start("compute_optimal", stop_score=0.99)
    until(debugger, "route")
    debugger.fork("good")
    for i in range(len(debugger.tree)):
        debugger.rescore(i, 1.0)
    debugger.step()
    assert debugger.next == "aggregate"
    debugger.switch("main")
    debugger.step()
    assert debugger.next == BEAM[0]


def test_a_tree_search_inside_goes_elsewhere_when_its_step_is_pruned(
    into: Into,
) -> None:
    debugger = into("best_first")
    until(debugger, "best_first/propose", 1)
    [gone] = debugger.state["frontier"]
    debugger.prune(gone)
    assert debugger.next == "best_first/select"
    debugger.step()
    assert gone not in debugger.state["frontier"]


def test_a_step_by_hand_before_the_choice_is_what_particles_begin_with(
    into: Into,
) -> None:
    debugger = into("particle_filter")
    until(debugger, "route")
    debugger.rewrite(0, "by hand", ends=False)
    until(debugger, "particle_filter/select")
    assert {debugger.tree[i]["parent"] for i in debugger.state["proposed"]} == {0}
    debugger.step()
    assert len(debugger.state["weights"]) == len(debugger.state["frontier"])


def test_a_step_that_is_kept_at_the_end_lets_the_chosen_strategy_go_on(
    into: Into,
) -> None:
    debugger = into("beam_search")
    debugger.run()
    taken = set(range(debugger.state["route"]["n0"]))
    final = next(i for i in ids(debugger, "finished") if i not in taken)
    pruned = next(
        i
        for i in ids(debugger, "pruned")
        if debugger.tree[i]["finish_reason"] == "step"
    )
    debugger.prune(final)
    debugger.keep(pruned)
    assert debugger.next == BEAM[0]
    assert debugger.state["frontier"] == [pruned]
    assert pruned not in {c["id"] for c in debugger.run()["candidates"]}


@pytest.mark.parametrize("chosen", ["particle_filter", "best_first"])
def test_any_edit_inside_leaves_a_search_that_can_go_on(
    chosen: str, into: Into
) -> None:
    def started(_strategy: str, **setting: Any) -> SearchDebugger:
        return into(chosen, **setting)

    edit_at_random(chosen, 2, started)


def test_a_session_whose_next_node_is_gone_is_not_taken_to_have_ended(
    into: Into, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "debug.sqlite"
    with monkeypatch.context() as earlier:
        earlier.setattr(_machine, "joined", lambda graph: graph)
        with into("beam_search", name="old", file=file) as old:
            until(old, "beam_search")
    with pytest.raises(DebuggerError, match="the node that was to run next"):
        SearchDebugger.open("old", file, policy=TreePolicy(lambda _: []), prm=TreePrm())


# The joined graph


def test_a_graph_without_parts_stays_as_it_is() -> None:
    for name in ROUTABLE:
        graph = get_strategy(name).build()
        assert joined(graph) is graph


def test_the_parts_of_a_joined_graph_have_their_own_edges() -> None:
    graph = get_strategy("compute_optimal").build()
    edges = edges_of(joined(graph))
    assert set(edges_outside(edges)) == set(edges_of(graph))
    for name in ROUTABLE:
        # The vote is left to the whole.
        own = {
            (source, END if target == "aggregate" else target)
            for source, target in edges_of(get_strategy(name).build())
            if source != "aggregate"
        }
        assert set(edges_inside(edges, name)) == own


def test_one_part_may_be_shown_alone() -> None:
    edges = [(START, "a/x"), ("a/x", "a/y"), ("a/y", END), (START, "b/z"), ("b/z", END)]
    assert edges_outside(edges) == [(START, "a"), ("a", END), (START, "b"), ("b", END)]
    assert edges_outside(edges, only="a") == [(START, "a"), ("a", END)]
    assert edges_inside(edges, "a") == [(START, "x"), ("x", "y"), ("y", END)]


def part(**ways: Any) -> Strategy:
    """A strategy with one node of its own, which says that it ran, and a last one."""

    def said(_state: SearchState) -> SearchState:
        return {"degradations": ["ran"]}

    def build() -> Graph:
        graph = state_machine()
        graph.add_node("work", RunnableLambda(said))
        graph.add_node("aggregate", RunnableLambda(said))
        graph.add_edge(START, "work")
        graph.add_conditional_edges("work", lambda _state: "aggregate", **ways)
        graph.add_edge("aggregate", END)
        return graph

    rule = get_strategy("greedy").budget
    return Strategy("mine", "works", rule, build)


def around(strategy: Strategy) -> Graph:
    graph = state_machine()
    graph.add_node("mine", stage(strategy))
    graph.add_node("aggregate", _nodes.aggregate("around", "none"))
    graph.add_edge(START, "first")
    graph.add_node("first", lambda _state: {})
    graph.add_edge("first", "mine")
    graph.add_edge("mine", "aggregate")
    graph.add_edge("aggregate", END)
    return graph


def test_a_last_node_that_does_not_only_vote_is_run_too() -> None:
    graph = joined(around(part(path_map=["aggregate"])))
    assert set(graph.nodes) == {"first", "mine/work", "mine/aggregate", "aggregate"}
    updates = graph.compile().stream(
        {"messages": QUESTION, "seed": 1},
        context=context(vote="majority"),
        stream_mode="updates",
        interrupt_before=["aggregate"],
    )
    names = [name for update in updates for name in update]
    assert names == ["first", "mine/work", "mine/aggregate", "__interrupt__"]


def test_a_part_whose_edges_do_not_tell_its_ways_stays_one_node() -> None:
    graph = around(part())
    assert joined(graph) is graph
