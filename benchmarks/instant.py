"""Models that take next to no time, so that what is left is the search itself.

Every step is one of a few that are made beforehand, 20 tokens long; which one a sample
gets is read off its seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from langchain_tts.policies.base import (
    Generation,
    GenerationRequest,
    Policy,
    Sample,
    Step,
)
from langchain_tts.rewards.base import RewardModel, ScoreRequest, Scores
from langchain_tts.search.state import FinishReason, Message

QUESTION: list[Message] = [{"role": "user", "content": "What is 6 * 7?"}]
QUESTION_TOKENS = 12
STEP_TOKENS = 20
WAYS = 64
"""How many different steps there are: few siblings are equal."""


def _step(way: int, ending: str) -> Step:
    text = f"Step {way}: {way} + {way} = {2 * way}.{ending}"
    token_ids = [100 + way] * STEP_TOKENS
    return Step(text=text, token_ids=token_ids, logprob=-0.01 * way)


def _samples(ending: str, reason: FinishReason) -> list[Sample]:
    return [
        Sample(steps=[_step(way, ending.format(way % 5))], finish_reason=reason)
        for way in range(WAYS)
    ]


_STEPS = _samples("", "step")
_ANSWERS = _samples(r" So it is \boxed{{{}}}.", "stop")


class InstantPolicy(Policy):
    """Answers after `depth` steps.

    Args:
        depth: Steps of an answer; None: it never answers.
    """

    def __init__(self, depth: int | None) -> None:
        self.name = "instant"
        self.num_parameters = 1000
        self.context_window = 1_000_000
        self.depth = depth
        self.generated = 0

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        """Pick the steps."""
        future: Future[list[Generation]] = Future()
        future.set_result([self._generation(request) for request in requests])
        return future

    def _generation(self, request: GenerationRequest) -> Generation:
        depth = len(request["prefix"]) // STEP_TOKENS
        if request["by_step"]:
            known = _ANSWERS if depth + 1 == self.depth else _STEPS
            samples = [known[seed % WAYS] for seed in request["seeds"]]
        else:
            samples = [self._answer(seed, depth) for seed in request["seeds"]]
        prompt = QUESTION_TOKENS + len(request["prefix"])
        return Generation(samples=samples, prompt_tokens=prompt, cached_tokens=0)

    def _answer(self, seed: int, depth: int) -> Sample:
        if self.depth is None:
            msg = "an answer without an end cannot be sampled whole; give a depth"
            raise ValueError(msg)
        ways = [(seed >> (6 * place)) % WAYS for place in range(depth, self.depth)]
        steps = [_STEPS[way]["steps"][0] for way in ways[:-1]]
        steps += _ANSWERS[ways[-1]]["steps"]
        return Sample(steps=steps, finish_reason="stop")

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:  # noqa: ARG002
        """Tokens of the question."""
        return QUESTION_TOKENS

    def read_step(
        self,
        messages: Sequence[Message],  # noqa: ARG002
        prefix: Sequence[int],  # noqa: ARG002
        text: str,
        *,
        ends: bool,  # noqa: ARG002
    ) -> Step:
        """Read any step as one of the usual length."""
        return Step(text=text, token_ids=[99] * STEP_TOKENS, logprob=-1.0)


class InstantPrm(RewardModel):
    """Scores a step by its first and its last token and its length."""

    def __init__(self) -> None:
        self.name = "instant"
        self.num_parameters = 500

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        """Read off the scores."""
        future: Future[list[Scores]] = Future()
        future.set_result([_scores(request) for request in requests])
        return future


def _scores(request: ScoreRequest) -> Scores:
    new = request["token_ids"][-request["new"] :]
    return Scores(
        scores=[(token_ids[0] * 37 % 101) / 100 for token_ids in new],
        computed_tokens=STEP_TOKENS * len(new),
        cached_tokens=0,
        dropped_steps=0,
    )
