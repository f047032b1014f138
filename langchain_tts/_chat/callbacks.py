"""Run a search as the child of the chat model run it belongs to.

LangChain gives a chat model's run manager no `get_child()`, and LangGraph merges an
explicit callback manager with the ambient one while keeping the ambient parent. So the
*ambient* config is replaced for the search: everything it starts then nests under the
chat model run, alone, in a chain and in an agent, and what the surrounding graph put in
the config (stream writers, checkpoint scope) stays reachable.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManager,
    BaseCallbackHandler,
    CallbackManager,
)
from langchain_core.callbacks.manager import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import (
    ensure_config,
    patch_config,
    set_config_context,
    var_child_runnable_config,
)
from langchain_core.utils.uuid import uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

RunManager = CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun
Manager = CallbackManager | AsyncCallbackManager

Item = TypeVar("Item")

_stream_parent: ContextVar[Manager | None] = ContextVar("stream_parent", default=None)
"""Callbacks of the stream that runs in this context."""


@contextmanager
def child_context(run_manager: RunManager | None) -> Iterator[Context]:
    """A context in which started runs are children of the chat model's run.

    Args:
        run_manager: Of the chat model's run; None while streaming, where
            `stream_context` has left what takes its place.
    """
    manager = _stream_parent.get() if run_manager is None else _child(run_manager)
    if manager is None:
        yield copy_context()
        return
    config = patch_config(var_child_runnable_config.get(), callbacks=manager)
    with set_config_context(config) as context:
        yield context


def stream_context(
    config: RunnableConfig | None,
    manager_class: type[CallbackManager | AsyncCallbackManager],
) -> tuple[RunnableConfig, Context]:
    """Prepare a stream, which LangChain runs without telling the model its run.

    The run's id is chosen here, and the callbacks are configured here once, so that
    the stream and what runs below it share their tracer.

    Returns:
        The config to stream with, and the context to stream in.
    """
    config = ensure_config(config)
    run_id = config.get("run_id") or uuid7()
    manager = manager_class.configure(config.get("callbacks"))
    child = _new_manager(
        manager_class,
        run_id,
        manager.inheritable_handlers,
        [*manager.inheritable_tags, *(config.get("tags") or [])],
        {**manager.inheritable_metadata, **(config.get("metadata") or {})},
    )
    context = copy_context()
    context.run(_stream_parent.set, child)
    return {**config, "run_id": run_id, "callbacks": manager}, context


def each_in(context: Context, items: Generator[Item]) -> Generator[Item]:
    """Items of a generator that runs in a context, and ends with this one."""
    try:
        while (item := context.run(next, items, None)) is not None:
            yield item
    finally:
        context.run(items.close)


async def aeach_in(
    context: Context, items: AsyncGenerator[Item]
) -> AsyncGenerator[Item]:
    """Items of an async generator that runs in a context, and ends with this one."""

    async def following() -> Item | None:
        return await anext(items, None)

    try:
        while True:
            item = await asyncio.create_task(following(), context=context)
            if item is None:
                return
            yield item
    finally:
        await asyncio.create_task(items.aclose(), context=context)


def _child(run_manager: RunManager) -> Manager:
    is_async = isinstance(run_manager, AsyncCallbackManagerForLLMRun)
    return _new_manager(
        AsyncCallbackManager if is_async else CallbackManager,
        run_manager.run_id,
        run_manager.inheritable_handlers,
        run_manager.inheritable_tags,
        run_manager.inheritable_metadata,
    )


def _new_manager(
    manager_class: type[Manager],
    parent: UUID,
    handlers: list[BaseCallbackHandler],
    tags: list[str],
    metadata: dict[str, Any],
) -> Manager:
    manager = manager_class(handlers=[], parent_run_id=parent)
    manager.set_handlers(handlers)
    manager.add_tags(tags)
    # `ls_*` describe the chat model itself, not the policy and PRM calls in it.
    manager.add_metadata(
        {key: value for key, value in metadata.items() if not key.startswith("ls_")}
    )
    return manager
