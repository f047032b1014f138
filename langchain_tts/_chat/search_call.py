"""One call of the chat model as one search: run it, watch it, or stream its answer."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Generator,
    Iterator,
    Sequence,
)
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.utils import LC_ID_PREFIX

from langchain_tts._chat.callbacks import child_context
from langchain_tts._chat.outputs import to_chat_result, to_chunks
from langchain_tts.search.turns import tools_of

if TYPE_CHECKING:
    from langchain_core.callbacks.manager import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )

    from langchain_tts._chat.callbacks import RunManager
    from langchain_tts.search.state import Message, SearchResult
    from langchain_tts.search.turn_check import TurnCheck
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
        degradations: What was changed before the search began.
        reasoning: Whether the winning steps are content of their own, apart from the
            final answer.
    """

    messages: list[Message]
    strategy: str
    context: SearchContext
    seed: int | None
    model_name: str
    stop: list[str] | None
    degradations: Sequence[str] = ()
    reasoning: bool = False

    @cached_property
    def turn_check(self) -> TurnCheck | None:
        """Tells turns that can be used; None where the answer is no turn."""
        rule = self.context.turn
        if rule is None:
            return None
        # JSON schemas are not read where there are none.
        from langchain_tts.search.turn_check import turn_check

        return turn_check(tools_of(self.messages), rule)

    @property
    def is_text(self) -> bool:
        """Whether the answer is the text of a candidate, not a turn or taken apart."""
        return self.context.turn is None and not self.reasoning


Piece = ChatGenerationChunk | ChatResult
"""A part of the answer, or at last the whole of it."""


def search(
    call: SearchCall, run_manager: CallbackManagerForLLMRun | None
) -> ChatResult:
    """Search, as a child of the chat model's run."""
    from langchain_tts._chat.watching import parts

    with child_context(run_manager) as context:
        *_, result = parts(call, context, text=False)
    return to_chat_result(cast("SearchResult", result), call)


async def asearch(
    call: SearchCall, run_manager: AsyncCallbackManagerForLLMRun | None
) -> ChatResult:
    """Search without blocking the event loop."""
    from langchain_tts._chat.watching import aparts

    with child_context(run_manager) as context:
        *_, result = [part async for part in aparts(call, context, text=False)]
    return to_chat_result(cast("SearchResult", result), call)


def search_aloud(call: SearchCall, run_manager: CallbackManagerForLLMRun) -> ChatResult:
    """Search, and let handlers have the answer's text as soon as it is certain.

    LangChain would call `_stream` for them, but without the run that the search belongs
    under.
    """
    answer = ChatResult(generations=[])
    for piece in _pieces(call, run_manager):
        _name(piece, run_manager)
        if isinstance(piece, ChatResult):
            answer = piece
        else:
            run_manager.on_llm_new_token(piece.text, chunk=piece)
    return answer


async def asearch_aloud(
    call: SearchCall, run_manager: AsyncCallbackManagerForLLMRun
) -> ChatResult:
    """`search_aloud` without blocking the event loop."""
    answer = ChatResult(generations=[])
    async for piece in _apieces(call, run_manager):
        _name(piece, run_manager)
        if isinstance(piece, ChatResult):
            answer = piece
        else:
            await run_manager.on_llm_new_token(piece.text, chunk=piece)
    return answer


def stream_answer(
    call: SearchCall, run_manager: CallbackManagerForLLMRun | None
) -> Iterator[ChatGenerationChunk]:
    """Search, and yield the answer's text as soon as it is certain."""
    with closing(_pieces(call, run_manager)) as pieces:
        for piece in pieces:
            if isinstance(piece, ChatGenerationChunk):
                yield piece


async def astream_answer(
    call: SearchCall, run_manager: AsyncCallbackManagerForLLMRun | None
) -> AsyncIterator[ChatGenerationChunk]:
    """`stream_answer` without blocking the event loop."""
    async with aclosing(_apieces(call, run_manager)) as pieces:
        async for piece in pieces:
            if isinstance(piece, ChatGenerationChunk):
                yield piece


def _pieces(
    call: SearchCall, run_manager: CallbackManagerForLLMRun | None
) -> Generator[Piece]:
    from langchain_tts._chat.watching import parts

    writing = _Writing(call)
    with (
        child_context(run_manager) as context,
        closing(parts(call, context, text=True)) as found,
    ):
        for part in found:
            yield from writing.pieces(part)


async def _apieces(
    call: SearchCall, run_manager: AsyncCallbackManagerForLLMRun | None
) -> AsyncGenerator[Piece]:
    from langchain_tts._chat.watching import aparts

    writing = _Writing(call)
    with child_context(run_manager) as context:
        async with aclosing(aparts(call, context, text=True)) as found:
            async for part in found:
                for piece in writing.pieces(part):
                    yield piece


@dataclass
class _Writing:
    """An answer that is written as it becomes certain.

    Args:
        call: What is searched for.
        sent: The text so far.
    """

    call: SearchCall
    sent: str = ""

    def pieces(self, part: str | SearchResult) -> list[Piece]:
        """More text as a chunk, or the result as the last chunk and the whole answer.

        The last chunk alone has what is not text, as the metadata of several chunks
        would be added up.
        """
        if isinstance(part, str):
            self.sent += part
            return [ChatGenerationChunk(message=AIMessageChunk(content=part))]
        answer = to_chat_result(part, self.call)
        message = answer.generations[0].message
        if isinstance(message.content, str):
            rest = message.content[len(self.sent) :]
            message = message.model_copy(update={"content": rest})
        info = answer.generations[0].generation_info
        last = to_chunks(ChatGeneration(message=message, generation_info=info))
        return [*last, answer]


def _name(piece: Piece, run_manager: RunManager) -> None:
    """Give chunks and answer the id by which they are known to be one message."""
    message_id = f"{LC_ID_PREFIX}-{run_manager.run_id}"
    if isinstance(piece, ChatResult):
        piece.generations[0].message.id = message_id
        return
    piece.message.id = message_id
    # LangChain does the same for chunks of a stream.
    info = piece.generation_info or {}
    piece.message.response_metadata = {**info, **piece.message.response_metadata}
