"""Best-first search, against one with a heap."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest

from tests.unit_tests.fakes import (
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    random_language,
)
from tests.unit_tests.strategies.searching import search, statuses, texts
from tests.unit_tests.strategies.test_mcts import last_state
from tests.unit_tests.strategies.worlds import Node, World, rough_language

Cost = Callable[[Node], float]


def oracle(world: World, seed: int, cost: Cost) -> list[Prefix]:
    """Pop the cheapest node until enough of those popped are answers."""
    heap: list[tuple[bool, float, float, int, Node]] = []
    popped: list[Prefix] = []
    trajectories = world.n // world.m or 1
    answers, expansions = 0, 0
    node = world.root(seed)
    while True:
        world.expand(node)
        expansions += 1
        for child in node.children or []:
            if child.end == "stop" or child.depth < world.rounds:
                key = (child.score is None, cost(child), -child.logprob)
                heapq.heappush(heap, (*key, child.place, child))
        if len(world.finals) >= world.n:
            return popped
        while heap and heap[0][-1].end == "stop" and answers < trajectories:
            answers += 1
            popped.append(heapq.heappop(heap)[-1].prefix)
        if not heap or answers == trajectories:
            return popped
        node = heapq.heappop(heap)[-1]
        popped.append(node.prefix)
        if expansions == world.rounds * trajectories:
            return popped


def by_score(node: Node) -> float:
    return -(node.score or 0.0)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("n", "m"), [(1, 4), (3, 4), (8, 2), (16, 4), (18, 3), (40, 4), (5, 1), (60, 2)]
)
def test_finds_what_a_search_with_a_heap_finds(n: int, m: int, seed: int) -> None:
    language = random_language(seed, depth=6, branching=5)
    world = World(language, n, m)
    popped = oracle(world, seed, by_score)
    last = last_state("best_first", TreePolicy(language), n, m, seed)
    tree = last["tree"]
    assert [texts(tree, i) for i in range(len(tree))] == world.born
    assert [texts(tree, i) for i in last["visited"]] == popped


@pytest.mark.parametrize("seed", range(40))
def test_also_where_steps_are_cut_empty_lost_or_too_many(seed: int) -> None:
    language = rough_language(seed)

    def broken(drawn: int) -> bool:
        return drawn % 7 == 0

    world = World(
        language, 24, 3, rounds=4, step_tokens=14, tokens=24 + seed, broken=broken
    )
    popped = oracle(world, seed, by_score)
    last = last_state(
        "best_first",
        TreePolicy(language, broken=broken),
        24,
        3,
        seed,
        max_rounds=4,
        max_step_tokens=14,
        max_tokens=24 + seed,
    )
    tree = last["tree"]
    assert [texts(tree, i) for i in range(len(tree))] == world.born
    assert [texts(tree, i) for i in last["visited"]] == popped


def test_goes_back_to_an_earlier_step_when_a_later_one_disappoints() -> None:
    scores = {
        ("a",): 0.9,
        ("b",): 0.6,
        ("a", "a"): 0.5,
        ("a", "b"): 0.4,
        ("b", "a"): 0.7,
        ("b", "b"): 0.3,
    }

    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 2:
            return [Continuation(rf"\boxed{{{len(prefix)}}}", 1.0, ends=True)]
        return [Continuation("a", 0.5), Continuation("b", 0.5)]

    policy = TreePolicy(language)
    prm = TreePrm(lambda prefix: scores.get(prefix, 0.95))
    search("best_first", policy, prm, budget=16, beam_width=16, seed=1)
    asked = ["".join(map(chr, r["prefix"])) for call in policy.calls for r in call]
    assert asked == ["", "a\n", "b\n", "b\na\n"]


def test_a_search_that_never_comes_to_an_answer_ends_as_beam_search_would() -> None:
    # Every step has two next ones, worse than itself: breadth first, without an end.
    def language(_prefix: Prefix) -> list[Continuation]:
        return [Continuation("a", 0.5), Continuation("b", 0.5)]

    policy = TreePolicy(language)
    prm = TreePrm(lambda prefix: 1 / (1 + len(prefix)))
    result = search("best_first", policy, prm, budget=16, max_rounds=10)
    assert len(policy.calls) == 10 * 4
    assert sum(r["n"] for call in policy.calls for r in call) == 10 * 16
    assert result["stop_reason"] == "rounds"
    assert result["answer"] is None


def test_duplicate_answers_vote_as_the_samples_they_are() -> None:
    def language(_prefix: Prefix) -> list[Continuation]:
        return [Continuation(r"\boxed{1}", 1.0, ends=True)]

    policy = TreePolicy(language)
    result = search("best_first", policy, TreePrm(), budget=8, beam_width=4)
    assert [row["count"] for row in result["votes"]] == [4]
    assert result["spent"]["samples"] == 4
    assert len(policy.calls) == 1


def test_nothing_is_pruned() -> None:
    policy = TreePolicy(random_language(3, depth=6, branching=5))
    result = search("best_first", policy, TreePrm(), budget=32)
    assert set(statuses(result["tree"])) == {"active", "finished"}


def test_a_lost_verifier_leaves_a_majority_vote_and_a_record() -> None:
    policy = TreePolicy(random_language(5, depth=5, branching=4))
    prm = TreePrm(errors=[None, *[RuntimeError("out of memory")] * 3])
    result = search("best_first", policy, prm, budget=32)
    assert result["answer"] is not None
    assert result["vote"] == "majority"
    assert len(result["degradations"]) == 1
