"""A policy over a small tree language, and a verifier, with ways to make them fail.

The language says for every prefix (the texts of the steps so far) how an answer may go
on and how likely. A sample's step is drawn with its own seed, so it does not depend on
its batch; the tests enumerate the same tree by brute force.
"""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from langchain_tts.policies.base import (
    Generation,
    GenerationRequest,
    Policy,
    Sample,
    Step,
)
from langchain_tts.rewards.base import RewardModel, ScoreRequest, Scores
from langchain_tts.search.state import FinishReason, Message

STEP_END = 10
ANSWER_END = 0

Prefix = tuple[str, ...]


class Continuation(NamedTuple):
    """One way in which an answer may go on."""

    text: str
    probability: float
    ends: bool = False
    """Whether the answer is complete with this step."""


Language = Callable[[Prefix], Sequence[Continuation]]

QUESTION: list[Message] = [{"role": "user", "content": "What is 6 * 7?"}]


def question_tokens(messages: Sequence[Message]) -> int:
    return sum(len(message["content"]) for message in messages)


def random_language(seed: int, depth: int = 4, branching: int = 3) -> Language:
    """A tree whose branches end at random depths with one of three answers."""

    def language(prefix: Prefix) -> list[Continuation]:
        rng = random.Random(f"{seed}|{'|'.join(prefix)}")
        weights = [rng.random() + 0.05 for _ in range(branching)]
        found = []
        for index, weight in enumerate(weights):
            ends = len(prefix) + 1 >= depth or rng.random() < 0.25
            text = "abcdefgh"[index] * rng.randint(1, 6)
            if ends:
                text = rf"{text} \boxed{{{rng.randint(1, 3)}}}"
            found.append(Continuation(text, weight / sum(weights), ends))
        return found

    return language


class TreePolicy(Policy):
    """Samples from a tree language; one token a character, and one for the end.

    Args:
        language: How an answer may go on.
        context_window: Prompt and answer together.
        broken: Seeds whose samples are lost, every time.
        errors: What the calls raise, first call first; None: nothing.
        token_seconds: What a token takes of the clock that `deadline` is held against.
    """

    def __init__(
        self,
        language: Language,
        *,
        context_window: int = 10_000,
        broken: Callable[[int], bool] = lambda _seed: False,
        errors: Sequence[Exception | None] = (),
        call_seconds: float = 0.0,
    ) -> None:
        self.name = "tree"
        self.num_parameters = 100
        self.context_window = context_window
        self.language = language
        self.broken = broken
        self.errors = list(errors)
        self.call_seconds = call_seconds
        self.calls: list[list[GenerationRequest]] = []
        self.served: list[Sample] = []
        self.prompt_tokens = 0

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        future: Future[list[Generation]] = Future()
        self.calls.append([{**r, "seeds": list(r["seeds"])} for r in requests])
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            future.set_exception(error)
            return future
        if self.call_seconds:
            time.sleep(self.call_seconds)
        future.set_result([self._generation(request) for request in requests])
        return future

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
        known = {c.text: c.probability for c in self.language(decode(prefix))}
        return Step(
            text=text,
            token_ids=[*map(ord, text), ANSWER_END if ends else STEP_END],
            logprob=math.log(known.get(text, 1e-3)),
        )

    def _generation(self, request: GenerationRequest) -> Generation:
        prompt = question_tokens(request["messages"]) + len(request["prefix"])
        self.prompt_tokens += prompt
        samples = [self._sample(request, seed) for seed in request["seeds"]]
        self.served += samples
        return Generation(samples=samples, prompt_tokens=prompt, cached_tokens=0)

    def _sample(self, request: GenerationRequest, seed: int) -> Sample:
        if self.broken(seed):
            return Sample(steps=[], finish_reason="failed")
        rng = random.Random(seed)
        prefix = decode(request["prefix"])
        steps: list[Step] = []
        left = request["max_tokens"]
        reason: FinishReason = "step"
        while reason == "step":
            step, reason = draw(
                self.language(prefix), rng, left, request["temperature"]
            )
            steps.append(step)
            prefix = (*prefix, step["text"])
            left -= len(step["token_ids"])
            if request["deadline"] is not None:
                late = time.monotonic() >= request["deadline"]
                reason = "length" if late else reason
            if request["by_step"]:
                break
        return Sample(steps=steps, finish_reason=reason)


def decode(token_ids: Sequence[int]) -> Prefix:
    """The texts of the steps that token ids spell."""
    text = "".join(chr(token) for token in token_ids)
    return tuple(text.split(chr(STEP_END))[:-1])


def draw(
    continuations: Sequence[Continuation],
    rng: random.Random,
    max_tokens: int,
    temperature: float,
) -> tuple[Step, FinishReason]:
    """Draw one step; at temperature 0 the most likely one."""
    if temperature == 0:
        chosen = max(continuations, key=lambda c: c.probability)
    else:
        weights = [c.probability for c in continuations]
        chosen = rng.choices(list(continuations), weights)[0]
    end = ANSWER_END if chosen.ends else STEP_END
    token_ids = [*map(ord, chosen.text), end]
    logprob = math.log(chosen.probability)
    if len(token_ids) > max_tokens:
        cut = Step(
            text=chosen.text[:max_tokens],
            token_ids=token_ids[:max_tokens],
            logprob=logprob,
        )
        return cut, "length"
    step = Step(text=chosen.text, token_ids=token_ids, logprob=logprob)
    return step, "stop" if chosen.ends else "step"


def hash_score(prefix: Prefix) -> float:
    """A score in [0, 1] of a prefix, as if drawn at random."""
    digest = hashlib.sha256("\n".join(prefix).encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32


class TreePrm(RewardModel):
    """Scores prefixes with a function, and reads the whole prefix each time.

    Args:
        score: The score of a prefix.
        errors: What the calls raise, first call first; None: nothing.
    """

    def __init__(
        self,
        score: Callable[[Prefix], float] = hash_score,
        *,
        errors: Sequence[Exception | None] = (),
    ) -> None:
        self.name = "tree-prm"
        self.num_parameters = 50
        self.score = score
        self.errors = list(errors)
        self.calls: list[list[ScoreRequest]] = []
        self.scored: list[Prefix] = []
        self.tokens = 0

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        future: Future[list[Scores]] = Future()
        self.calls.append(list(requests))
        error = self.errors.pop(0) if self.errors else None
        if error is None:
            future.set_result([self._scores(request) for request in requests])
        else:
            future.set_exception(error)
        return future

    def _scores(self, request: ScoreRequest) -> Scores:
        steps = tuple(request["steps"])
        total = len(steps)
        prefixes = [steps[:end] for end in range(total - request["new"] + 1, total + 1)]
        self.scored += prefixes
        tokens = question_tokens(request["messages"])
        tokens += sum(len(ids) for ids in request["token_ids"])
        self.tokens += tokens
        return Scores(
            scores=[self.score(prefix) for prefix in prefixes],
            computed_tokens=tokens,
            cached_tokens=0,
            dropped_steps=0,
        )
