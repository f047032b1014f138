"""DVTS, against each subtree searched alone."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest

from langchain_tts.budget import Budget
from langchain_tts.policies.base import Generation, GenerationRequest
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies._proposal import sample_seed
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import stream_search
from langchain_tts.strategies.state import SearchState
from tests.unit_tests.fakes import (
    QUESTION,
    Continuation,
    Language,
    Prefix,
    TreePolicy,
    TreePrm,
    decode,
    draw,
    hash_score,
    random_language,
)
from tests.unit_tests.strategies.searching import children, search, texts


def oracle(seed: int, n: int, m: int) -> tuple[list[Prefix], int]:
    """Round by round over the subtrees, each with its own list of proposals."""
    language = random_language(seed, depth=5)
    count = n // m or 1
    sizes = [n // count + (i < n % count) for i in range(count)]
    subtrees: list[tuple[int, Prefix, int]] = [(seed, (), k) for k in sizes]
    finals: list[Prefix] = []
    born = 0
    while subtrees:
        going: list[tuple[int, Prefix, int]] = []
        for place, (drawn, prefix, width) in enumerate(subtrees):
            offset = 0 if prefix else sum(sizes[:place])
            best: tuple[float, float, int, Prefix, int] | None = None
            answers = []
            for i in range(width):
                child = sample_seed(drawn, offset + i)
                rng = random.Random(child)
                step, end = draw(language(prefix), rng, 999, 0.8)
                path = (*prefix, step["text"])
                merit = (hash_score(path), step["logprob"], -born, path, child)
                best = merit if best is None else max(best, merit)
                if end == "stop":
                    answers.append(path)
                born += 1
            finals += answers
            if best is not None and best[3] not in answers:
                going.append((best[4], best[3], width - len(answers)))
        subtrees = going
    return finals, born


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("n", "m"), [(1, 4), (3, 4), (4, 4), (8, 2), (10, 4), (16, 4), (7, 3), (4, 1)]
)
def test_finds_what_separate_greedy_searches_find(n: int, m: int, seed: int) -> None:
    policy = TreePolicy(random_language(seed, depth=5))
    result = search("dvts", policy, TreePrm(), budget=n, beam_width=m, seed=seed)
    ends = sorted(c["id"] for c in result["candidates"])
    found = [texts(result["tree"], i) for i in ends]
    assert (found, len(result["tree"])) == oracle(seed, n, m)
    assert len(found) <= n


def test_a_good_subtree_never_takes_places_from_another() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 3:
            return [Continuation(rf"\boxed{{{prefix[0]}}}", 1.0, ends=True)]
        return [Continuation(str(i), 0.25) for i in range(4)]

    policy, prm = TreePolicy(language), TreePrm()
    result = search("dvts", policy, prm, budget=16, beam_width=4)
    counts = children(result["tree"])
    assert counts.pop(None) == 16
    assert list(counts.values()) == [4] * 12
    survivors = {texts(result["tree"], c["id"])[0] for c in result["candidates"]}
    beam = search("beam_search", TreePolicy(language), TreePrm(), budget=16)
    kept = {texts(beam["tree"], c["id"])[0] for c in beam["candidates"]}
    assert len(survivors) >= len(kept)
    assert len(result["candidates"]) == 16
    assert [sum(r["n"] for r in call) for call in policy.calls] == [4] * 16


def in_lockstep(
    policy: TreePolicy,
    n: int,
    m: int,
    seed: int,
    score: Callable[[Prefix], float] = hash_score,
) -> SearchState:
    context = SearchContext(
        policy=policy, prm=TreePrm(score), budget=Budget(n), beam_width=m
    )
    *_, last = stream_search(QUESTION, strategy="dvts", context=context, seed=seed)
    return last


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("n", "m"), [(1, 4), (10, 4), (16, 4), (7, 3), (8, 1)])
def test_side_by_side_and_in_lockstep_are_one_tree(n: int, m: int, seed: int) -> None:
    policy = TreePolicy(random_language(seed, depth=6))
    free = search("dvts", policy, TreePrm(), budget=n, beam_width=m, seed=seed)
    together = in_lockstep(policy, n, m, seed)
    assert free["tree"] == together["tree"]
    assert free["candidates"] == together["result"]["candidates"]
    assert free["answer"] == together["result"]["answer"]
    assert free["spent"]["samples"] == together["spent"]["samples"]
    tokens = together["spent"]["generated_tokens"]
    assert free["spent"]["generated_tokens"] == tokens


def test_in_lockstep_every_round_is_one_batch() -> None:
    policy = TreePolicy(random_language(3, depth=6))
    rounds = in_lockstep(policy, 16, 4, seed=3)["round"]
    assert len(policy.calls) == rounds
    assert sum(request["n"] for request in policy.calls[0]) == 16


class UnevenPolicy(TreePolicy):
    """Answers whoever continues `slow` only after all others have come to their end."""

    def __init__(self, language: Language, others: int) -> None:
        super().__init__(language)
        self.others = others
        self.waiting: list[tuple[Future[list[Generation]], list[Generation]]] = []

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        done = super().submit(requests)
        prefixes = [decode(request["prefix"]) for request in requests]
        self.others -= sum(
            sample["finish_reason"] == "stop"
            for generation in done.result()
            for sample in generation["samples"]
        )
        if ("slow",) in prefixes:
            late: Future[list[Generation]] = Future()
            self.waiting.append((late, done.result()))
            done = late
        if self.others <= 0:
            for late, answer in self.waiting:
                threading.Timer(0.01, late.set_result, [answer]).start()
            self.waiting = []
        return done


def one_slow_subtree(prefix: Prefix) -> list[Continuation]:
    if len(prefix) == 4:
        return [Continuation(r"\boxed{1}", 1.0, ends=True)]
    return [
        Continuation("slow" if not prefix else "next", 0.3),
        Continuation("on", 0.7),
    ]


def test_no_subtree_waits_for_another() -> None:
    # Whoever waited for the slow subtree's second step would wait for ever: it comes
    # after all other subtrees have answered.
    def slow_is_best(prefix: Prefix) -> float:
        return 0.9 if prefix[0] == "slow" else 0.5

    whole = in_lockstep(TreePolicy(one_slow_subtree), 16, 4, 4, slow_is_best)
    ends = whole["result"]["candidates"]
    slow = [c for c in ends if texts(whole["tree"], c["id"])[0] == "slow"]
    assert 0 < len(slow) < 16
    policy = UnevenPolicy(one_slow_subtree, others=16 - len(slow))
    prm = TreePrm(slow_is_best)
    result = search("dvts", policy, prm, budget=16, beam_width=4, seed=4)
    assert result["tree"] == whole["tree"]


def test_what_subtrees_have_in_common_is_scored_once() -> None:
    for seed in range(10):
        policy, prm = TreePolicy(random_language(seed, branching=2)), TreePrm()
        result = search("dvts", policy, prm, budget=32, beam_width=4, seed=seed)
        assert len(prm.scored) == len(set(prm.scored))
        assert result["spent"]["prm_tokens"] == prm.tokens


async def test_side_by_side_works_inside_a_running_loop() -> None:
    policy = UnevenPolicy(random_language(2, depth=6), others=0)
    result = search("dvts", policy, TreePrm(), budget=16, seed=2)
    assert result["tree"] == in_lockstep(policy, 16, 4, seed=2)["tree"]


def test_a_lost_subtree_does_not_end_the_others() -> None:
    broken = {sample_seed(7, place) for place in range(4)}
    policy = TreePolicy(random_language(5, depth=4), broken=broken.__contains__)
    result = search("dvts", policy, TreePrm(), budget=16, beam_width=4, seed=7)
    assert [c["status"] for c in result["tree"][:4]] == ["failed"] * 4
    assert result["answer"] is not None
    assert result["degradations"] == [
        "4 of 4 samples failed and were dropped: the engine returned no usable sample"
    ]


def test_when_all_subtrees_are_lost_the_error_says_why() -> None:
    policy = TreePolicy(random_language(5), broken=lambda _seed: True)
    with pytest.raises(PolicyFailedError, match="no usable sample; check that"):
        search("dvts", policy, TreePrm(), budget=16)


def test_subtrees_that_share_a_ceiling_advance_together() -> None:
    policy = TreePolicy(random_language(3, depth=6))
    budget = Budget(16, tokens=100_000)
    search("dvts", policy, TreePrm(), budget=budget, beam_width=4, seed=3)
    assert sum(request["n"] for request in policy.calls[0]) == 16
