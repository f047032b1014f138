"""A strategy's graph as one node of another graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from langchain_core.runnables import RunnableConfig, RunnableLambda

from langchain_tts.strategies._graph import Graph
from langchain_tts.strategies._registry import Strategy
from langchain_tts.strategies.state import SearchState, changes

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from langchain_tts.strategies.context import SearchContext
    from langchain_tts.strategies.state import SearchInput

    Compiled = CompiledStateGraph[SearchState, SearchContext, SearchInput, SearchState]


class Stage(RunnableLambda[SearchState, SearchState]):
    """A node that runs a strategy's graph."""

    machine: Graph
    """The graph, from which the debugger takes its nodes."""


def stage(strategy: Strategy) -> Stage:
    """Make a node that goes on with a search by a strategy's graph.

    The graph has the same channels. Its node returns what it has changed: channels that
    add up would count what was there before twice.

    LangGraph finds the graph in the functions, so it is drawn and saved with the graph
    that it is part of.
    """
    machine = strategy.build()
    # Alone it starts from a question, as a part from the state that there is.
    machine.input_schema = SearchState
    graph: Compiled = machine.compile(name=strategy.name)

    def run(state: SearchState, config: RunnableConfig) -> SearchState:
        end = graph.invoke(state, config)
        return changes(state, cast("SearchState", end))

    async def arun(state: SearchState, config: RunnableConfig) -> SearchState:
        end = await graph.ainvoke(state, config)
        return changes(state, cast("SearchState", end))

    node = Stage(run, afunc=arun, name=strategy.name)
    node.machine = machine
    return node
