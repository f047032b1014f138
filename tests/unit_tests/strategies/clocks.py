"""A clock that models turn, and models that turn it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from types import ModuleType, SimpleNamespace

import pytest

from langchain_tts.policies.base import Generation, GenerationRequest
from langchain_tts.rewards.base import ScoreRequest, Scores
from tests.unit_tests.fakes import Language, TreePolicy, TreePrm


def uses(module: ModuleType, other: ModuleType) -> bool:
    return getattr(module, other.__name__, None) is other


class Clock:
    """A clock that runs only when something takes time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Let the searches and the fakes read this clock."""
        fake = SimpleNamespace(monotonic=self.monotonic, sleep=self.sleep)
        for name, module in list(sys.modules.items()):
            ours = name.startswith(("langchain_tts.strategies", "tests.unit_tests"))
            if ours and module is not sys.modules[__name__] and uses(module, time):
                patch.setattr(module, "time", fake)


class ClockedPolicy(TreePolicy):
    """Takes time for each token of its longest sample, and keeps to the deadline."""

    def __init__(self, language: Language, clock: Clock, token_seconds: float) -> None:
        super().__init__(language)
        self.clock = clock
        self.token_seconds = token_seconds

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        in_time = [self._in_time(request) for request in requests]
        future = super().submit(in_time)
        longest = max(
            sum(len(step["token_ids"]) for step in sample["steps"])
            for generation in future.result()
            for sample in generation["samples"]
        )
        self.clock.sleep(longest * self.token_seconds)
        return future

    def _in_time(self, request: GenerationRequest) -> GenerationRequest:
        if request["deadline"] is None:
            return request
        tokens = int((request["deadline"] - self.clock.now) / self.token_seconds)
        return {**request, "max_tokens": max(0, min(request["max_tokens"], tokens))}


class ClockedPrm(TreePrm):
    """Takes the same time for every call."""

    def __init__(self, clock: Clock, call_seconds: float) -> None:
        super().__init__()
        self.clock = clock
        self.call_seconds = call_seconds

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        self.clock.sleep(self.call_seconds)
        return super().submit(requests)
