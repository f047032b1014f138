"""A policy that gives whole turns, a verifier that reads them, and two tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, cast

from langchain_tts.policies.base import (
    Generation,
    GenerationRequest,
    Policy,
    Sample,
    Step,
)
from langchain_tts.rewards.base import RewardModel, ScoreRequest, Scores
from langchain_tts.search.state import FinishReason, Message
from langchain_tts.search.turns import TurnRule
from tests.unit_tests.fakes import question_tokens


def tool(name: str, required: Sequence[str] = (), **kinds: Any) -> dict[str, Any]:
    """A tool in OpenAI's format; `x="integer"` is an argument of that type."""
    schema = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in kinds.items()},
        "required": list(required),
    }
    return {"type": "function", "function": {"name": name, "parameters": schema}}


ADD = tool("add", ["x"], x=["integer", "string", "boolean", "array"], y="number")
FIND = tool("find", ["city"], city="string", unit="string", note="string")
TOOLS = [ADD, FIND]


def rule(**changed: Any) -> TurnRule:
    """A rule for turns; by default anything may be said or called."""
    free = TurnRule(choice="auto", parallel=True, schema=None, vote="whole", ignored=[])
    return cast("TurnRule", {**free, **changed})


def asked(tools: Sequence[dict[str, Any]] = TOOLS) -> list[Message]:
    """A question with tools."""
    return [
        {"role": "system", "content": "", "tools": list(tools)},
        {"role": "user", "content": "What is 6 + 7, and how warm is it in Rome?"},
    ]


def raw(text: str) -> str:
    """A call, however it is written."""
    return f"<tool_call>\n{text}\n</tool_call>"


def call(name: str, /, **arguments: Any) -> str:
    """A turn that makes one call."""
    return raw(json.dumps({"name": name, "arguments": arguments}))


def calls(*turns: str, content: str = "") -> str:
    """A turn that makes the calls of several."""
    return "\n".join([content, *turns] if content else turns)


class TurnPolicy(Policy):
    """Gives turns in order: its i-th sample is the i-th turn, and so on from the first.

    Args:
        turns: The turns; None: the sample fails. A pair says how the sample ended.
    """

    takes_turns = True

    def __init__(self, *turns: str | tuple[str, FinishReason] | None) -> None:
        self.name = "turns"
        self.num_parameters = 100
        self.context_window = 1_000_000
        self.turns = turns
        self.calls: list[list[GenerationRequest]] = []
        self._places: dict[int, int] = {}

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        future: Future[list[Generation]] = Future()
        self.calls.append([*requests])
        future.set_result([self._generation(request) for request in requests])
        return future

    def _generation(self, request: GenerationRequest) -> Generation:
        assert "turn" in request
        assert not request["by_step"]
        assert not request["prefix"]
        samples = [self._sample(seed) for seed in request["seeds"]]
        prompt = question_tokens(request["messages"])
        return Generation(samples=samples, prompt_tokens=prompt, cached_tokens=0)

    def _sample(self, seed: int) -> Sample:
        # A failed sample is asked for again, with its seed.
        place = self._places.setdefault(seed, len(self._places))
        turn = self.turns[place % len(self.turns)]
        if turn is None:
            return Sample(steps=[], finish_reason="failed")
        reason: FinishReason = "stop"
        if isinstance(turn, str):
            text = turn
        else:
            text, reason = turn
        step = Step(text=text, token_ids=[1, 2, 3], logprob=-1.0)
        return Sample(steps=[step], finish_reason=reason)

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return question_tokens(messages)

    def read_step(
        self,
        messages: Sequence[Message],
        prefix: Sequence[int],
        text: str,
        *,
        ends: bool,
    ) -> Step:
        raise NotImplementedError


class TurnPrm(RewardModel):
    """Gives each turn the score that it is told.

    Args:
        scores: By the turn's text, or a function of it.
    """

    scores_turns = True

    def __init__(self, scores: Mapping[str, float] | Callable[[str], float]) -> None:
        self.name = "turn-prm"
        self.num_parameters = 50
        self.scores = scores
        self.read: list[str] = []

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        future: Future[list[Scores]] = Future()
        future.set_result([self._score(request) for request in requests])
        return future

    def _score(self, request: ScoreRequest) -> Scores:
        [text] = request["steps"]
        self.read.append(text)
        scores = self.scores
        score = scores(text) if callable(scores) else scores[text]
        return Scores(
            scores=[score], computed_tokens=1, cached_tokens=0, dropped_steps=0
        )
