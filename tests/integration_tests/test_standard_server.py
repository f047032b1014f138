"""LangChain's own tests of chat models, on a real vLLM server.

The model has learned the answers by heart (`tool_model`). Its calls go through the
server's parser, the policy and the vote before a test sees them.

Skipped is what needs images, audio or documents, and what needs HTTP to be recorded.
"""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_tts import TTSChatModel


class TestOnAServer(ChatModelIntegrationTests):
    url: str

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _server(cls, tool_server: str) -> None:
        cls.url = tool_server

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return TTSChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "policy": self.url,
            "prm": None,
            "strategy": "majority_vote",
            "budget": 3,
            "seed": 1,
        }

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"temperature": 0.5, "max_tokens": 80, "timeout": 60, "stop": []}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        # Another name of the same model.
        return f"{self.url}?family=none"
