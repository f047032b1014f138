"""Models that keep what they are asked, and add up how long they work."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from benchmarks.graph_overhead import Watch, WatchedPolicy, WatchedPrm
from langchain_tts.policies.base import Generation, GenerationRequest, Policy
from langchain_tts.rewards.base import RewardModel, ScoreRequest, Scores


class RecordedPolicy(WatchedPolicy):
    """A policy that keeps its calls."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy, Watch())
        self.calls: list[list[GenerationRequest]] = []

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        """Generate."""
        self.calls.append(list(requests))
        return super().submit(requests)


class RecordedPrm(WatchedPrm):
    """A verifier that keeps its calls."""

    def __init__(self, prm: RewardModel) -> None:
        super().__init__(prm, Watch())
        self.calls: list[list[ScoreRequest]] = []

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        """Score."""
        self.calls.append(list(requests))
        return super().submit(requests)
