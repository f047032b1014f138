"""A chat model that answers by a script, and records how it was called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field

Answer = AIMessage | Exception
Script = Callable[[list[BaseMessage], dict[str, Any]], Answer]


def said(
    content: str | list[Any], *, usage: tuple[int, int, int] | None = None, **more: Any
) -> AIMessage:
    """A message; `usage` is prompt tokens, those of them from a cache, and new ones."""
    message = AIMessage(content, **more)
    if usage is not None:
        prompt, cached, new = usage
        message.usage_metadata = UsageMetadata(
            input_tokens=prompt,
            output_tokens=new,
            total_tokens=prompt + new,
            input_token_details={"cache_read": cached},
        )
    return message


class Record:
    """What happened to a scripted model; shared by its copies."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[BaseMessage], dict[str, Any]]] = []
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.running = 0
        self.most = 0
        self.cancelled = 0
        self.bound: list[Any] = []
        self.chunks: list[Any] = []


class ScriptedChat(BaseChatModel):
    """Answers by a function of the messages and of the call's settings."""

    script: Script
    seconds: float = 0.0
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    model_name: str = "scripted"
    record: Record = Field(default_factory=Record)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise AssertionError

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        record = self.record
        record.calls.append((messages, kwargs))
        record.loops.append(asyncio.get_running_loop())
        record.running += 1
        record.most = max(record.most, record.running)
        try:
            await asyncio.sleep(self.seconds)
            answer = self.script(messages, kwargs)
        except asyncio.CancelledError:
            record.cancelled += 1
            raise
        finally:
            record.running -= 1
        if isinstance(answer, Exception):
            raise answer
        return ChatResult(generations=[ChatGeneration(message=answer)])

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        """Exists, so that LangChain would stream if it were told to."""
        for chunk in self.record.chunks:
            yield chunk
        raise AssertionError

    def bind_tools(
        self, tools: Sequence[Any], **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        self.record.bound.append((list(tools), kwargs))
        return self.bind(tools=list(tools))
