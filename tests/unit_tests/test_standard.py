"""LangChain's own unit tests of chat models.

One is skipped: `test_serdes` loads a saved model, and LangChain loads no classes but
those on its own list (`langchain_core.load.mapping`). A `TTSChatModel` is saved by
`pickle`.
"""

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
    def init_from_env_params(
        self,
    ) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        key = {"LANGCHAIN_TTS_API_KEY": "secret"}
        return key, self.chat_model_params, {"api_key": "secret"}
