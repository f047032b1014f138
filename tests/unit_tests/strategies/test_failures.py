"""What a search does about engines that fail, stall, or never answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from langchain_tts.budget import Budget
from langchain_tts.policies.base import Generation, GenerationRequest
from langchain_tts.rewards.base import ScoreRequest, Scores
from langchain_tts.search.state import SearchResult
from langchain_tts.strategies import STRATEGIES, _tries
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies._proposal import sample_seed
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import asolve
from tests.unit_tests.fakes import (
    QUESTION,
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    random_language,
)
from tests.unit_tests.strategies.searching import search

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
SCORED = [name for name, entry in STRATEGIES.items() if entry.verifier != "none"]
GONE = [OSError("gone")] * 1000


class StalledPolicy(TreePolicy):
    """Answers some calls, and never the others, whatever their deadline."""

    def __init__(self, answered: int = 0) -> None:
        super().__init__(random_language(3))
        self.answered = answered
        self.waiting: list[Future[list[Generation]]] = []

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        future = super().submit(requests)
        if len(self.calls) > self.answered:
            future = Future()
            self.waiting.append(future)
        return future


class StalledPrm(TreePrm):
    """The same for a verifier."""

    def __init__(self, answered: int = 0) -> None:
        super().__init__()
        self.answered = answered
        self.waiting: list[Future[list[Scores]]] = []

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        future = super().submit(requests)
        if len(self.calls) > self.answered:
            future = Future()
            self.waiting.append(future)
        return future


def staggered(prefix: Prefix) -> list[Continuation]:
    """Every second step ends its answer."""
    if len(prefix) == 8:
        return [Continuation(r"\boxed{1}", 1.0, ends=True)]
    return [
        Continuation(f"step {len(prefix)}", 0.5),
        Continuation(rf"\boxed{{{len(prefix)}}}", 0.5, ends=True),
    ]


def test_a_call_is_tried_twice_by_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    policy = TreePolicy(random_language(2), errors=GONE)
    with pytest.raises(PolicyFailedError, match="OSError: gone"):
        search("best_of_n", policy, TreePrm())
    assert len(policy.calls) == 2
    prm = TreePrm(errors=GONE)
    result = search("best_of_n", TreePolicy(random_language(2)), prm)
    assert len(prm.calls) == 2
    assert result["degradations"] == [
        "the verifier was lost, decided by majority: OSError: gone"
    ]
    assert waits == [1.0, 1.0]


def test_a_search_may_be_told_to_try_more_often_or_never_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    for retries in (0, 6):
        waits.clear()
        policy = TreePolicy(random_language(2), errors=GONE)
        with pytest.raises(PolicyFailedError, match="OSError: gone"):
            search("best_of_n", policy, TreePrm(), max_retries=retries)
        assert len(policy.calls) == 1 + retries
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]


@every_strategy
def test_a_policy_that_is_lost_is_not_called_again(
    strategy: str,
) -> None:
    found = 0
    for answered in range(1, 12):
        errors = [None] * answered + GONE
        policy = TreePolicy(staggered, errors=errors)
        try:
            result = search(strategy, policy, TreePrm(), lockstep=True)
        except PolicyFailedError as error:
            assert "OSError: gone" in str(error)  # noqa: PT017 (may also not raise)
        else:
            assert result["candidates"]
            found += result["stop_reason"] == "policy"
        # Rollouts are another kind of call, which a round makes besides its proposals.
        extra = 2 if strategy == "lookahead" else 0
        assert len(policy.calls) <= answered + 2 + extra
    several = strategy in ("best_first", "levin", "mcts", "revision")
    assert found or not several


@pytest.mark.parametrize("mode", ["certain", "confident"])
def test_an_early_vote_whose_engine_always_raises_ends_at_once(mode: str) -> None:
    policy = TreePolicy(staggered, errors=GONE)
    with pytest.raises(PolicyFailedError, match="OSError: gone"):
        search("majority_vote", policy, budget=32, early_stop=mode)
    # One call and its retry, not those of each vote that might have settled it.
    assert len(policy.calls) == 2


class PartlyLostPolicy(TreePolicy):
    """Raises where one of some seeds is asked for."""

    def __init__(self, lost: set[int]) -> None:
        super().__init__(staggered)
        self.lost = lost

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        future = super().submit(requests)
        if any(self.lost & set(request["seeds"]) for request in requests):
            future = Future()
            future.set_exception(OSError("gone"))
        return future


def test_subtrees_make_up_for_one_that_was_lost() -> None:
    whole = search("dvts", TreePolicy(staggered), TreePrm(), budget=8, lockstep=False)
    policy = PartlyLostPolicy({sample_seed(7, place) for place in range(4, 8)})
    result = search("dvts", policy, TreePrm(), budget=8, lockstep=False)
    assert whole["stop_reason"] == result["stop_reason"] == "finished"
    assert result["answer"] is not None
    assert result["degradations"] == [
        "4 of 4 samples failed and were dropped: OSError: gone"
    ]


def test_subtrees_that_are_all_lost_before_an_answer_are_an_error() -> None:
    def endless(prefix: Prefix) -> list[Continuation]:
        return [Continuation(f"step {len(prefix)}", 1.0)]

    policy = TreePolicy(endless, errors=[None, None, *GONE])
    with pytest.raises(PolicyFailedError, match="before there was an answer"):
        search("dvts", policy, TreePrm(), budget=8, lockstep=False)


def run(
    strategy: str,
    policy: TreePolicy,
    prm: TreePrm,
    *,
    seconds: float,
    is_async: bool,
) -> tuple[SearchResult, float]:
    budget = Budget(samples=8, seconds=seconds)
    started = time.monotonic()
    if is_async:
        context = SearchContext(policy=policy, prm=prm, budget=budget, lockstep=False)
        work = asolve(QUESTION, strategy=strategy, context=context, seed=7)
        result = asyncio.run(work)
    else:
        result = search(strategy, policy, prm, budget=budget)
    return result, time.monotonic() - started


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("strategy", SCORED)
def test_a_verifier_that_never_answers_is_given_up_when_time_is_up(
    strategy: str, is_async: bool
) -> None:
    prm = StalledPrm()
    policy = TreePolicy(random_language(3))
    result, took = run(strategy, policy, prm, seconds=0.5, is_async=is_async)
    # A tenth more than the limit; the rest is for slow machines.
    assert 0.5 <= took < 20
    lost = [line for line in result["degradations"] if "verifier was lost" in line]
    assert len(lost) == 1
    assert "did not answer in the time that was left" in lost[0]
    assert prm.waiting
    assert all(future.cancelled() for future in prm.waiting)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_engine_that_ignores_its_deadline_is_given_up(is_async: bool) -> None:
    policy = StalledPolicy(answered=1)
    result, took = run("beam_search", policy, TreePrm(), seconds=0.5, is_async=is_async)
    assert 0.5 <= took < 20
    assert result["stop_reason"] == "seconds"
    assert result["text"]
    assert "did not answer in the time that was left" in result["degradations"][0]
    assert all(future.cancelled() for future in policy.waiting)


def test_an_engine_that_never_answers_at_all_is_an_error_that_says_so() -> None:
    policy = StalledPolicy()
    said = "did not answer in the time .*; give the search more than 0.3 seconds"
    with pytest.raises(PolicyFailedError, match=said):
        run("best_of_n", policy, TreePrm(), seconds=0.3, is_async=False)
    assert len(policy.calls) == 1
    assert policy.waiting[0].cancelled()


def test_no_try_is_begun_that_the_time_limit_does_not_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_tries, "FIRST_WAIT", 5.0)
    policy = TreePolicy(random_language(2), errors=GONE)
    started = time.monotonic()
    with pytest.raises(PolicyFailedError):
        search("best_of_n", policy, TreePrm(), budget=Budget(samples=4, seconds=2))
    prm = TreePrm(errors=GONE)
    policy = TreePolicy(random_language(2))
    search("best_of_n", policy, prm, budget=Budget(samples=4, seconds=2))
    assert len(prm.calls) == 1
    assert time.monotonic() - started < 4.5


def test_a_search_without_a_time_limit_waits_as_long_as_it_takes() -> None:
    prm = StalledPrm()
    policy = TreePolicy(random_language(3))
    found: list[SearchResult] = []
    thread = threading.Thread(
        target=lambda: found.append(search("best_of_n", policy, prm))
    )
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    prm.waiting[0].set_result(TreePrm().submit(prm.calls[0]).result())
    thread.join(5)
    assert found[0]["degradations"] == []


def test_interrupting_a_search_cancels_what_it_waits_for() -> None:
    class InterruptedFuture(Future[list[Scores]]):
        def result(self, timeout: float | None = None) -> list[Scores]:
            raise KeyboardInterrupt

    class Interrupted(TreePrm):
        def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
            return waiting

    waiting = InterruptedFuture()
    with pytest.raises(KeyboardInterrupt):
        search("best_of_n", TreePolicy(random_language(3)), Interrupted())
    assert waiting.cancelled()
