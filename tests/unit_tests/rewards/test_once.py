from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from langchain_tts.rewards.base import RewardModel, ScoreRequest, Scores
from langchain_tts.rewards.once import ScoredOnce


class SlowPrm(RewardModel):
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.name = "slow"
        self.num_parameters = 1
        self.asked: list[tuple[Sequence[ScoreRequest], Future[list[Scores]]]] = []

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        future: Future[list[Scores]] = Future()
        self.asked.append((requests, future))
        return future

    def answer(self, place: int) -> None:
        requests, future = self.asked[place]
        future.set_result(
            [
                Scores(
                    scores=[len(request["steps"][-1]) / 10],
                    computed_tokens=5,
                    cached_tokens=2,
                    dropped_steps=0,
                )
                for request in requests
            ]
        )


def request(text: str) -> ScoreRequest:
    return ScoreRequest(
        messages=[], steps=[text], token_ids=[[1]], logprobs=[-1.0], new=1
    )


def test_what_is_under_way_is_not_asked_again_and_costs_the_first_asker() -> None:
    prm = SlowPrm()
    once = ScoredOnce(prm)
    first = once.submit([request("a"), request("bb")])
    second = once.submit([request("bb"), request("ccc")])
    assert [[r["steps"] for r in asked] for asked, _ in prm.asked] == [
        [["a"], ["bb"]],
        [["ccc"]],
    ]
    prm.answer(1)
    assert not second.done()
    prm.answer(0)
    assert [s["scores"] for s in first.result(1)] == [[0.1], [0.2]]
    assert [s["scores"] for s in second.result(1)] == [[0.2], [0.3]]
    assert [s["computed_tokens"] for s in first.result()] == [5, 5]
    assert [s["computed_tokens"] for s in second.result()] == [0, 5]
    assert [s["cached_tokens"] for s in second.result()] == [7, 2]
    assert once.submit([request("a")]).result(1)[0]["scores"] == [0.1]
    assert len(prm.asked) == once.calls == 2


def test_a_failure_reaches_all_who_wait_and_can_be_tried_again() -> None:
    prm = SlowPrm()
    once = ScoredOnce(prm)
    waiting = [once.submit([request("a")]), once.submit([request("a")])]
    prm.asked[0][1].set_exception(RuntimeError("out of memory"))
    for future in waiting:
        with pytest.raises(RuntimeError, match="out of memory"):
            future.result(1)
    again = once.submit([request("a")])
    prm.answer(1)
    assert again.result(1)[0]["scores"] == [0.1]
    assert once.calls == 1


def test_an_answer_that_is_too_short_is_a_failure() -> None:
    prm = SlowPrm()
    waiting = ScoredOnce(prm).submit([request("a")])
    prm.asked[0][1].set_result([])
    with pytest.raises(RuntimeError, match="did not answer every request"):
        waiting.result(1)


def test_whoever_waits_for_a_cancelled_search_is_told() -> None:
    prm = SlowPrm()
    once = ScoredOnce(prm)
    waiting = once.submit([request("a")])
    prm.asked[0][1].cancel()
    with pytest.raises(RuntimeError, match="cancelled"):
        waiting.result(1)
    assert not once.submit([request("a")]).done()
