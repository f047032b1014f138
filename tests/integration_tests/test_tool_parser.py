"""vLLM's own parser reads what the tool policy writes, at once and as a stream."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from langchain_tts.search.state import ToolCall
from langchain_tts.search.turns import write_turn
from langchain_tts.tinymath import WEIGHTS
from langchain_tts.tinymath.calculator import CALCULATOR
from langchain_tts.tinymath.tokenizer import END

pytest.importorskip("vllm")

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser

EXPRESSIONS = ["12*7", "48-19"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(WEIGHTS / "tool-policy")


@pytest.fixture
def request_() -> ChatCompletionRequest:
    return ChatCompletionRequest(
        messages=[{"role": "user", "content": "?"}], tools=[CALCULATOR]
    )


def written(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Two calls in the tokens that training teaches."""
    calls = [
        ToolCall(name="calculator", arguments={"expression": expression})
        for expression in EXPRESSIONS
    ]
    ids: list[int] = tokenizer.encode(write_turn("", calls) + END)
    return ids


def test_the_parser_reads_parallel_calls(
    tokenizer: PreTrainedTokenizerFast, request_: ChatCompletionRequest
) -> None:
    text = tokenizer.decode(written(tokenizer), skip_special_tokens=True)
    read = Hermes2ProToolParser(tokenizer).extract_tool_calls(text, request_)
    assert read.tools_called
    assert not read.content
    assert [call.function.name for call in read.tool_calls] == ["calculator"] * 2
    assert [json.loads(call.function.arguments) for call in read.tool_calls] == [
        {"expression": expression} for expression in EXPRESSIONS
    ]


def test_the_parser_reads_calls_token_by_token(
    tokenizer: PreTrainedTokenizerFast, request_: ChatCompletionRequest
) -> None:
    parser = Hermes2ProToolParser(tokenizer)
    ids = written(tokenizer)[:-1]
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for end in range(1, len(ids) + 1):
        before, now = tokenizer.decode(ids[: end - 1]), tokenizer.decode(ids[:end])
        delta = parser.extract_tool_calls_streaming(
            before,
            now,
            now[len(before) :],
            ids[: end - 1],
            ids[:end],
            [ids[end - 1]],
            request_,
        )
        for call in delta.tool_calls if delta else []:
            if call.function.name:
                names[call.index] = call.function.name
            arguments.setdefault(call.index, "")
            arguments[call.index] += call.function.arguments or ""
    assert names == {0: "calculator", 1: "calculator"}
    assert [json.loads(arguments[i]) for i in range(2)] == [
        {"expression": expression} for expression in EXPRESSIONS
    ]
