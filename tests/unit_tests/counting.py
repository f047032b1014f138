"""A policy that counts to its answer, and a PRM that knows the right one."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from langchain_tts import TTSChatModel
from langchain_tts.policies.base import (
    Generation,
    GenerationRequest,
    Policy,
    Sample,
    Step,
)
from langchain_tts.rewards.base import RewardModel, ScoreRequest, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.search.state import Message

STEP_END = 0
"""The token that ends a step."""


class CountingPolicy(Policy):
    """Writes `step 1`, `step 2` ..., and answers 42, or 41 for every third seed.

    Args:
        steps: Steps of a whole answer, the answer's own included.
        name: As a real policy's.
    """

    def __init__(self, steps: int = 3, name: str | None = "counting") -> None:
        self.steps = steps
        self.name = name
        self.num_parameters = 1000
        self.context_window = 4096
        self.requests: list[GenerationRequest] = []

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        self.requests += requests
        future: Future[list[Generation]] = Future()
        future.set_result([self._generation(request) for request in requests])
        return future

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message["content"].split()) for message in messages)

    def read_step(
        self,
        messages: Sequence[Message],
        prefix: Sequence[int],
        text: str,
        *,
        ends: bool,
    ) -> Step:
        return Step(text=text, token_ids=[5, STEP_END], logprob=-0.5)

    def _generation(self, request: GenerationRequest) -> Generation:
        depth = request["prefix"].count(STEP_END)
        prompt = self.count_prompt_tokens(request["messages"]) + len(request["prefix"])
        last = depth + 1 if request["by_step"] else self.steps
        samples = [
            Sample(
                steps=[self._step(place, seed) for place in range(depth, last)],
                finish_reason="stop" if last == self.steps else "step",
            )
            for seed in request["seeds"]
        ]
        return Generation(samples=samples, prompt_tokens=prompt, cached_tokens=0)

    def _step(self, place: int, seed: int) -> Step:
        text = f"step {place + 1}"
        if place + 1 == self.steps:
            text = rf"Answer: \boxed{{{41 if seed % 3 == 0 else 42}}}"
        return Step(text=text, token_ids=[5, STEP_END], logprob=-0.5)


class KnowingPrm(RewardModel):
    """Scores 0.9, and a wrong answer 0.1."""

    def __init__(self, name: str | None = "knowing") -> None:
        self.name = name
        self.num_parameters = 500
        self.calls = 0

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        self.calls += 1
        future: Future[list[Scores]] = Future()
        future.set_result([self._scores(request) for request in requests])
        return future

    def _scores(self, request: ScoreRequest) -> Scores:
        new = request["steps"][-request["new"] :]
        return Scores(
            scores=[0.1 if "41" in text else 0.9 for text in new],
            computed_tokens=2 * request["new"],
            cached_tokens=0,
            dropped_steps=0,
        )


def counting_model(**changes: Any) -> TTSChatModel:
    """A chat model of these two, with a seed."""
    settings: dict[str, Any] = {
        "policy": CountingPolicy(),
        "prm": KnowingPrm(),
        "budget": 8,
        "seed": 1,
    }
    return TTSChatModel(**{**settings, **changes})
