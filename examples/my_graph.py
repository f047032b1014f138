"""A whole graph of your own: short questions get a vote, long ones a search.

A strategy may be any LangGraph graph over the channels of `SearchState` that leaves a
`result` and a `tree`. This one chooses between two of the package's. Try it with

    langchain-tts graph examples.my_graph:strategy
    langchain-tts solve "What is 12*7+5?" --strategy examples.my_graph:strategy
"""

from __future__ import annotations

from typing import Literal

from langgraph.graph import END, START, StateGraph

from langchain_tts import (
    BudgetRule,
    SearchContext,
    SearchInput,
    SearchState,
    Strategy,
    get_strategy,
    register_strategy,
)

SHORT = 40
"""Characters of a question that a vote is enough for."""


def build() -> StateGraph[SearchState, SearchContext, SearchInput, SearchState]:
    """Build the graph; it is compiled where it is run."""
    graph = StateGraph(SearchState, SearchContext, input_schema=SearchInput)
    for name in ("majority_vote", "beam_search"):
        graph.add_node(name, get_strategy(name).build().compile())
        graph.add_edge(name, END)
    graph.add_conditional_edges(START, route)
    return graph


def route(state: SearchState) -> Literal["majority_vote", "beam_search"]:
    """Which search a question gets."""
    length = len(state["messages"][-1]["content"])
    return "majority_vote" if length <= SHORT else "beam_search"


strategy = register_strategy(
    Strategy(
        name="router",
        summary="a vote for short questions, beam search for long ones",
        budget=BudgetRule(
            width="N answers, or N − final candidates",
            beams="none, or those of beam_search",
            depth="1, or at most max_rounds",
        ),
        build=build,
    )
)
