"""The empty state machine that every strategy starts from."""

from __future__ import annotations

from langgraph.graph import StateGraph

from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.state import SearchInput, SearchState

Graph = StateGraph[SearchState, SearchContext, SearchInput, SearchState]


def state_machine() -> Graph:
    """Make a graph with the channels and the context of a search, and no node."""
    return StateGraph(SearchState, SearchContext, input_schema=SearchInput)
