"""Compute-optimal search: what is chosen, what is reused, and when it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from langchain_tts.budget import Budget
from langchain_tts.search.calibration import Calibration
from langchain_tts.search.state import SearchResult
from langchain_tts.strategies import STRATEGIES, _route, get_strategy
from langchain_tts.strategies._taken_over import narrowed
from langchain_tts.strategies.context import SearchContext, SearchContextError
from langchain_tts.strategies.run import asolve, solve
from langchain_tts.strategies.state import SearchState, result_of
from tests.unit_tests.fakes import (
    QUESTION,
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    random_language,
)
from tests.unit_tests.strategies.searching import search

ROUTABLE = [name for name, one in STRATEGIES.items() if not one.chooses]
N = 12


def calibration(*strategies: str, **fields: Any) -> Calibration:
    """One bin for each strategy, from the easiest on, cut evenly."""
    bins = len(strategies)
    cells = [
        {
            "bin": place + 1,
            "choice": {"strategy": strategy, "score": "last", "vote": "max"},
            "n": 50,
            "accuracy": 0.5,
        }
        for place, strategy in enumerate(strategies)
    ]
    known = {
        "dataset": "questions",
        "predictor": "score",
        "samples": {"4": 4},
        "edges": {"4": [1 - (place + 1) / bins for place in range(bins - 1)]},
        "stop_score": None,
        "cells": {"4": cells},
    }
    return cast("Calibration", {**known, **fields})


@pytest.fixture
def calibrate(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(*strategies: str, **fields: Any) -> None:
        found = calibration(*strategies, **fields)
        monkeypatch.setattr(_route, "load_calibration", lambda *_: found)

    return use


def timeless(result: SearchResult) -> dict[str, Any]:
    other = {"seconds", "spent", "strategy", "route", "seed", "degradations"}
    return {key: value for key, value in result.items() if key not in other}


def samples_of(policy: TreePolicy) -> Counter[tuple[Any, ...]]:
    """How often each sample was taken: by what it continues and its seed.

    Rollouts are none: what is most likely is generated to judge a step.
    """
    return Counter(
        (tuple(request["prefix"]), len(request["messages"]), seed)
        for call in policy.calls
        for request in call
        if request["temperature"]
        for seed in request["seeds"]
    )


# Reuse


@pytest.mark.parametrize("strategy", ["best_of_n", "majority_vote"])
@pytest.mark.parametrize("seed", range(5))
def test_the_search_is_the_chosen_one_where_whole_answers_are_sampled(
    strategy: str, seed: int, calibrate: Any
) -> None:
    calibrate(strategy)
    mine, plain = (TreePolicy(random_language(seed)) for _ in range(2))
    found = search(
        "compute_optimal", mine, TreePrm(), budget=N, seed=seed, adaptive=False
    )
    alone = search(strategy, plain, TreePrm(), budget=N, seed=seed)
    assert found["route"]["strategy"] == strategy
    if strategy == "best_of_n":
        assert timeless(found) == timeless(alone)
    assert [c["text"] for c in found["tree"]] == [c["text"] for c in alone["tree"]]
    assert found["answer"] == alone["answer"]
    assert samples_of(mine) == samples_of(plain)


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize("strategy", ROUTABLE)
def test_nothing_is_sampled_or_scored_twice_and_n_is_kept(
    strategy: str, calibrate: Any, *, lockstep: bool
) -> None:
    calibrate(strategy)
    for seed in range(8):
        policy = TreePolicy(random_language(seed))
        prm = TreePrm()
        found = search(
            "compute_optimal",
            policy,
            prm,
            budget=N,
            seed=seed,
            adaptive=False,
            lockstep=lockstep,
        )
        assert set(samples_of(policy).values()) == {1}
        assert len(prm.scored) == len(set(prm.scored))
        finals = [c for c in found["tree"] if c["status"] == "finished"]
        assert len(finals) <= found["spent"]["samples"] <= N
        assert found["budget"]["samples"] == N
        assert found["spent"]["policy_calls"] == len(policy.calls)
        assert found["spent"]["prm_calls"] == len(prm.calls)
        assert found["spent"]["prm_tokens"] == prm.tokens
        first = found["tree"][: len(policy.calls[0][0]["seeds"])]
        assert first[0]["parent"] is None
        assert policy.calls[0][0]["n"] == found["route"]["n0"] == 4
        if STRATEGIES[strategy].verifier == "steps":
            assert all(r["by_step"] for call in policy.calls[1:] for r in call)


def test_a_beam_search_has_the_rest_of_n_for_its_beams(calibrate: Any) -> None:
    calibrate("beam_search?beam_width=4")
    policy = TreePolicy(deep)
    found = search("compute_optimal", policy, TreePrm(), budget=N, adaptive=False)
    widths = [sum(r["n"] for r in call) for call in policy.calls]
    assert widths == [4, 8, 8, 8]
    # With M = 3 the eight places are shared by two beams.
    assert len(policy.calls[2]) == 2
    assert len(found["candidates"]) == found["spent"]["samples"] == N


@pytest.mark.parametrize("strategy", ROUTABLE)
def test_without_a_prediction_the_search_is_the_strategy_that_is_best_for_all(
    strategy: str, calibrate: Any
) -> None:
    calibrate(strategy, samples={"4": 0}, edges={"4": []})
    mine, plain = (TreePolicy(random_language(5)) for _ in range(2))
    found = search("compute_optimal", mine, TreePrm(), budget=N, adaptive=False)
    alone = search(strategy, plain, TreePrm(), budget=N)
    assert (found["route"]["n0"], found["route"]["chance"]) == (0, None)
    assert found["route"]["strategy"] == strategy
    assert [c["text"] for c in found["tree"]] == [c["text"] for c in alone["tree"]]
    spent = {**alone["spent"], "seconds": found["spent"]["seconds"]}
    assert (found["answer"], found["spent"]) == (alone["answer"], spent)
    assert samples_of(mine) == samples_of(plain)


@pytest.mark.parametrize(
    ("width", "share", "narrow"),
    [(8, 0.75, 6), (4, 0.75, 3), (4, 0.5, 2), (2, 0.5, 2), (1, 0.5, 1), (6, 1.0, 6)],
)
def test_a_rest_of_n_has_about_as_many_beams(
    width: int, share: float, narrow: int
) -> None:
    assert narrowed(width, share) == narrow


def deep(prefix: Prefix) -> list[Continuation]:
    """Answers of three steps."""
    if len(prefix) == 2:
        return [Continuation(rf"\boxed{{{i}}}", 0.1, ends=True) for i in range(10)]
    return [Continuation(letter, 0.1) for letter in "abcdefghij"]


@pytest.mark.parametrize("seed", range(12))
def test_a_greedy_answer_decides_alone(calibrate: Any, seed: int) -> None:
    calibrate("greedy")
    policy = TreePolicy(random_language(seed))
    budget = Budget(samples=N)
    alone = search("greedy", policy, TreePrm(), budget=budget)
    found = search("compute_optimal", policy, TreePrm(), budget=budget)
    assert found["spent"]["samples"] == 5
    assert [one["text"] for one in found["candidates"]] == [alone["text"]]
    assert found["answer"] == alone["answer"]
    assert [row["count"] for row in found["votes"]] == [1]


def test_where_the_greedy_answer_is_none_the_first_ones_vote(calibrate: Any) -> None:
    def unsure(_prefix: Prefix) -> list[Continuation]:
        return [
            Continuation("I do not know.", 0.6, ends=True),
            Continuation("Answer: \\boxed{42}", 0.4, ends=True),
        ]

    calibrate("greedy")
    found = search(
        "compute_optimal", TreePolicy(unsure), TreePrm(), budget=Budget(samples=N)
    )
    assert found["answer"] == "42"
    assert len(found["candidates"]) == 5


def test_the_first_answers_begin_the_chains_of_revisions(calibrate: Any) -> None:
    calibrate("revision?sequential_to_parallel=0.75")
    mine, plain = TreePolicy(deep), TreePolicy(deep)
    found = search("compute_optimal", mine, TreePrm(), budget=N)
    alone = search("revision", plain, TreePrm(), budget=N, sequential_to_parallel=0.75)
    assert samples_of(mine) == samples_of(plain)
    assert Counter(c["chain"] for c in found["candidates"]) == dict.fromkeys(
        range(4), 3
    )
    assert found["answer"] == alone["answer"]


# Routes


@pytest.mark.parametrize(
    ("score", "strategy", "place"),
    [(0.9, "best_of_n", 1), (0.5, "beam_search?beam_width=2", 2), (0.1, "dvts", 3)],
)
def test_the_route_follows_from_the_predicted_chance(
    score: float, strategy: str, place: int, calibrate: Any
) -> None:
    calibrate("best_of_n", "beam_search?beam_width=2", "dvts")
    prm = TreePrm(lambda _: score)
    route = search("compute_optimal", TreePolicy(deep), prm, budget=N)["route"]
    assert route["chance"] == pytest.approx(score)
    assert (route["strategy"], route["bin"]) == (strategy, place)
    assert route["source"] == "calibration"
    assert route["reason"].startswith(f"bin {place} of 3: 50.0% of 50 questions")


def test_parameters_score_and_vote_are_those_of_the_calibration(
    calibrate: Any,
) -> None:
    calibrate("beam_search?beam_width=2")
    policy = TreePolicy(deep)
    found = search(
        "compute_optimal", policy, TreePrm(), budget=N, beam_width=4, vote="vote"
    )
    # Eight places, two children each.
    assert len(policy.calls[2]) == 4
    assert (found["vote"], found["score"]) == ("max", "last")


def test_without_a_calibration_the_rule_decides_and_says_so() -> None:
    found = search("compute_optimal", TreePolicy(deep), TreePrm(), budget=N)
    assert found["route"]["strategy"] == "beam_search"
    assert found["route"]["source"] == "prior"
    [note] = found["degradations"]
    assert note.startswith("no calibration for policy 'tree' and verifier 'tree-prm'")
    assert "langchain-tts calibrate" in note
    assert note in found["route"]["reason"]


def test_without_a_verifier_answers_are_counted_and_it_says_so() -> None:
    found = search("compute_optimal", TreePolicy(deep), None, budget=N)
    assert found["route"]["strategy"] == "majority_vote"
    assert found["vote"] == "majority"
    assert found["degradations"] == ["there is no verifier: answers are counted"]


def test_a_verifier_that_is_lost_first_leaves_a_majority(calibrate: Any) -> None:
    calibrate("beam_search")
    prm = TreePrm(errors=[OSError("gone")] * 9)
    policy = TreePolicy(deep)
    found = search("compute_optimal", policy, prm, budget=N, adaptive=False)
    assert found["route"]["strategy"] == "majority_vote"
    assert found["degradations"][0].startswith("the verifier was lost")
    assert len(prm.calls) == 2
    assert len(found["candidates"]) == N


def test_whole_answers_are_chosen_where_a_model_knows_no_steps(
    calibrate: Any,
) -> None:
    calibrate("dvts")
    policy = TreePolicy(deep)
    policy.by_step = False
    found = search("compute_optimal", policy, TreePrm(), budget=N)
    assert found["route"]["strategy"] == "best_of_n"
    assert len(found["candidates"]) == N


def test_scores_that_do_not_matter_are_not_asked_for(calibrate: Any) -> None:
    calibrate("majority_vote", predictor="vote_share")
    prm = TreePrm()
    search("compute_optimal", TreePolicy(deep), prm, budget=N)
    assert not prm.calls


# Stopping


def sure(prefix: Prefix) -> float:
    return 0.99 if prefix[-1] == r"\boxed{7}" else 0.2


def test_an_answer_that_is_good_enough_ends_the_search_at_once(
    calibrate: Any,
) -> None:
    calibrate("best_of_n", stop_score=0.9)
    policy = TreePolicy(lambda _: [Continuation(r"\boxed{7}", 1.0, ends=True)])
    found = search("compute_optimal", policy, TreePrm(sure), budget=N)
    assert (found["answer"], found["stop_reason"]) == ("7", "scored")
    assert found["spent"]["samples"] == 4
    assert found["route"]["saved"] == {"samples": 8}
    assert not found["route"]["taken"]


@pytest.mark.parametrize("strategy", ["best_of_n", "beam_search", "dvts", "mcts"])
def test_an_answer_that_is_good_enough_ends_the_chosen_search(
    strategy: str, calibrate: Any
) -> None:
    calibrate(strategy, stop_score=0.9)
    later = 0
    for seed in range(12):
        policy = TreePolicy(deep)
        budget = 48
        found = search(
            "compute_optimal", policy, TreePrm(sure), budget=budget, seed=seed
        )
        if not found["route"]["taken"] or found["stop_reason"] != "scored":
            continue
        later += 1
        assert found["answer"] == "7"
        assert (found["score"], found["vote"]) == ("last", "max")
        left = budget - found["spent"]["samples"]
        assert found["route"]["saved"] == {"samples": left}
    assert later > 3


def test_stopping_can_be_switched_off(calibrate: Any) -> None:
    calibrate("best_of_n", stop_score=0.0)
    policy = TreePolicy(deep)
    found = search("compute_optimal", policy, TreePrm(), budget=N, adaptive=False)
    assert found["stop_reason"] == "finished"
    assert found["spent"]["samples"] == N
    assert found["route"]["saved"] == {"samples": 0}


def test_a_vote_that_is_certain_ends_the_search_without_a_loss(
    calibrate: Any,
) -> None:
    calibrate("majority_vote", predictor="vote_share")
    policy = TreePolicy(lambda _: [Continuation(r"\boxed{7}", 1.0, ends=True)])
    found = search("compute_optimal", policy, TreePrm(), budget=N)
    assert (found["answer"], found["stop_reason"]) == ("7", "certain")
    # With six of twelve the answer that came first wins a tie, too.
    assert found["spent"]["samples"] == 6


def test_best_of_n_samples_in_waves_until_an_answer_is_good_enough() -> None:
    policy = TreePolicy(deep)
    found = search("best_of_n", policy, TreePrm(), budget=16, stop_score=1.0)
    assert [call[0]["n"] for call in policy.calls] == [1, 1, 2, 4, 8]
    whole = search("best_of_n", TreePolicy(deep), TreePrm(), budget=16)
    assert timeless(found) == timeless(whole)
    assert found["stop_reason"] == "finished"


def test_a_stop_score_out_of_its_range_is_refused() -> None:
    with pytest.raises(SearchContextError, match="stop_score is 1"):
        SearchContext(stop_score=1.5)


# As a graph


@pytest.mark.parametrize("strategy", ["best_of_n", "beam_search", "revision"])
def test_a_search_that_is_killed_in_the_chosen_strategy_is_resumed_there(
    strategy: str, calibrate: Any
) -> None:
    calibrate(strategy)
    whole = TreePolicy(deep)
    undisturbed = search("compute_optimal", whole, TreePrm(), budget=N, adaptive=False)
    thread: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 999}
    graph = (
        get_strategy("compute_optimal").build().compile(checkpointer=InMemorySaver())
    )
    served: Counter[Any] = Counter()
    start: Any = {"messages": QUESTION, "seed": 7}
    for calls in (2, 99):
        policy = TreePolicy(deep, errors=[*[None] * (calls - 1), KilledError()])
        context = SearchContext(
            policy=policy, prm=TreePrm(), budget=Budget(N), adaptive=False
        )
        try:
            graph.invoke(start, thread, context=context, durability="sync")
        except KilledError:
            policy.calls.pop()
        served += samples_of(policy)
        start = None
    found = result_of(cast("SearchState", graph.get_state(thread).values))
    assert timeless(found) == timeless(undisturbed)
    assert found["spent"]["samples"] == undisturbed["spent"]["samples"]
    assert served == samples_of(whole)


class KilledError(ValueError):
    """A call that ends the process; a wrong input is not tried again either."""


def test_every_strategy_is_a_graph_inside_and_is_drawn() -> None:
    graph = get_strategy("compute_optimal").build().compile()
    assert [name for name, _ in graph.get_subgraphs()] == ROUTABLE
    drawn = graph.get_graph(xray=True).draw_mermaid()
    assert all(f"subgraph {name}" in drawn for name in ROUTABLE)


def test_sync_and_async_searches_are_the_same(calibrate: Any) -> None:
    calibrate("dvts")
    context = SearchContext(policy=TreePolicy(deep), prm=TreePrm(), budget=Budget(N))
    ask: Any = {"strategy": "compute_optimal", "context": context, "seed": 3}
    assert timeless(solve(QUESTION, **ask)) == timeless(
        asyncio.run(asolve(QUESTION, **ask))
    )


def test_a_graph_around_it_that_saves_does_not_save_its_steps(calibrate: Any) -> None:
    calibrate("beam_search")

    def ask(_state: SearchState) -> SearchState:
        context = SearchContext(
            policy=TreePolicy(deep), prm=TreePrm(), budget=Budget(N)
        )
        found = solve(QUESTION, strategy="compute_optimal", context=context, seed=3)
        return {"stop_reason": found["stop_reason"]}

    outer = StateGraph(SearchState)
    outer.add_node("ask", cast("Any", ask))
    outer.add_edge(START, "ask")
    outer.add_edge("ask", END)
    saver = InMemorySaver()
    thread: Any = {"configurable": {"thread_id": "1"}}
    end = outer.compile(checkpointer=saver).invoke({"seed": 1}, thread)
    assert end["stop_reason"] == "finished"
    assert list(saver.storage["1"]) == [""]
