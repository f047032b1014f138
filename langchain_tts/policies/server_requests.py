"""What requests to a server have in common, whether by token ids or by text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_tts.policies._outputs import finish_reason
from langchain_tts.policies.base import STEP_DELIMITER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_tts.engines.server import ServerPool
    from langchain_tts.policies.base import GenerationRequest, Sample
    from langchain_tts.policies.server_tokens import ServerTokens
    from langchain_tts.search.state import FinishReason

_AFFINITY_TOKENS = 16
"""Subtrees are told apart by so many tokens of their first step."""
_DEADLINE_INTERVAL = 16
"""Tokens an event holds under a deadline: what is cut off may lack as many."""
_INTERVAL = 1024
"""The same without one: as little traffic as an answer that is not streamed, but the
first event tells how much of the prompt was cached."""
_NEUTRAL = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
"""The distribution as it is. A server would apply what generation_config.json says, and
log-probabilities would not be those that samples were drawn with."""


@dataclass
class ServerWay:
    """A way to have servers write.

    Args:
        pool: The servers.
        model: The model's name there.
        tokens: Its tokenizer.
        window: Tokens of its context window.
    """

    pool: ServerPool
    model: str
    tokens: ServerTokens
    window: int


@dataclass(frozen=True)
class Batch:
    """What came of requests to a server.

    Args:
        samples: One a seed.
        computed: Prompt tokens that were computed.
        cached: Prompt tokens that were in the server's cache.
        generated: New tokens, those of failed samples included.
    """

    samples: list[Sample]
    computed: int
    cached: int
    generated: int

    def plus(self, more: Batch) -> Batch:
        """The same samples at the cost of both."""
        return Batch(
            self.samples,
            self.computed + more.computed,
            self.cached + more.cached,
            self.generated + more.generated,
        )


def affinity(request: GenerationRequest) -> str:
    """What requests of one subtree have in common."""
    said = "\n".join(message["content"] for message in request["messages"])
    return f"{said}\n{request['prefix'][:_AFFINITY_TOKENS]}"


def sampling(
    request: GenerationRequest, seed: int, n: int, max_tokens: int
) -> dict[str, Any]:
    """The part of a body that says how to sample."""
    body: dict[str, Any] = {
        **_NEUTRAL,
        "n": n,
        "seed": seed,
        "temperature": request["temperature"],
        "max_tokens": max_tokens,
    }
    if request["by_step"]:
        body |= {"stop": [STEP_DELIMITER], "include_stop_str_in_output": True}
    return body


def streaming(request: GenerationRequest) -> dict[str, Any]:
    """The part of a body that asks for a stream."""
    timed = request["deadline"] is not None
    return {
        "stream": True,
        "stream_options": {"include_usage": True},
        "stream_interval": _DEADLINE_INTERVAL if timed else _INTERVAL,
    }


def reason(
    told: str | None, stopped_by: str | int | None, *, cut: bool
) -> FinishReason:
    """Why a sample ended.

    Args:
        told: The server's finish reason; None: it did not finish.
        stopped_by: The stop string, where one ended it.
        cut: Whether reading was ended by the deadline.
    """
    if told is None and cut:
        return "length"
    return finish_reason(told, stopped_by)


def read_usage(events: Iterable[dict[str, Any]], prompt: int) -> tuple[int, int]:
    """Prompt tokens that were computed, and those that were cached.

    Args:
        events: What the server sent.
        prompt: Tokens of the prompt, where the server does not tell: without
            `--enable-prompt-tokens-details` vLLM does not, and all of them count.
    """
    cached = 0
    for event in events:
        usage = event.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        cached = details.get("cached_tokens") or cached
        prompt = usage.get("prompt_tokens") or prompt
    return prompt - cached, cached
