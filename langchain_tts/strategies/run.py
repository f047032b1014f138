"""Running a search: a question in, a `SearchResult` out."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Generator,
    Iterator,
    Sequence,
)
from contextlib import aclosing, closing
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig

from langchain_tts.budget import Budget
from langchain_tts.search.state import Message, SearchResult
from langchain_tts.strategies import STRATEGIES, Strategy, get_strategy
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.state import SearchInput, SearchState, result_of

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import StreamMode

    Compiled = CompiledStateGraph[SearchState, SearchContext, SearchInput, SearchState]

_PHASES = 4
"""Supersteps of one round at most: propose, look ahead, score, select."""

_ENDS = 8
"""Supersteps before the first round and after the last one, generously."""

_WATCHED: list[StreamMode] = ["updates", "values"]
"""What each node did, and then the state after it."""

_Snapshot = tuple[str, dict[str, Any]] | tuple[tuple[str, ...], str, dict[str, Any]]
"""Which of the two it is, and what it is; before them the graph that it is from, where
others are in the search's own (they are not looked for in vain: it takes time)."""
_Update = dict[str, Any]


def solve(
    messages: Sequence[Message],
    *,
    context: SearchContext,
    strategy: str = "beam_search",
    seed: int | None = None,
    config: RunnableConfig | None = None,
) -> SearchResult:
    """Search for the answer to a question.

    Args:
        messages: The conversation; the last message is the question.
        context: Models, budget and parameters.
        strategy: Name of the strategy.
        seed: Makes the search repeatable; None draws one, which the result tells.
        config: LangChain's, for tracing.

    Returns:
        The answer with all candidates, the whole tree, what was spent, and why the
        search stopped.

    Raises:
        UnknownStrategyError: If there is no such strategy.
        QuestionError: If the question is empty or too long for the policy.
        MissingVerifierError: If the strategy needs a verifier and there is none.
        PolicyFailedError: If the policy failed on every sample.
    """
    graph, _ = _compiled(get_strategy(strategy))
    state = graph.invoke(
        _start(messages, seed), _configured(config, context), context=_unseen(context)
    )
    return result_of(cast("SearchState", state))


async def asolve(
    messages: Sequence[Message],
    *,
    context: SearchContext,
    strategy: str = "beam_search",
    seed: int | None = None,
    config: RunnableConfig | None = None,
) -> SearchResult:
    """Search for the answer to a question without blocking the event loop.

    The same search as `solve`: the same arguments, result and errors.
    """
    graph, _ = _compiled(get_strategy(strategy))
    state = await graph.ainvoke(
        _start(messages, seed), _configured(config, context), context=_unseen(context)
    )
    return result_of(cast("SearchState", state))


def stream_search(
    messages: Sequence[Message],
    *,
    context: SearchContext,
    strategy: str = "beam_search",
    seed: int | None = None,
    config: RunnableConfig | None = None,
) -> Iterator[SearchState]:
    """Search, and yield the state after every superstep; the last one has the result.

    The same search as `solve`: the same arguments and errors.
    """
    for superstep in watch(
        messages, context=context, strategy=strategy, seed=seed, config=config
    ):
        yield superstep.state


async def astream_search(
    messages: Sequence[Message],
    *,
    context: SearchContext,
    strategy: str = "beam_search",
    seed: int | None = None,
    config: RunnableConfig | None = None,
) -> AsyncIterator[SearchState]:
    """`stream_search` without blocking the event loop.

    The same search as `solve`: the same arguments and errors.
    """
    supersteps = awatch(
        messages, context=context, strategy=strategy, seed=seed, config=config
    )
    async with aclosing(supersteps):
        async for superstep in supersteps:
            yield superstep.state


class Superstep(NamedTuple):
    """What a node of a search has done."""

    node: str
    """Its name; empty before the first one."""
    changed: list[int]
    """Ids of the candidates that it added or changed."""
    state: SearchState
    """The state after it."""


