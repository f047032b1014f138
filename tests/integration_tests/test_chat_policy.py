"""A LangChain chat model of a real server as a policy."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
    UsageMetadataCallbackHandler,
)
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from langchain_tts import TTSChatModel
from langchain_tts.strategies._calls import PolicyFailedError


class ServedChat(BaseChatModel):
    """The chat endpoint of an OpenAI-compatible server, and little more."""

    url: str
    temperature: float = 1.0
    max_tokens: int | None = None
    seed: int | None = None
    model_name: str = "tinymath"
    used: list[UsageMetadata] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "served"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        body = {
            "model": self.model_name,
            "messages": convert_to_openai_messages(messages),
            **kwargs,
        }
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(f"{self.url}/chat/completions", json=body)
        answer.raise_for_status()
        data = answer.json()
        usage = UsageMetadata(
            input_tokens=data["usage"]["prompt_tokens"],
            output_tokens=data["usage"]["completion_tokens"],
            total_tokens=data["usage"]["total_tokens"],
        )
        self.used.append(usage)
        choice = data["choices"][0]
        message = AIMessage(
            choice["message"]["content"],
            usage_metadata=usage,
            response_metadata={
                "finish_reason": choice["finish_reason"],
                "model_name": self.model_name,
            },
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


async def test_best_of_n_on_a_chat_model_with_a_prm_of_its_texts(
    policy_server: str,
) -> None:
    for is_async in (False, True):
        served = ServedChat(url=policy_server)
        model = TTSChatModel(
            policy=served,
            prm="tinymath-tag",
            strategy="best_of_n",
            budget=8,
            seed=1,
            max_tokens=60,
        )
        usage = UsageMetadataCallbackHandler()
        question, config = "What is 12*7+5?", {"callbacks": [usage]}
        if is_async:
            message = await model.ainvoke(question, config)  # type: ignore[arg-type]
        else:
            message = model.invoke(question, config)  # type: ignore[arg-type]
        assert r"Answer: \boxed{" in str(message.content)
        assert 0 < message.response_metadata["score"] < 1
        told = message.response_metadata["tts"]
        assert told["degradations"] == []
        assert sum(row["count"] for row in told["votes"]) > 1
        assert len(served.used) == 8
        written = sum(one["output_tokens"] for one in served.used)
        assert told["spent"]["generated_tokens"] == written
        assert usage.usage_metadata["tinymath"]["output_tokens"] == written


def test_what_the_server_says_is_told(policy_server: str) -> None:
    served = ServedChat(url=policy_server, model_name="other")
    model = TTSChatModel(policy=served, strategy="greedy")
    with pytest.raises(PolicyFailedError, match="404"):
        model.invoke("What is 1+1?")
