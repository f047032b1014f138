"""LangChain's own integration tests of chat models, with a scripted policy.

Skipped is what needs images, audio or documents: policies read text.
"""

from __future__ import annotations

from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_tts import TTSChatModel
from tests.unit_tests.scripted import ScriptedPolicy

Detail = Literal[
    "audio_input",
    "audio_output",
    "reasoning_output",
    "cache_read_input",
    "cache_creation_input",
]


# LangChain has one test use the benchmark only with a recording.
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")
class TestTTSChatModel(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return TTSChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"policy": ScriptedPolicy(), "prm": None, "strategy": "majority_vote"}

    @property
    def model_override_value(self) -> str:
        return "tinymath"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def enable_vcr_tests(self) -> bool:
        # There is nothing to record: no test reaches a network.
        return True

    @property
    def supported_usage_metadata_details(
        self,
    ) -> dict[Literal["invoke", "stream"], list[Detail]]:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model = TTSChatModel(budget=4, seed=1)
        question = "What is 12*7+5?"
        if not stream:
            return model.invoke(question)
        chunks = iter(model.stream(question))
        return sum(chunks, start=next(chunks))


class TestJsonSchema(TestTTSChatModel):
    """The same, where structured output is asked for by a schema of the answer."""

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "json_schema"}
