"""The graph in a few lines."""

from __future__ import annotations

import pytest

from langchain_tts.debugger.screen._strip import strip
from langchain_tts.strategies import STRATEGIES

LOOP = [
    ("__start__", "a"),
    ("a", "b"),
    ("b", "c"),
    ("c", "a"),
    ("c", "__end__"),
]


def test_the_way_is_a_row_and_other_edges_are_drawn_underneath() -> None:
    assert strip(LOOP, "a").plain.splitlines() == [
        " start ─▶ a ─▶ b ─▶ c ─▶ end ",
        "          ▲─────────╯",
    ]


def test_a_node_that_repeats_itself_and_one_off_the_way() -> None:
    edges = [
        ("__start__", "a"),
        ("a", "a"),
        ("a", "b"),
        ("b", "__end__"),
        ("__start__", "other"),
        ("other", "__end__"),
        ("a", "__end__"),
    ]
    lines = strip(edges, None).plain.splitlines()
    assert lines[0] == " start ─▶ a ↺─▶ b ─▶ end "
    assert lines[1].strip() == "╰───────────▲"
    assert lines[2].strip() == "╰───── other ──────▲"


@pytest.mark.parametrize(("here", "marked"), [("b", " b "), (None, " end ")])
def test_where_the_search_stands_is_marked(here: str | None, marked: str) -> None:
    text = strip(LOOP, here)
    spans = [s for s in text.spans if "reverse" in str(s.style)]
    assert [text.plain[s.start : s.end] for s in spans] == [marked]


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_every_node_of_every_strategy_is_drawn(strategy: object) -> None:
    graph = strategy.build().compile().get_graph()  # type: ignore[attr-defined]
    edges = [(edge.source, edge.target) for edge in graph.edges]
    drawn = strip(edges, None).plain
    for node in set(graph.nodes) - {"__start__", "__end__"}:
        assert f" {node} " in drawn
    assert max(map(len, drawn.splitlines())) < 80
    assert len(drawn.splitlines()) <= 4
