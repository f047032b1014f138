"""A policy that is any LangChain chat model: whole answers only."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_tts.engines.chat import ChatCalls, Usage, to_langchain, usage_of
from langchain_tts.policies._chat_answers import (
    Answer,
    read_answer,
    read_turn_answer,
)
from langchain_tts.policies._chat_turns import Asked, asked, calls_tools
from langchain_tts.policies._requests import check_seeds
from langchain_tts.policies.base import (
    Generation,
    GenerationRequest,
    Policy,
    Sample,
    Step,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from langchain_core.language_models.chat_models import BaseChatModel

    from langchain_tts.search.state import Message

SETTINGS = ("temperature", "max_tokens", "seed")
"""What a search sets for each call."""

_FIELDS = {
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens", "max_output_tokens", "num_predict"),
    "seed": ("seed", "random_seed"),
}
"""What LangChain's integrations call these settings."""

_SEEDS = 2**31
"""Providers take seeds of 32 bits, some of them signed."""

_BLANK_LINES = re.compile(r"[ \t\r]*\n(?:[ \t\r]*\n)+")
_LONG_REASONING = 32_768
_MESSAGE_TOKENS = 16
_NO_LIMIT = 2**31


class ChatModelError(RuntimeError):
    """A chat model none of whose calls succeeded."""


class _Reply(NamedTuple):
    """What came of one call."""

    sample: Sample
    usage: Usage
    problem: str | None = None
    """Why there is nothing to use."""
    error: Exception | None = None
    """What the call raised."""


