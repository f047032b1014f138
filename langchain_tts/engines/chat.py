"""Calls of LangChain chat models that a search makes, apart from its caller's traces.

A search is one chat model run for whoever asked. The calls it makes inside are seen by
none of the caller's callbacks: their usage would be counted twice, and their answers
would be taken for the search's own.
"""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from langchain_core.language_models.chat_models import BaseChatModel, SimpleChatModel
from langchain_core.load import dumps
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.runnables import RunnableConfig

from langchain_tts.engines.loops import network
from langchain_tts.search.turns import call_id, said

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import Runnable

    from langchain_tts.search.state import Message

T = TypeVar("T")

MAX_CALLS = 64
"""Calls of one model in flight at once; a model's own `rate_limiter` acts as well."""

_CONFIG = RunnableConfig(callbacks=[], tags=["nostream"])
_THREADED = (BaseChatModel._agenerate, SimpleChatModel._agenerate)  # noqa: SLF001
"""What calls a model's blocking code in a thread of the loop, which has only few."""
_threads = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="langchain-tts-chat")
_process = uuid.uuid4().hex
_numbers = count()


class Usage(NamedTuple):
    """Tokens of one call, as the model reported them."""

    computed: int
    """Of the prompt, without those that came from the provider's cache."""
    cached: int
    generated: int


class ChatCalls:
    """Makes many calls of one chat model at a time.

    The model is used as a copy without LangChain's response cache, which would give all
    samples of a question the first one's answer, and without streaming.

    Async callers' calls run on their own event loop, as they would without a search, so
    that a client's connections stay with one loop. All others run on the loop of this
    package. There a client with open connections to another loop may lose one call to
    an error, which searches try again.

    Args:
        model: The chat model.
    """

    def __init__(self, model: BaseChatModel) -> None:
        """Copy the model."""
        self.name = model_name(model)
        self.model = model.model_copy(
            update={"cache": False, "disable_streaming": True}
        )
        self.identity = (
            dumps(model)
            if model.is_lc_serializable()
            else f"{self.name}:{_process}:{next(_numbers)}"
        )
        """What tells two models apart in a cache key."""
        self._native = type(model)._agenerate not in _THREADED  # noqa: SLF001
        self._places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]
        self._places = WeakKeyDictionary()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run calls on the loop of this package; cancelling ends them."""
        return Context().run(network().run, work)

    async def join(self, work: Coroutine[Any, Any, T]) -> T:
        """Run calls on the running loop."""
        return await asyncio.create_task(work, context=Context())

    async def ask(
        self,
        runnable: Runnable[Any, Any],
        messages: Sequence[BaseMessage],
        **settings: Any,
    ) -> Any:
        """One call; only inside of what `start` and `join` run.

        Args:
            runnable: The model, or what was made of it, e.g. for structured output.
            messages: The conversation.
            settings: Arguments of the call.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._places:
            self._places[loop] = asyncio.Semaphore(MAX_CALLS)
        async with self._places[loop]:
            if self._native:
                with _untraced():
                    return await runnable.ainvoke(list(messages), _CONFIG, **settings)

            def call() -> Any:
                with _untraced():
                    return runnable.invoke(list(messages), _CONFIG, **settings)

            return await loop.run_in_executor(_threads, Context().run, call)


def _untraced() -> Any:
    """LangSmith is told of a search's run, not of each call in it again."""
    # Slow to import, and of no use before the first call.
    from langsmith.run_helpers import tracing_context

    return tracing_context(enabled=False)


def model_name(model: BaseChatModel) -> str:
    """The name that a provider knows a model by, or the name of its class."""
    for attribute in ("model_name", "model", "model_id"):
        name = getattr(model, attribute, None)
        if isinstance(name, str) and name:
            return name
    return type(model).__name__


def to_langchain(messages: Sequence[Message]) -> list[BaseMessage]:
    """Plain messages as LangChain's.

    A tool's result that does not say which call it answers is shown as a user's
    message: providers take it as a tool's only with that call. A system message that
    only brings the tools is left out.
    """
    return [
        _to_langchain(message, place) for place, message in enumerate(said(messages))
    ]


def _to_langchain(message: Message, place: int) -> BaseMessage:
    content = message["content"]
    match message["role"]:
        case "system":
            return SystemMessage(content)
        case "assistant":
            return AIMessage(content, tool_calls=_calls(message, place))
        case "user":
            return HumanMessage(content)
        case "tool" if "tool_call_id" in message:
            return ToolMessage(content, tool_call_id=message["tool_call_id"])
        case "tool":
            return HumanMessage(f"The result of a tool:\n{content}")


def _calls(message: Message, place: int) -> list[ToolCall]:
    """The calls that a message makes; providers want each to have an id."""
    return [
        ToolCall(
            name=call["name"],
            args=call["arguments"],
            id=call_id(call, place, number),
        )
        for number, call in enumerate(message.get("tool_calls", ()))
    ]


def usage_of(message: AIMessage) -> Usage | None:
    """What a call used; None where the model does not say."""
    usage = message.usage_metadata
    if usage is None:
        return None
    cached = usage.get("input_token_details", {}).get("cache_read", 0) or 0
    cached = min(cached, usage["input_tokens"])
    return Usage(usage["input_tokens"] - cached, cached, usage["output_tokens"])
