"""`TTSChatModel()` with the embedded models."""

from __future__ import annotations

import asyncio

from langchain_core.language_models import LanguageModelInput
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_tts import TTSChatModel

QUESTION = "What is 12*7+5?"


def test_without_arguments_it_searches_with_the_embedded_models() -> None:
    message = TTSChatModel().invoke(QUESTION)
    search = message.response_metadata["tts"]
    assert r"\boxed{89}" in message.text
    assert search["answer"] == "89"
    assert search["strategy"] == "beam_search"
    assert search["budget"]["samples"] == 16
    assert message.usage_metadata is not None
    assert (
        message.usage_metadata["output_tokens"] == search["spent"]["generated_tokens"]
    )


def test_it_works_in_a_chain_sync_async_and_streamed() -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "What is {sum}?")])
    chain = prompt | TTSChatModel(seed=0) | StrOutputParser()
    value = {"sum": "12*7+5"}
    text = chain.invoke(value)
    assert r"\boxed{89}" in text
    assert asyncio.run(chain.ainvoke(value)) == text
    assert "".join(chain.stream(value)) == text


def test_searches_at_once_give_what_they_give_alone() -> None:
    model = TTSChatModel(seed=3, budget=8)
    questions: list[LanguageModelInput] = [
        f"What is {a}+{b}*2?" for a in range(10, 14) for b in range(3, 7)
    ]
    alone = [model.invoke(question).text for question in questions]
    assert [message.text for message in model.batch(questions)] == alone

    async def together() -> list[str]:
        messages = await asyncio.gather(*map(model.ainvoke, questions))
        return [message.text for message in messages]

    assert asyncio.run(together()) == alone
