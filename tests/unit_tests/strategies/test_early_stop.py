"""Majority vote that stops when the vote is settled, against the full vote."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from math import comb
from typing import cast

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langchain_tts.answers import answer_classes
from langchain_tts.budget import Budget
from langchain_tts.search.select import roots
from langchain_tts.search.state import SearchResult
from langchain_tts.strategies import get_strategy, majority_vote
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies._proposal import sample_seed
from langchain_tts.strategies.context import EarlyStop, SearchContext
from langchain_tts.strategies.run import asolve
from langchain_tts.strategies.state import SearchInput, SearchState
from tests.unit_tests.fakes import (
    QUESTION,
    Continuation,
    Language,
    Prefix,
    TreePolicy,
    random_language,
)
from tests.unit_tests.strategies.searching import search

SPELLINGS = {1: ["1", "1.0"], 2: ["2", r"\frac{4}{2}"], 3: ["3", "6/2"]}


def one_of(**shares: float) -> Language:
    """Answers of one step; `a` stands for 1, `b` for 2 and so on."""
    answers = {name: rf"\boxed{{{'_abcdefgh'.index(name)}}}" for name in shares}

    def language(_prefix: Prefix) -> list[Continuation]:
        return [
            Continuation(answers[name], share, ends=True)
            for name, share in shares.items()
        ]

    return language


def messy_language(seed: int) -> Language:
    """Equal answers in different spellings, answers without a box, and long ones."""
    plain = random_language(seed, depth=3)

    def language(prefix: Prefix) -> list[Continuation]:
        rng = random.Random(f"{seed} {prefix}")
        found = []
        for one in plain(prefix):
            text = one.text
            for number, spellings in SPELLINGS.items():
                box = rf"\boxed{{{number}}}"
                text = text.replace(box, rf"\boxed{{{rng.choice(spellings)}}}")
            if one.ends and rng.random() < 0.1:
                text = "nothing"
            found.append(Continuation(text, one.probability, one.ends))
        return found

    return language


def full_and_early(
    seed: int, mode: str, confidence: float = 0.95
) -> tuple[SearchResult, SearchResult]:
    """The same question with all N samples and with an early stop."""

    def run(early_stop: str) -> SearchResult:
        policy = TreePolicy(messy_language(seed), broken=lambda s: s % 13 == 0)
        return search(
            "majority_vote",
            policy,
            budget=2 + seed % 31,
            seed=seed,
            max_tokens=24,
            early_stop=early_stop,
            confidence=confidence,
        )

    return run("off"), run(mode)


def votes_in_order(result: SearchResult) -> list[int | None]:
    """For each sample of a run the class of its answer, in the order of sampling."""
    answers = {c["id"]: c["answer"] for c in result["candidates"]}
    tree = result["tree"]
    leaves = [c["id"] for c in tree if c["status"] != "active"]
    return answer_classes([answers.get(leaf) for leaf in leaves])


def most_frequent(votes: list[int | None]) -> list[tuple[int, int]]:
    counts = Counter(vote for vote in votes if vote is not None)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def first_certain(votes: list[int | None]) -> int:
    """After how many samples the rest could not change the winner, one by one.

    Classes are numbered by their first sample, so a rival with a smaller number, or
    none of the known ones, wins or loses a tie.
    """
    for n in range(1, len(votes)):
        ranked = most_frequent(votes[:n])
        if not ranked:
            continue
        (leader, most), left = ranked[0], len(votes) - n
        rivals = [*ranked[1:], (len(votes), 0)]
        if all((count + left, -r) < (most, -leader) for r, count in rivals):
            return n
    return len(votes)


def first_confident(votes: list[int | None], confidence: float) -> int:
    """After how many samples the Beta test passes, one by one, in exact fractions."""
    for n in range(1, len(votes)):
        ranked = [count for _, count in most_frequent(votes[:n])]
        first, second = [*ranked, 0, 0][:2]
        trials = first + second + 1
        upper = sum(comb(trials, k) for k in range(first + 1))
        if first and Fraction(upper, 2**trials) >= Fraction(confidence):
            return n
    return len(votes)


@pytest.mark.parametrize("seed", range(120))
def test_a_certain_vote_is_the_full_vote_and_stops_at_the_first_chance(
    seed: int,
) -> None:
    full, early = full_and_early(seed, "certain")
    assert early["answer"] == full["answer"]
    taken = first_certain(votes_in_order(full))
    assert len(votes_in_order(early)) == taken
    assert early["tree"] == full["tree"][: len(early["tree"])]
    stopped = taken < full["budget"]["samples"]  # type: ignore[operator]
    assert early["stop_reason"] == ("certain" if stopped else full["stop_reason"])


def test_most_random_votes_are_settled_early() -> None:
    # So that the test above is about something.
    saved = [
        first_certain(votes) < len(votes)
        for votes in (votes_in_order(full_and_early(s, "off")[0]) for s in range(60))
    ]
    assert sum(saved) > 30


@pytest.mark.parametrize("confidence", [0.7, 0.95])
@pytest.mark.parametrize("seed", range(60))
def test_a_confident_vote_stops_when_the_beta_test_passes_or_before(
    seed: int, confidence: float
) -> None:
    full, early = full_and_early(seed, "confident", confidence=confidence)
    votes = votes_in_order(full)
    certain, confident = first_certain(votes), first_confident(votes, confidence)
    assert len(votes_in_order(early)) == min(certain, confident)
    assert early["tree"] == full["tree"][: len(early["tree"])]
    if min(certain, confident) < len(votes):
        reason = "certain" if certain <= confident else "confident"
        assert early["stop_reason"] == reason


def test_four_equal_answers_are_enough_for_a_confidence_of_095() -> None:
    policy = TreePolicy(one_of(a=1.0))
    result = search("majority_vote", policy, budget=64, early_stop="confident")
    assert [[r["n"] for r in call] for call in policy.calls] == [[4]]
    assert result["stop_reason"] == "confident"
    assert result["spent"]["samples"] == 4
    assert result["votes"] == [{"answer": "1", "count": 4, "weight": 4.0}]


def test_half_of_the_samples_are_enough_where_all_agree() -> None:
    policy = TreePolicy(one_of(a=1.0))
    result = search("majority_vote", policy, budget=16, early_stop="certain")
    assert [[r["n"] for r in call] for call in policy.calls] == [[8]]
    assert (result["answer"], result["stop_reason"]) == ("1", "certain")


def test_each_call_asks_for_no_more_than_could_settle_the_vote() -> None:
    policy = TreePolicy(one_of(a=0.5, b=0.5))
    result = search("majority_vote", policy, budget=16, early_stop="certain", seed=3)
    votes = votes_in_order(result)
    asked = [call[0]["n"] for call in policy.calls]
    assert asked[0] == 8
    taken = 0
    for n, following in pairwise(asked):
        taken += n
        first, second = votes[:taken].count(0), votes[:taken].count(1)
        behind = 16 - taken - abs(first - second)
        # m more for the leader: leader + m >= rival + left - m where it was sampled
        # first, which is at least half of what it is behind; else more than half.
        assert following == (-(-behind // 2) if first >= second else behind // 2 + 1)
    assert sum(asked) == len(votes)


def test_cut_and_failed_samples_do_not_vote_for_anything() -> None:
    def language(_prefix: Prefix) -> list[Continuation]:
        return [
            Continuation(r"\boxed{1} and so on and on and on", 0.7, ends=True),
            Continuation(r"\boxed{2}", 0.3, ends=True),
        ]

    lost = {sample_seed(7, place) for place in (1, 4)}
    policy = TreePolicy(language, broken=lambda seed: seed in lost)
    full, early = (
        search("majority_vote", policy, budget=24, max_tokens=20, early_stop=mode)
        for mode in ("off", "certain")
    )
    assert early["answer"] == full["answer"] == "2"
    votes = votes_in_order(full)
    assert votes.count(None) > 12
    assert len(votes_in_order(early)) == first_certain(votes)


def test_a_call_that_is_lost_is_not_the_end_of_the_vote() -> None:
    lost = {sample_seed(7, place) for place in range(4)}
    policy = TreePolicy(one_of(a=1.0), broken=lambda seed: seed in lost)
    result = search("majority_vote", policy, budget=32, early_stop="confident")
    assert (result["answer"], result["stop_reason"]) == ("1", "confident")
    assert len(result["candidates"]) == 4
    assert result["degradations"] == [
        "4 of 4 samples failed and were dropped: the engine returned no usable sample"
    ]


@pytest.mark.parametrize("mode", ["off", "certain", "confident"])
def test_a_vote_that_loses_all_samples_is_an_error(mode: str) -> None:
    policy = TreePolicy(one_of(a=1.0), broken=lambda _seed: True)
    with pytest.raises(PolicyFailedError, match="the engine returned no usable"):
        search("majority_vote", policy, budget=8, early_stop=mode)


def test_cut_answers_are_no_error_where_the_last_sample_is_lost() -> None:
    lost = sample_seed(7, 3)
    policy = TreePolicy(one_of(a=1.0), broken=lambda seed: seed == lost)
    full, early = (
        search("majority_vote", policy, budget=4, max_tokens=3, early_stop=mode)
        for mode in ("off", "certain")
    )
    assert early["answer"] is full["answer"] is None
    assert early["stop_reason"] == full["stop_reason"] == "length"
    assert early["tree"] == full["tree"]


def test_off_is_one_call_and_compares_no_answers_on_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(majority_vote, "tallies")
    policy = TreePolicy(random_language(1))
    result = search("majority_vote", policy, budget=16)
    assert len(policy.calls) == 1
    assert result["stop_reason"] == "finished"


def test_off_takes_all_samples_in_several_calls_too() -> None:
    # Ten tokens an answer: a call of all would have to cut some.
    policy = TreePolicy(one_of(a=1.0))
    limits = Budget(samples=12, tokens=150)
    result = search("majority_vote", policy, budget=limits, max_tokens=100)
    assert len(policy.calls) > 1
    assert result["spent"]["samples"] == 12
    assert result["stop_reason"] == "finished"


def test_off_visits_no_node_that_only_early_stop_needs() -> None:
    graph = get_strategy("majority_vote").build().compile()
    visited = {}
    modes: tuple[EarlyStop, ...] = ("off", "certain")
    for mode in modes:
        context = SearchContext(policy=TreePolicy(one_of(a=1.0)), early_stop=mode)
        steps = graph.stream(
            {"messages": QUESTION, "seed": 1}, context=context, stream_mode="updates"
        )
        visited[mode] = [name for step in steps for name in step]
    assert visited["off"] == ["propose", "aggregate"]
    assert visited["certain"] == ["propose", "settle", "aggregate"]


@pytest.mark.parametrize("budget", [5, 9, 10])
def test_a_forked_vote_keeps_the_smaller_budget_of_its_fork(budget: int) -> None:
    graph = get_strategy("majority_vote").build().compile(checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}

    def go_on(samples: int, start: SearchInput | None, wait: list[str]) -> SearchState:
        context = SearchContext(
            policy=TreePolicy(one_of(a=0.5, b=0.5)),
            budget=Budget(samples=samples),
            early_stop="certain",
        )
        state = graph.invoke(start, config, context=context, interrupt_after=wait)
        return cast("SearchState", state)

    # 9 of 18 samples were taken, and they do not agree.
    first = go_on(18, {"messages": QUESTION, "seed": 3}, ["settle"])
    assert len(roots(first["tree"])) == 9
    assert first["wanted"] > 1
    last = go_on(budget, None, [])
    assert len(roots(last["tree"])) == max(9, budget)
    assert last["stop_reason"] == "finished"


@pytest.mark.parametrize("mode", ["certain", "confident"])
def test_one_sample_needs_no_settling(mode: str) -> None:
    policy = TreePolicy(one_of(a=0.6, b=0.4))
    result = search("majority_vote", policy, budget=1, early_stop=mode)
    assert result["stop_reason"] == "finished"
    assert len(result["candidates"]) == 1


def test_async_is_the_same_search() -> None:
    def context() -> SearchContext:
        return SearchContext(
            policy=TreePolicy(messy_language(5)), prm=None, early_stop="confident"
        )

    result = asyncio.run(
        asolve(QUESTION, strategy="majority_vote", context=context(), seed=7)
    )
    blocking = search(
        "majority_vote",
        TreePolicy(messy_language(5)),
        budget=16,
        early_stop="confident",
    )
    assert result["tree"] == blocking["tree"]
    assert result["stop_reason"] == blocking["stop_reason"]
