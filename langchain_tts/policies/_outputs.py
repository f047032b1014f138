"""What vLLM answers, in process or as a server, read as samples."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from langchain_tts.policies.base import STEP_DELIMITER, Sample, Step

if TYPE_CHECKING:
    from langchain_tts.engines.steps import StepRule
    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.search.state import FinishReason

_SEED_BITS = 2**63 - 1


class Writing(Protocol):
    """Tokens that were generated for one seed."""

    @property
    def ids(self) -> list[int]:
        """Token ids, the end-of-answer token included."""

    @property
    def logprobs(self) -> list[float]:
        """One a token, at temperature 1."""

    @property
    def finish_reason(self) -> FinishReason:
        """Why there are no more."""


@dataclass(frozen=True, slots=True)
class Written:
    """Tokens that were generated for one seed.

    Args:
        ids: Token ids, the end-of-answer token included.
        logprobs: One a token, at temperature 1.
        finish_reason: Why there are no more.
    """

    ids: list[int]
    logprobs: list[float]
    finish_reason: FinishReason


class Run(NamedTuple):
    """Consecutive seeds: one request with `n` samples."""

    seed: int
    """The first of them; the i-th sample has the seed `seed + i`."""
    n: int


def seed_runs(seeds: Sequence[int], *, greedy: bool = False) -> list[Run]:
    """Cut seeds into runs of consecutive ones, in their order.

    vLLM gives the i-th of the `n` samples of a request the request's seed + i, which is
    how the seeds of siblings are made. A retry or merged parents leave gaps.

    Args:
        seeds: One a sample.
        greedy: Whether the temperature is 0: vLLM then takes one sample a request.
    """
    runs: list[Run] = []
    for seed in seeds:
        if runs and not greedy and seed == runs[-1].seed + runs[-1].n:
            runs[-1] = Run(runs[-1].seed, runs[-1].n + 1)
        else:
            runs.append(Run(seed, 1))
    return runs


def next_seed(seed: int, tokens: int) -> int:
    """The seed to go on with after some tokens of a sample were generated.

    A request that goes on would otherwise draw the numbers that it has drawn before.

    Args:
        seed: The sample's.
        tokens: How many tokens it has.
    """
    digest = hashlib.blake2b(f"{seed} {tokens}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) & _SEED_BITS


def finish_reason(reason: str | None, stop: str | int | None) -> FinishReason:
    """Our reason for the end of a sample, from the two that vLLM gives.

    Args:
        reason: Its `finish_reason`.
        stop: Its `stop_reason`: what was found of the texts and tokens that end a
            sample. None, or the id of a token, at the end of an answer.
    """
    if reason == "stop":
        return "step" if stop == STEP_DELIMITER else "stop"
    return "length" if reason == "length" else "failed"


def written(
    ids: Sequence[int], logprobs: Sequence[float], finish_reason: FinishReason
) -> Written:
    """Check what was generated: a sample that failed has no tokens.

    A model that overflows gives log-probabilities that are no numbers; what was drawn
    from them means nothing.
    """
    whole = len(ids) == len(logprobs) and math.isfinite(sum(logprobs))
    if finish_reason == "failed" or not whole:
        return Written([], [], "failed")
    return Written(list(ids), list(logprobs), finish_reason)


def joined(first: Writing, more: Writing) -> Written:
    """A sample and what was generated when it went on."""
    if more.finish_reason == "failed":
        return Written([], [], "failed")
    return Written(
        [*first.ids, *more.ids],
        [*first.logprobs, *more.logprobs],
        more.finish_reason,
    )


def is_blank_step(rule: StepRule, sample: Writing) -> bool:
    """Whether a sample stopped at a delimiter with no text before it.

    A step has text, so blank tokens belong to the step after them: go on.
    """
    return sample.finish_reason == "step" and not rule.ends_step(sample.ids)


def read_samples(
    tokens: ModelTokenizer, requests: Sequence[tuple[bool, Sequence[Writing]]]
) -> list[list[Sample]]:
    """Samples with their texts, decoded in one go.

    Args:
        tokens: The model's tokenizer.
        requests: For each request whether it was `by_step`, and what was written.

    Returns:
        For each request its samples, in the given order.
    """
    split = [
        [_steps(tokens.rule, sample.ids, by_step=by_step) for sample in samples]
        for by_step, samples in requests
    ]
    texts = iter(
        tokens.step_texts([ids for one in split for steps in one for ids in steps])
    )
    return [
        [
            Sample(
                steps=list(_read_steps(steps, sample.logprobs, texts)),
                finish_reason=sample.finish_reason,
            )
            for sample, steps in zip(samples, one, strict=True)
        ]
        for (_, samples), one in zip(requests, split, strict=True)
    ]


def _steps(rule: StepRule, ids: list[int], *, by_step: bool) -> list[list[int]]:
    if by_step:
        return [ids] if ids else []
    return rule.split(ids)


def _read_steps(
    steps: list[list[int]], logprobs: Sequence[float], texts: Iterator[str]
) -> Iterator[Step]:
    """Steps with their texts, and their log-probabilities summed."""
    start = 0
    for ids in steps:
        stop = start + len(ids)
        logprob = sum(logprobs[start:stop])
        yield Step(text=next(texts), token_ids=ids, logprob=logprob)
        start = stop
