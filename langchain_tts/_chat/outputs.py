"""A search result as LangChain's chat results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_tts._chat.turn_messages import call_chunks, turn_message
from langchain_tts.search.certain import before_stop

if TYPE_CHECKING:
    from langchain_tts._chat.search_call import SearchCall
    from langchain_tts.search.state import FinalCandidate, SearchResult


def to_chat_result(result: SearchResult, call: SearchCall) -> ChatResult:
    """The answer, then the other candidates, best first.

    Args:
        result: What the search found.
        call: What was searched for.

    Returns:
        One generation a candidate; the first carries the usage of the whole search.
    """
    ranked = result["candidates"]
    winner = next((c for c in ranked if c["text"] == result["text"]), None)
    answer = _message(result["text"], result["answer"], call)
    answer.response_metadata = _response_metadata(result, call)
    answer.usage_metadata = _usage(result)
    others = [
        ChatGeneration(
            message=_message(candidate["text"], candidate["answer"], call),
            generation_info=_info(candidate),
        )
        for candidate in ranked
        if candidate is not winner
    ]
    first = ChatGeneration(message=answer, generation_info=_info(winner))
    return ChatResult(generations=[first, *others])


def to_chunks(generation: ChatGeneration) -> list[ChatGenerationChunk]:
    """The whole answer as a stream has it: a chunk of text if there are calls too.

    All metadata are in one chunk: those of several would be added up.
    """
    message = generation.message
    if not isinstance(message, AIMessage):
        msg = f"expected an AIMessage, got {type(message).__name__}"
        raise TypeError(msg)
    calls, content = call_chunks(message), message.content
    chunks: list[ChatGenerationChunk] = []
    if calls and content:
        # Beside text, and in the last chunk, LangChain loses calls that are invalid.
        chunks = [ChatGenerationChunk(message=AIMessageChunk(content=content))]
        content = ""
    rest = AIMessageChunk(
        content=content,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        tool_call_chunks=calls,
        chunk_position=None if calls else "last",
    )
    info = generation.generation_info
    return [*chunks, ChatGenerationChunk(message=rest, generation_info=info)]


def _message(text: str, answer: str | None, call: SearchCall) -> AIMessage:
    """A candidate as a message."""
    metadata = {"model_name": call.model_name}
    if call.turn_check is not None:
        message = turn_message(text, call.turn_check)
        message.content = before_stop(str(message.content), call.stop)
        message.response_metadata = metadata
        return message
    content: str | list[str | dict[str, Any]] = before_stop(text, call.stop)
    if call.reasoning and answer is not None:
        content = [
            {"type": "reasoning", "reasoning": text},
            {"type": "text", "text": before_stop(answer, call.stop)},
        ]
    return AIMessage(content, response_metadata=metadata)


def _response_metadata(result: SearchResult, call: SearchCall) -> dict[str, Any]:
    # Without the tree: it may hold thousands of steps, and messages are stored.
    search: dict[str, Any] = {
        "answer": result["answer"],
        "strategy": result["strategy"],
        "budget": result["budget"],
        "spent": result["spent"],
        "seconds": result["seconds"],
        "stop_reason": result["stop_reason"],
        "seed": result["seed"],
        "score": result["score"],
        "vote": result["vote"],
        "votes": result["votes"],
        "degradations": [*call.degradations, *result["degradations"]],
    }
    if "route" in result:
        search["route"] = result["route"]
    return {"model_name": call.model_name, "tts": search}


def _usage(result: SearchResult) -> UsageMetadata:
    """All policy tokens of the search, the discarded candidates' too."""
    spent = result["spent"]
    cached = spent.get("cached_tokens", 0)
    read = spent.get("prompt_tokens", 0) + cached
    written = spent.get("generated_tokens", 0)
    return UsageMetadata(
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written,
        input_token_details=InputTokenDetails(cache_read=cached),
    )


def _info(candidate: FinalCandidate | None) -> dict[str, Any]:
    return {"score": None if candidate is None else candidate["score"]}
