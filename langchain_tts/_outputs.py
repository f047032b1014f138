"""A search result as LangChain's chat results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

if TYPE_CHECKING:
    from langchain_tts.search.state import FinalCandidate, SearchResult


def to_chat_result(
    result: SearchResult, model_name: str, stop: list[str] | None
) -> ChatResult:
    """The answer, then the other candidates, best first.

    Args:
        result: What the search found.
        model_name: Of the policy.
        stop: Texts are cut before the first of these.

    Returns:
        One generation a candidate; the first carries the usage of the whole search.
    """
    ranked = result["candidates"]
    winner = next((c for c in ranked if c["text"] == result["text"]), None)
    answer = AIMessage(
        content=_cut(result["text"], stop),
        response_metadata=_response_metadata(result, model_name),
        usage_metadata=_usage(result),
    )
    others = [
        ChatGeneration(
            message=AIMessage(
                content=_cut(candidate["text"], stop),
                response_metadata={"model_name": model_name},
            ),
            generation_info=_info(candidate),
        )
        for candidate in ranked
        if candidate is not winner
    ]
    first = ChatGeneration(message=answer, generation_info=_info(winner))
    return ChatResult(generations=[first, *others])


def to_chunk(generation: ChatGeneration) -> ChatGenerationChunk:
    """The whole answer as one chunk: metadata of several chunks would be added up."""
    message = generation.message
    if not isinstance(message, AIMessage):
        msg = f"expected an AIMessage, got {type(message).__name__}"
        raise TypeError(msg)
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content=message.content,
            response_metadata=message.response_metadata,
            usage_metadata=message.usage_metadata,
            chunk_position="last",
        ),
        generation_info=generation.generation_info,
    )


def _response_metadata(result: SearchResult, model_name: str) -> dict[str, Any]:
    # Without the tree: it may hold thousands of steps, and messages are stored.
    search = {
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
        "degradations": result["degradations"],
    }
    return {"model_name": model_name, "tts": search}


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


def _cut(text: str, stop: list[str] | None) -> str:
    """`text` up to the first stop sequence."""
    ends = [text.find(sequence) for sequence in stop or [] if sequence]
    return text[: min((end for end in ends if end >= 0), default=len(text))]