def watch(
    messages: Sequence[Message],
    *,
    context: SearchContext,
    strategy: str,
    seed: int | None = None,
    config: RunnableConfig | None = None,
) -> Generator[Superstep]:
    """Search as `stream_search` does, and tell what each superstep did."""
    graph, inner = _compiled(get_strategy(strategy))
    snapshots = graph.stream(
        _start(messages, seed),
        _configured(config, context),
        context=context,
        stream_mode=_WATCHED,
        subgraphs=bool(inner),
    )
    steps = _Supersteps(inner)
    # Closed here, so that the search ends with whoever watches it.
    with closing(cast("Generator[_Snapshot]", snapshots)) as parts:
        for snapshot in parts:
            yield from steps.after(snapshot)


async def awatch(
    messages: Sequence[Message],
    *,
    context: SearchContext,
    strategy: str,
    seed: int | None = None,
    config: RunnableConfig | None = None,
) -> AsyncGenerator[Superstep]:
    """`watch` without blocking the event loop."""
    graph, inner = _compiled(get_strategy(strategy))
    snapshots = graph.astream(
        _start(messages, seed),
        _configured(config, context),
        context=context,
        stream_mode=_WATCHED,
        subgraphs=bool(inner),
    )
    steps = _Supersteps(inner)
    async with aclosing(cast("AsyncGenerator[_Snapshot]", snapshots)) as parts:
        async for snapshot in parts:
            for superstep in steps.after(snapshot):
                yield superstep


class _Supersteps:
    """The supersteps of a stream: those of a strategy that is a part of the search too.

    Args:
        parts: The strategies that are nodes of the search's graph.
    """

    def __init__(self, parts: frozenset[str]) -> None:
        self._parts = parts
        self._done: _Update = {}

    def after(self, snapshot: _Snapshot) -> Iterator[Superstep]:
        """What there is to tell after a part of the stream."""
        *graphs, mode, part = snapshot
        inner = [name.partition(":")[0] for graph in graphs for name in graph]
        if inner and (len(inner) > 1 or inner[0] not in self._parts):
            # A model may be a graph itself.
            return
        if mode == "updates":
            self._done = part
            return
        done, self._done = self._done, {}
        node = next(iter(done), "")
        if (inner and not node) or (not inner and node in self._parts):
            # The beginning and the end of a part were told already.
            return
        changed = [c["id"] for update in done.values() for c in update.get("tree", [])]
        yield Superstep(node, changed, cast("SearchState", part))


class _Machine(NamedTuple):
    graph: Compiled
    parts: frozenset[str]
    """The strategies that are nodes of it."""


def _compiled(strategy: Strategy) -> _Machine:
    # A search may choose among all strategies, those registered since the last one too.
    return _compile(strategy, tuple(STRATEGIES) if strategy.chooses else ())


@lru_cache
def _compile(strategy: Strategy, _known: tuple[str, ...]) -> _Machine:
    # Without a checkpointer even inside a graph that has one: its every step would
    # store the whole tree, and a search is repeated from its seed.
    graph = strategy.build().compile(checkpointer=False, name=strategy.name)
    parts = dict(graph.get_subgraphs())
    for part in parts.values():
        cast("Compiled", part).checkpointer = False
    return _Machine(graph, frozenset(parts))


def _start(messages: Sequence[Message], seed: int | None) -> SearchInput:
    state: SearchInput = {"messages": list(messages)}
    return state if seed is None else {**state, "seed": seed}


def _unseen(context: SearchContext) -> SearchContext:
    """The context of a search of which only the result is looked at."""
    return replace(context, lockstep=False) if context.lockstep is None else context


def _configured(
    config: RunnableConfig | None, context: SearchContext
) -> RunnableConfig:
    """The caller's config with a step limit that no search reaches.

    Without one a surrounding chain's limit of 25 would end a search early. A tree
    search takes the most supersteps: at most `max_rounds` rounds for each sample.
    """
    samples = Budget.parse(context.budget).samples
    limit = _PHASES * context.max_rounds * samples + _ENDS
    return RunnableConfig(**{**(config or {}), "recursion_limit": limit})
