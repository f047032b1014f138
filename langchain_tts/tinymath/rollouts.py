"""On-policy data: the default policy's own samples, each step labelled exactly."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from rich.progress import track

from langchain_tts.policies.base import GenerationRequest
from langchain_tts.search.state import Message
from langchain_tts.tinymath.checker import first_wrong_step
from langchain_tts.tinymath.generator import problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from langchain_tts.policies.base import Policy, Sample
    from langchain_tts.tinymath.problem import Problem

TEMPERATURE = 0.8
"""The search's sampling temperature: a verifier is trained on what it will see."""

MAX_TOKENS = 200
"""Longer than any right solution."""

_GROUP = 128
"""Problems in one call of the policy."""


@dataclass(frozen=True)
class Rollout:
    """One sampled solution."""

    steps: list[str]
    token_ids: list[list[int]]
    logprobs: list[float]
    """Of each step under the policy at temperature 1."""
    complete: bool
    """Whether the policy ended the answer itself."""
    first_wrong: int | None
    """Index of the first wrong step; None if every step is right."""

    @property
    def right(self) -> bool:
        """Whether this is a complete and right solution."""
        return self.complete and self.first_wrong is None


def roll_out(
    policy: Policy, chosen: Iterable[Problem], n: int, temperature: float = TEMPERATURE
) -> Iterator[tuple[Problem, list[Rollout]]]:
    """Sample `n` solutions of each problem."""
    stream = iter(chosen)
    while group := list(islice(stream, _GROUP)):
        requests = [
            whole_answers(
                [Message(role="user", content=problem.question)], range(n), temperature
            )
            for problem in group
        ]
        generations = policy.submit(requests).result()
        for problem, generation in zip(group, generations, strict=True):
            yield problem, [_rollout(problem, s) for s in generation["samples"]]


def whole_answers(
    messages: list[Message], seeds: Sequence[int], temperature: float = TEMPERATURE
) -> GenerationRequest:
    """Ask for one whole answer a seed."""
    return GenerationRequest(
        messages=messages,
        prefix=[],
        n=len(seeds),
        seeds=list(seeds),
        by_step=False,
        max_tokens=MAX_TOKENS,
        temperature=temperature,
        deadline=None,
    )


def _rollout(problem: Problem, sample: Sample) -> Rollout:
    steps = [step["text"] for step in sample["steps"]]
    return Rollout(
        steps=steps,
        token_ids=[step["token_ids"] for step in sample["steps"]],
        logprobs=[step["logprob"] for step in sample["steps"]],
        complete=sample["finish_reason"] == "stop",
        first_wrong=first_wrong_step(problem, steps),
    )


def cached_rollouts(
    path: Path, policy: Policy, count: int, n: int, seed: int
) -> Iterator[tuple[Problem, list[Rollout]]]:
    """Samples of `count` training problems, kept in a file and resumed from it."""
    stream = list(islice(problems("train", seed), count))
    done = _complete_lines(path)
    for problem, line in zip(stream, done, strict=False):
        yield problem, [Rollout(**record) for record in json.loads(line)]
    fresh = roll_out(policy, stream[len(done) :], n)
    with path.open("a") as file:
        for problem, rollouts in track(
            fresh, "samples", total=len(stream) - len(done), disable=not stream
        ):
            file.write(json.dumps([vars(r) for r in rollouts]) + "\n")
            yield problem, rollouts


def _complete_lines(path: Path) -> list[str]:
    """The lines of a file, which loses what an interrupted write left half done."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        path.write_text("".join(lines))
    return lines
