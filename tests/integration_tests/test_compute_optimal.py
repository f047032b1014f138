"""Compute-optimal search with the embedded models: a few questions."""

from __future__ import annotations

from langchain_tts import TTSChatModel
from langchain_tts.budget import Budget
from langchain_tts.evaluation.datasets import load_dataset
from langchain_tts.search.state import Message
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve

QUESTIONS = load_dataset("tinymath", split="test", limit=6)


def test_every_question_gets_a_route_within_its_budget() -> None:
    for number, question in enumerate(QUESTIONS):
        result = solve(
            [Message(role="user", content=question.text)],
            strategy="compute_optimal",
            context=SearchContext(budget=Budget(8)),
            seed=number,
        )
        route = result["route"]
        assert result["answer"] is not None
        assert route["source"] == "calibration"
        assert 0 <= route["chance"] <= 1
        saved = route["saved"]["samples"]
        assert result["spent"]["samples"] + saved <= 8
        assert not saved or result["stop_reason"] in {"scored", "certain"}


async def test_a_chat_model_tells_its_route_and_streams_its_answer() -> None:
    model = TTSChatModel(
        strategy="compute_optimal", budget=8, seed=3, parameters={"adaptive": False}
    )
    answer = model.invoke(QUESTIONS[0].text)
    search = answer.response_metadata["tts"]
    assert search["strategy"] == "compute_optimal"
    assert search["route"]["saved"] == {"samples": 0}
    pieces = [piece async for piece in model.astream(QUESTIONS[0].text)]
    assert "".join(str(piece.content) for piece in pieces) == answer.content
