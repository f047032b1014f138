"""A strategy's graph as the debugger runs it: one node at a time, every state saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_RUNTIME
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START
from langgraph.runtime import Runtime

from langchain_tts.debugger._errors import DebuggerError
from langchain_tts.debugger._parts import Edge, joined, phase_of
from langchain_tts.strategies import Strategy
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.state import SearchInput, SearchState

_ENOUGH = 25
"""Supersteps of one call at most; it makes one or two."""


_KEPT = 16
"""States that are kept at hand."""


class Stop(NamedTuple):
    """A search where it stands."""

    checkpoint_id: str
    state: SearchState
    next: str | None
    """The node that runs next; None at the end."""
    node: str
    """The node as which the state was written (`_history.mark`)."""
    before: str | None
    """The checkpoint from which it came; None at the start."""


class Machine:
    """A strategy's graph with a saver, on one thread.

    `at` gives the search at a checkpoint.

    Args:
        strategy: The strategy.
        context: Models, budget and parameters.
        saver: Where every state is kept.
        thread: Name of the thread.
    """

    def __init__(
        self,
        strategy: Strategy,
        context: SearchContext,
        saver: BaseCheckpointSaver[Any],
        thread: str,
    ) -> None:
        graph = joined(strategy.build())
        self._saver = saver
        self.context = context
        self.thread: RunnableConfig = {"configurable": {"thread_id": thread}}
        self._compiled = graph.compile(
            checkpointer=saver, interrupt_before="*", name=strategy.name
        )
        # A checkpoint never changes, and its tree is put together from many.
        self.at: Callable[[str], Stop] = lru_cache(maxsize=_KEPT)(self._at)
        drawn = self._compiled.get_graph()
        self.edges: list[Edge] = [(edge.source, edge.target) for edge in drawn.edges]

    def _at(self, checkpoint_id: str) -> Stop:
        found = self._compiled.get_state(self._config(checkpoint_id))
        if not found.next and "result" not in found.values:
            msg = (
                "the node that was to run next is no longer in the strategy's graph, "
                "which has changed since the session was saved; start a new one"
            )
            raise DebuggerError(msg)
        marks: Mapping[str, str] = {**found.metadata}  # type: ignore[dict-item]
        return Stop(
            checkpoint_id=checkpoint_id,
            state=cast("SearchState", found.values),
            next=found.next[0] if found.next else None,
            node=marks["node"],
            before=marks.get("before"),
        )

    def start(self, values: SearchInput, marks: Mapping[str, str]) -> str:
        """Begin a search; no node has run yet.

        Returns:
            The new checkpoint.
        """
        return self._invoke(values, None, marks)

    def step(self, checkpoint_id: str, marks: Mapping[str, str]) -> str:
        """Run the next node.

        Returns:
            The new checkpoint.
        """
        # An older checkpoint has to be addressed, and LangGraph copies it to go on from
        # there. The newest must not be: what its next node has done before it was
        # interrupted would not be taken up.
        newest = self._newest() == checkpoint_id
        return self._invoke(None, None if newest else checkpoint_id, marks)

    def write(
        self,
        checkpoint_id: str,
        update: SearchState,
        as_node: str,
        marks: Mapping[str, str],
    ) -> str:
        """Edit a state as if a node had returned `update`.

        Returns:
            The new checkpoint.
        """
        config = self._config(checkpoint_id, marks)
        # The edges after the node are followed again, and some ask the context, which
        # `update_state` has no argument for.
        config["configurable"][CONFIG_KEY_RUNTIME] = Runtime(context=self.context)
        written = self._compiled.update_state(config, update, as_node=as_node)
        found: str = written["configurable"]["checkpoint_id"]
        return found

    def leads(self, node: str | None, target: str) -> bool:
        """Whether a phase may run from `node` on before the next proposal."""
        ahead, found = [node or END], set[str]()
        while ahead:
            current = ahead.pop()
            phase = phase_of(current)
            if phase == target:
                return True
            if phase != "propose" and current not in found:
                found.add(current)
                ahead += [end for source, end in self.edges if source == current]
        return False

    def before(self, node: str) -> str | None:
        """A node that is always followed by `node`; None if there is none."""
        for source, target in self.edges:
            ways = [edge for edge in self.edges if edge[0] == source]
            if target == node and source not in {START, END} and len(ways) == 1:
                return source
        return None

    def _invoke(
        self,
        values: SearchInput | None,
        checkpoint_id: str | None,
        marks: Mapping[str, str],
    ) -> str:
        config = self._config(checkpoint_id, marks)
        self._compiled.invoke(
            values,
            {**config, "recursion_limit": _ENOUGH},
            context=self.context,
            durability="sync",
        )
        return self._newest()

    def _newest(self) -> str:
        """The last checkpoint of the thread, which has one after the first call."""
        saved = self._saver.get_tuple(self._config(None))
        return "" if saved is None else saved.checkpoint["id"]

    def _config(
        self, checkpoint_id: str | None, marks: Mapping[str, str] | None = None
    ) -> RunnableConfig:
        place = {} if checkpoint_id is None else {"checkpoint_id": checkpoint_id}
        return {
            "configurable": {
                **self.thread["configurable"],
                # An addressed checkpoint is looked up by its namespace too.
                "checkpoint_ns": "",
                **place,
            },
            "metadata": dict(marks or {}),
        }
