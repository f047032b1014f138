"""One call of the chat model as one search: run it, watch it, or stream its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_tts._callbacks import child_context
from langchain_tts._outputs import to_chat_result, to_chunk

if TYPE_CHECKING:
    from langchain_core.callbacks.manager import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.outputs import ChatGenerationChunk, ChatResult

    from langchain_tts.search.state import Message
    from langchain_tts.strategies.context import SearchContext


@dataclass(frozen=True)
class SearchCall:
    """What one call of the chat model searches for.

    Args:
        messages: The conversation.
        strategy: Name of the strategy.
        context: Models, budget and parameters.
        seed: Makes the search repeatable; None draws one.
        model_name: Of the policy.
        stop: The text of the answer ends before the first of these.
    """

    messages: list[Message]
    strategy: str
    context: SearchContext
    seed: int | None
    model_name: str
    stop: list[str] | None


def search(
    call: SearchCall, run_manager: CallbackManagerForLLMRun | None
) -> ChatResult:
    """Search, as a child of the chat model's run."""
    from langchain_tts.strategies.run import solve

    with child_context(run_manager) as context:
        result = context.run(
            solve,
            call.messages,
            strategy=call.strategy,
            context=call.context,
            seed=call.seed,
        )
    return to_chat_result(result, call.model_name, call.stop)


async def asearch(
    call: SearchCall, run_manager: AsyncCallbackManagerForLLMRun | None
) -> ChatResult:
    """Search without blocking the event loop."""
    from langchain_tts.strategies.run import asolve

    with child_context(run_manager) as context:
        work = asolve(
            call.messages,
            strategy=call.strategy,
            context=call.context,
            seed=call.seed,
        )
        result = await asyncio.create_task(work, context=context)
    return to_chat_result(result, call.model_name, call.stop)


def stream_answer(
    call: SearchCall, run_manager: CallbackManagerForLLMRun | None
) -> Iterator[ChatGenerationChunk]:
    """Search, and yield the answer as soon as it is certain."""
    yield to_chunk(search(call, run_manager).generations[0])


async def astream_answer(
    call: SearchCall, run_manager: AsyncCallbackManagerForLLMRun | None
) -> AsyncIterator[ChatGenerationChunk]:
    """Search, and yield the answer as soon as it is certain."""
    result = await asearch(call, run_manager)
    yield to_chunk(result.generations[0])
