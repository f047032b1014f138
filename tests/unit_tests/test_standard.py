"""LangChain's own tests of chat models that apply to one without tools."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_tts import TTSChatModel
from tests.unit_tests.counting import CountingPolicy, KnowingPrm


class TestTTSChatModel(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return TTSChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"policy": CountingPolicy(), "prm": KnowingPrm(), "budget": 4}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        # No key, no retries: the models run in this process.
        return {"temperature": 0, "max_tokens": 100, "stop": []}
