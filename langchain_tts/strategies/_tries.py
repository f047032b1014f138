"""Tries: calls of a policy or a verifier that may fail, or never end.

Who tries again: an engine or a client retries what it can tell to be a passing problem
(a refused connection, a busy server), quickly and with waits of its own. A search tries
what is still missing then once more, or `max_retries` times, and does without it after
that. It keeps the time:
a call that has not ended when the search must is given up, whatever its engine does.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from langchain_tts.budget import Ledger, Spent, add_spent
from langchain_tts.policies.base import Generation, GenerationRequest, Policy, Sample
from langchain_tts.rewards.base import RewardModel, ScoreRequest, Scores
from langchain_tts.strategies._calls import Call, Effect, Wait
from langchain_tts.strategies._setting import Setting

FIRST_WAIT = 1.0
"""Seconds before a failed call is tried again, and twice as long before each further
try. Engines have tried by then."""

LONGEST_WAIT = 30.0

OVERTIME = 0.1
"""Share of a time limit after which a call that has not ended is given up. An engine
that keeps to its deadline has handed over what it has by then."""

LATE = "it did not answer in the time that was left, and was given up"
"""The problem of a call that has not ended when the search must."""

_NOT_RETRIED = (ValueError, TypeError, CancelledError)
"""Wrong input stays wrong, and a cancelled call is not wanted any more."""


@dataclass(frozen=True)
class Generated:
    """What a policy call gave.

    Args:
        samples: Each usable sample by its seed.
        spent: What the tries cost.
        problem: What went wrong last, if anything did.
    """

    samples: Mapping[int, Sample]
    spent: Spent
    problem: Exception | str | None

    @property
    def lost(self) -> bool:
        """Whether the policy is not to be asked again: every try ended in an error."""
        return not self.samples and isinstance(self.problem, Exception)


def generate(
    requests: Sequence[GenerationRequest], setting: Setting, spent: Spent
) -> Generator[Effect, Any, Generated]:
    """Call the policy; what failed is tried again, alone, as far as the budget allows.

    Args:
        requests: One request a prefix; all seeds differ.
        setting: The search's models and budget.
        spent: What the search has used before.

    Returns:
        The samples by seed; a seed that failed in all tries is missing.
    """
    samples: dict[int, Sample] = {}
    cost = Spent()
    problem: Exception | str | None = None
    pending = list(requests)
    until = _until(setting, spent)
    for wait in _waits(setting):
        try:
            generations = yield Call(setting.policy, pending, until)
        except _NOT_RETRIED:
            raise
        except Exception as error:  # noqa: BLE001 (whatever an engine raises)
            problem = LATE if _is_late(until) else error
        else:
            told = (one["problem"] for one in generations if one.get("problem"))
            problem = next(told, "the engine returned no usable sample")
            samples |= _by_seed(pending, generations)
            cost = add_spent(cost, _policy_cost(generations, setting.policy))
        pending = _missing(pending, samples)
        if not pending:
            break
        left = setting.ledger(add_spent(spent, cost))
        if wait is None or not _affordable(pending, setting, left, wait):
            break
        yield Wait(wait)
    return Generated(samples, cost, problem if pending else None)


def _waits(setting: Setting) -> Iterator[float | None]:
    """Seconds to wait after each try; None after the last one."""
    for tried in range(setting.context.max_retries):
        yield min(FIRST_WAIT * 2.0**tried, LONGEST_WAIT)
    yield None


def _until(setting: Setting, spent: Spent) -> float | None:
    """When a call that starts now is given up; None: never."""
    left = setting.ledger(spent).seconds_left()
    if left is None or setting.budget.seconds is None:
        return None
    return time.monotonic() + left + OVERTIME * setting.budget.seconds


def _is_late(until: float | None, wait: float = 0.0) -> bool:
    return until is not None and time.monotonic() + wait >= until


def _by_seed(
    requests: Sequence[GenerationRequest], generations: Sequence[Generation]
) -> dict[int, Sample]:
    """The usable samples; a generation that is too short lost its last ones."""
    return {
        seed: sample
        for request, generation in zip(requests, generations, strict=False)
        for seed, sample in zip(request["seeds"], generation["samples"], strict=False)
        if sample["finish_reason"] != "failed"
    }


def _missing(
    requests: Sequence[GenerationRequest], samples: Mapping[int, Sample]
) -> list[GenerationRequest]:
    """The requests again, with only those seeds that gave nothing."""
    missing: list[GenerationRequest] = []
    for request in requests:
        seeds = [seed for seed in request["seeds"] if seed not in samples]
        if seeds:
            missing.append({**request, "seeds": seeds, "n": len(seeds)})
    return missing


def _affordable(
    requests: Sequence[GenerationRequest],
    setting: Setting,
    ledger: Ledger,
    wait: float,
) -> bool:
    """Whether the budget allows the requests after a wait."""
    if _is_late(requests[0]["deadline"], wait):
        return False
    wanted = sum(request["n"] for request in requests)
    tokens = max(request["max_tokens"] for request in requests)
    prompt = sum(
        request["n"]
        * (
            setting.policy.count_prompt_tokens(request["messages"])
            + len(request["prefix"])
        )
        for request in requests
    )
    admission = ledger.admit(wanted, tokens, prompt)
    return admission == {"samples": wanted, "max_tokens": tokens}


def _policy_cost(generations: Sequence[Generation], policy: Policy) -> Spent:
    prompt = sum(generation["prompt_tokens"] for generation in generations)
    generated = sum(map(_generated, generations))
    return Spent(
        policy_calls=1,
        prompt_tokens=prompt,
        cached_tokens=sum(g["cached_tokens"] for g in generations),
        generated_tokens=generated,
        policy_flops=2.0 * policy.num_parameters * (prompt + generated),
    )


def _generated(generation: Generation) -> int:
    known = generation.get("generated_tokens", 0)
    return max(
        known,
        sum(
            len(step["token_ids"])
            for sample in generation["samples"]
            for step in sample["steps"]
        ),
    )


@dataclass(frozen=True)
class Scored:
    """What a verifier call gave.

    Args:
        scores: One answer a request; None if the verifier was lost.
        spent: What the call cost.
        problem: What went wrong last, if anything did.
    """

    scores: Sequence[Scores] | None
    spent: Spent
    problem: Exception | str | None


def verify(
    requests: Sequence[ScoreRequest], prm: RewardModel, setting: Setting, spent: Spent
) -> Generator[Effect, Any, Scored]:
    """Call the verifier, and again if that fails.

    Args:
        requests: What is to be scored.
        prm: The verifier.
        setting: The search's models and budget.
        spent: What the search has used before.
    """
    problem: Exception | str | None = None
    cost = Spent()
    until = _until(setting, spent)
    for wait in _waits(setting):
        try:
            scores: list[Scores] = yield Call(prm, requests, until)
        except _NOT_RETRIED:
            raise
        except Exception as error:  # noqa: BLE001 (whatever an engine raises)
            problem = LATE if _is_late(until) else error
        else:
            cost = add_spent(cost, _prm_cost(scores, prm))
            if _usable(requests, scores):
                return Scored(scores, cost, None)
            problem = "it did not return one score in [0, 1] for each new step"
        if wait is None or _is_late(until, wait):
            break
        yield Wait(wait)
    return Scored(None, cost, problem)


def _usable(requests: Sequence[ScoreRequest], answers: Sequence[Scores]) -> bool:
    return len(requests) == len(answers) and all(
        len(answer["scores"]) == request["new"]
        and all(0.0 <= score <= 1.0 for score in answer["scores"])
        for request, answer in zip(requests, answers, strict=True)
    )


def _prm_cost(scores: Sequence[Scores], prm: RewardModel) -> Spent:
    computed = sum(answer["computed_tokens"] for answer in scores)
    return Spent(
        prm_calls=1,
        prm_tokens=computed,
        prm_cached_tokens=sum(answer["cached_tokens"] for answer in scores),
        prm_flops=2.0 * prm.num_parameters * computed,
    )
