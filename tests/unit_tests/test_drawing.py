"""Pictures of graphs, compared with pictures drawn by hand."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest

from langchain_tts._drawing import Arrow, draw, mermaid, picture
from langchain_tts.strategies import Strategy, get_strategy
from langchain_tts.strategies._catalog import BUILT_IN


def by_hand(text: str) -> str:
    return dedent(text).strip("\n")


def test_a_line_of_nodes() -> None:
    assert draw(["start", "propose", "end"], [Arrow(0, 1), Arrow(1, 2)]) == by_hand(
        """
         ( start )
             |
             v
        [ propose ]
             |
             v
          ( end )
        """
    )


def test_a_loop_goes_back_by_a_lane_on_the_right() -> None:
    assert picture(get_strategy("beam_search")) == by_hand(
        """
          ( start )
              |
              v
         [ propose ] <---.
              |          :
              v          :
          [ score ]      :
              |          :
              v          :
         [ select ]      :
              +..........'
              : done
              v
        [ aggregate ]
              |
              v
           ( end )
        """
    )


def test_edges_into_one_node_share_a_lane_and_lanes_cross() -> None:
    arrows = [
        Arrow(0, 1),
        Arrow(1, 1, "again", sometimes=True),
        Arrow(1, 2, "on", sometimes=True),
        Arrow(1, 3, "skip", sometimes=True),
        Arrow(2, 1),
        Arrow(2, 3),
        Arrow(3, 4),
    ]
    assert draw(["start", "a", "b", "c", "end"], arrows) == by_hand(
        """
        ( start )
            |
            v
          [ a ] <-------.
            +. again ...+
            +. skip ....|...
            : on        |  :
            v           |  :
          [ b ]         |  :
            +-----------'  :
            |              :
            v              :
          [ c ] <----------'
            |
            v
         ( end )
        """
    )


def test_nodes_beside_one_another_are_not_joined() -> None:
    arrows = [
        Arrow(0, 1, sometimes=True),
        Arrow(0, 2, sometimes=True),
        Arrow(1, 3),
        Arrow(2, 3),
    ]
    assert draw(["start", "left", "right", "end"], arrows) == by_hand(
        """
        ( start )
            +...........
            :          :
            v          :
        [ left ]       :
            '-------.  :
                    |  :
        [ right ] <-|--'
            |       |
            v       |
         ( end ) <--'
        """
    )


@pytest.mark.parametrize("strategy", BUILT_IN, ids=lambda strategy: strategy.name)
def test_every_strategy_has_a_picture_with_all_nodes_and_labels(
    strategy: Strategy,
) -> None:
    graph = strategy.build().compile().get_graph()
    drawn = picture(strategy)
    assert drawn.isascii()
    nodes = re.findall(r"[\[(] (\w+) [\])]", drawn)
    assert set(nodes) == {name.strip("_") for name in graph.nodes}
    assert len(nodes) == len(graph.nodes)
    assert (nodes[0], nodes[-1]) == ("start", "end")
    for edge in graph.edges:
        assert edge.data is None or str(edge.data) in drawn


def test_mermaid_is_the_text_that_langgraph_draws() -> None:
    drawn = get_strategy("dvts").build().compile().get_graph().draw_mermaid()
    assert mermaid(get_strategy("dvts")) == drawn.strip()