class ChatModelPolicy(Policy):
    """Samples whole answers from a LangChain chat model, one call an answer.

    A call sets the temperature, the number of new tokens and the seed, where the
    model's class has a field for it. A model without the field is sampled as it is set
    up: without one for tokens, no limit on tokens can be kept. A model that has the
    field but refuses the value (some reasoning models take no temperature) fails with
    the provider's own words; name the other settings then.

    There are no token ids, so that no answer can be continued and log-probabilities are
    0. An answer's steps are its paragraphs. What a call used is what the model reports;
    one that reports nothing is charged a token a byte, which is never too little. So is
    a question before it is asked, unless the model has a `custom_get_token_ids`.
    Whether a question fits the model's window is left to the provider.

    A model that has `bind_tools` takes turns. Answers by a schema are asked for by
    `response_format` where the model's profile says that it has structured output, and
    else by a tool that has the schema.

    Args:
        model: The chat model.
        name: What the search's results call it; the model's own name if None.
        num_parameters: For limits on FLOPs; 0 where they are not known.
        settings: Those of `SETTINGS` that are set for each call.

    Raises:
        ValueError: If a setting is unknown.
    """

    by_step = False
    reads_prompt_once = False
    follows_prompts = True

    def __init__(
        self,
        model: BaseChatModel,
        *,
        name: str | None = None,
        num_parameters: int = 0,
        settings: Sequence[str] = SETTINGS,
    ) -> None:
        """Look up what the model's class calls the settings."""
        unknown = sorted(set(settings) - set(SETTINGS))
        if unknown:
            msg = f"unknown setting {unknown[0]!r}; a call sets {', '.join(SETTINGS)}"
            raise ValueError(msg)
        self._calls = ChatCalls(model)
        self.name = self._calls.name if name is None else name
        self.takes_turns = calls_tools(model)
        self.num_parameters = num_parameters
        self.context_window = _NO_LIMIT
        fields = type(model).model_fields
        self._fields = {
            setting: next(field for field in _FIELDS[setting] if field in fields)
            for setting in settings
            if any(field in fields for field in _FIELDS[setting])
        }
        self.identity = f"{self._calls.identity}:{sorted(self._fields)}"
        """What tells it from other policies in a cache key."""
        self.max_tokens = self._own_limit(model)

    def _own_limit(self, model: BaseChatModel) -> int:
        """New tokens of an answer where a search sets no limit."""
        own = getattr(model, self._fields.get("max_tokens", ""), None)
        if isinstance(own, int) and own > 0:
            return own
        profile = model.profile or {}
        wanted = type(self).max_tokens
        if profile.get("reasoning_output"):
            wanted = _LONG_REASONING
        return min(wanted, profile.get("max_output_tokens") or wanted)

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of a conversation, or as many as there can be at most."""
        texts = [text for message in messages for text in _texts(message)]
        return _MESSAGE_TOKENS * len(texts) + sum(map(self._count, texts))

    def _count(self, text: str) -> int:
        count = self._calls.model.custom_get_token_ids
        return len(text.encode()) if count is None else len(count(text))

    def read_step(
        self,
        messages: Sequence[Message],  # noqa: ARG002 (nothing is computed)
        prefix: Sequence[int],  # noqa: ARG002
        text: str,
        *,
        ends: bool,  # noqa: ARG002
    ) -> Step:
        """Take a step as it is: there are no token ids to read."""
        return Step(text=text, token_ids=[], logprob=0.0)

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        """Start one call a sample. Cancelling the future ends all of them.

        Raises:
            ValueError: If a step is to be sampled or continued, or if a request has not
                one seed a sample.
        """
        _check(requests)
        return self._calls.start(self._all(requests))

    async def asubmit(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Sample on the running loop."""
        _check(requests)
        return await self._calls.join(self._all(requests))

    async def _all(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """All calls at once.

        Raises:
            ChatModelError: If every single one of them raised an error.
        """
        replies = await asyncio.gather(*map(self._replies, requests))
        errors = [reply.error for group in replies for reply in group]
        if errors and all(errors):
            msg = f"{type(errors[0]).__name__}: {errors[0]}"
            raise ChatModelError(msg) from errors[0]
        return [_generation(group) for group in replies]

    async def _replies(self, request: GenerationRequest) -> list[_Reply]:
        way = asked(self._calls.model, request)
        calls = (self._reply(way, request, seed) for seed in request["seeds"])
        return await asyncio.gather(*calls)

    async def _reply(self, way: Asked, request: GenerationRequest, seed: int) -> _Reply:
        """One call; only cancellation is raised."""
        deadline = request["deadline"]
        left = None if deadline is None else deadline - time.monotonic()
        try:
            async with asyncio.timeout(left) as limit:
                message = await self._calls.ask(
                    way.runnable,
                    to_langchain(request["messages"]),
                    **self._settings(request, seed),
                )
        except Exception as error:  # noqa: BLE001 (whatever a provider raises)
            if limit.expired():
                return _Reply(Sample(steps=[], finish_reason="length"), _NOTHING)
            lost = Sample(steps=[], finish_reason="failed")
            return _Reply(lost, _NOTHING, f"{type(error).__name__}: {error}", error)
        if "turn" in request:
            answer = read_turn_answer(message, way.answer_tool)
            parts = [answer.text]
        else:
            answer = read_answer(message)
            parts = _BLANK_LINES.split(answer.text)
        written = max(str(message.text), answer.text, key=len)
        usage = usage_of(message) or self._usage(request, written)
        return _Reply(_sample(answer, parts), usage, answer.problem)

    def _settings(self, request: GenerationRequest, seed: int) -> dict[str, Any]:
        values = {
            "temperature": request["temperature"],
            "max_tokens": request["max_tokens"],
            "seed": seed % _SEEDS,
        }
        return {field: values[setting] for setting, field in self._fields.items()}

    def _usage(self, request: GenerationRequest, written: str) -> Usage:
        """At most what a call used that does not say so."""
        generated = self._count(written)
        if "max_tokens" in self._fields:
            generated = min(generated, request["max_tokens"])
        return Usage(self.count_prompt_tokens(request["messages"]), 0, generated)


_NOTHING = Usage(0, 0, 0)


def _texts(message: Message) -> list[str]:
    """All of a message that a model reads."""
    more: list[Any] = [*message.get("tools", ()), *message.get("tool_calls", ())]
    return [message["content"], *map(json.dumps, more)]


def _check(requests: Sequence[GenerationRequest]) -> None:
    for request in requests:
        if request["by_step"] or request["prefix"]:
            msg = (
                "a chat model writes whole answers: it can neither stop after a step "
                "nor continue one; ask with by_step=False and an empty prefix"
            )
            raise ValueError(msg)
        check_seeds(request)


def _generation(replies: Sequence[_Reply]) -> Generation:
    generation = Generation(
        samples=[reply.sample for reply in replies],
        prompt_tokens=sum(reply.usage.computed for reply in replies),
        cached_tokens=sum(reply.usage.cached for reply in replies),
        generated_tokens=sum(reply.usage.generated for reply in replies),
    )
    problems = [reply.problem for reply in replies if reply.problem]
    if problems:
        generation["problem"] = problems[0]
    return generation


def _sample(answer: Answer, parts: Sequence[str]) -> Sample:
    steps = [Step(text=text, token_ids=[], logprob=0.0) for text in parts if text]
    return Sample(steps=steps, finish_reason=answer.finish_reason)


_made: dict[int, tuple[weakref.ref[BaseChatModel], ChatModelPolicy]] = {}
_lock = threading.Lock()


def policy_of(model: BaseChatModel) -> ChatModelPolicy:
    """The policy of a chat model, the same one for the same object."""
    key = id(model)
    with _lock:
        if key not in _made:
            # The policy holds a copy, so it does not keep the model alive.
            gone = weakref.ref(model, lambda _ref: _made.pop(key, None))
            _made[key] = gone, ChatModelPolicy(model)
        return _made[key][1]
