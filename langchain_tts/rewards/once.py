"""A verifier that several searches share, and that is asked each thing once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial

from langchain_tts.rewards.base import RewardModel, ScoreRequest, Scores

_Key = tuple[tuple[str, ...], int]


class ScoredOnce(RewardModel):
    """Hands equal requests to a verifier only once, also while the first is under way.

    All requests are about one question. Only the first asker is charged.

    Args:
        prm: The verifier.
        known: The score of each prefix that was scored before.
    """

    def __init__(
        self, prm: RewardModel, known: Mapping[tuple[str, ...], float] | None = None
    ) -> None:
        """Know what was scored before."""
        self.prm = prm
        self.name = prm.name
        self.num_parameters = prm.num_parameters
        self.calls = 0
        """Calls that the verifier answered."""
        self._answers = {
            (steps, 1): _answered(score) for steps, score in (known or {}).items()
        }
        self._lock = threading.Lock()

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        """Start scoring what nobody has asked for; wait for what somebody has."""
        keys = [(tuple(request["steps"]), request["new"]) for request in requests]
        with self._lock:
            new = {
                key: request
                for key, request in zip(keys, requests, strict=True)
                if key not in self._answers
            }
            self._answers |= {key: Future() for key in new}
            wanted = [self._answers[key] for key in keys]
        answers = _all(wanted, own=[key in new for key in keys])
        if new:
            asked = self.prm.submit(list(new.values()))
            asked.add_done_callback(partial(self._deliver, list(new)))
            # Who waits for it besides the asker will ask again.
            answers.add_done_callback(lambda done: done.cancelled() and asked.cancel())
        return answers

    def _deliver(self, keys: Sequence[_Key], asked: Future[list[Scores]]) -> None:
        with self._lock:
            waiting = [self._answers[key] for key in keys]
            problem = _problem(asked, len(keys))
            self.calls += problem is None
            if problem is not None:
                # Whoever tries again must not find this failure.
                for key in keys:
                    del self._answers[key]
        for place, future in enumerate(waiting):
            if problem is None:
                future.set_result(asked.result()[place])
            else:
                future.set_exception(problem)


def _answered(score: float) -> Future[Scores]:
    future: Future[Scores] = Future()
    future.set_result(
        Scores(scores=[score], computed_tokens=0, cached_tokens=0, dropped_steps=0)
    )
    return future


def _problem(asked: Future[list[Scores]], wanted: int) -> BaseException | None:
    if asked.cancelled():
        return RuntimeError("the search that asked first was cancelled")
    problem = asked.exception()
    if problem is None and len(asked.result()) != wanted:
        return RuntimeError("the verifier did not answer every request")
    return problem


def _all(wanted: Sequence[Future[Scores]], own: Sequence[bool]) -> Future[list[Scores]]:
    """All answers as one; those that somebody else has asked for cost nothing."""
    together: Future[list[Scores]] = Future()
    lock = threading.Lock()
    open_ones = len(wanted)

    def settle(_done: Future[Scores]) -> None:
        nonlocal open_ones
        with lock:
            open_ones -= 1
            if open_ones or not together.set_running_or_notify_cancel():
                return
        problem = next((f.exception() for f in wanted if f.exception()), None)
        if problem is not None:
            together.set_exception(problem)
        else:
            together.set_result(
                [
                    future.result() if paid else _free(future.result())
                    for future, paid in zip(wanted, own, strict=True)
                ]
            )

    for future in wanted:
        future.add_done_callback(settle)
    return together


def _free(scores: Scores) -> Scores:
    tokens = scores["computed_tokens"] + scores["cached_tokens"]
    return {**scores, "computed_tokens": 0, "cached_tokens": tokens}
