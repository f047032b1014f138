"""A PRM as a LangChain tool, for agents that want to check their own reasoning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field

from langchain_tts.rewards.base import ScoreRequest
from langchain_tts.search.state import Message

if TYPE_CHECKING:
    from langchain_tts.rewards.base import RewardModel


class StepsToScore(BaseModel):
    """What the tool takes."""

    question: str = Field(description="The question that is being solved.")
    steps: list[str] = Field(
        description="The steps of the solution so far, in order.", min_length=1
    )


def scoring_tool(prm: RewardModel) -> StructuredTool:
    """Make a tool that scores each step of a solution.

    Args:
        prm: A verifier that can score texts alone (without a policy's token ids).

    Returns:
        A tool of a question and its steps; it gives one score in [0, 1] a step: how
        likely the solution is right up to that step.
    """

    def request(question: str, steps: list[str]) -> list[ScoreRequest]:
        return [
            ScoreRequest(
                messages=[Message(role="user", content=question)],
                steps=steps,
                token_ids=[],
                logprobs=[],
                new=len(steps),
            )
        ]

    def score(question: str, steps: list[str]) -> list[float]:
        return prm.invoke(request(question, steps))[0]["scores"]

    async def ascore(question: str, steps: list[str]) -> list[float]:
        return (await prm.ainvoke(request(question, steps)))[0]["scores"]

    return StructuredTool.from_function(
        score,
        coroutine=ascore,
        name="score_steps",
        description=(
            "Score each step of a solution between 0 and 1: how likely the solution "
            "is right up to and including that step. A sudden drop marks the step "
            "that is probably wrong."
        ),
        args_schema=StepsToScore,
    )
