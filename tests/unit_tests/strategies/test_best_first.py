"""Best-first and Levin tree search, against one with a heap and plain products."""

from __future__ import annotations

import heapq
import math
from collections import Counter
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
from tests.unit_tests.strategies.worlds import Node, World, rough_language, score_of

Cost = Callable[[Node, int], float]
"""Of taking a node, and for which time."""


def oracle(world: World, seed: int, cost: Cost) -> list[Prefix]:
    """Pop the cheapest node, and put steps back, until enough answers are popped."""
    heap: list[tuple[bool, float, float, int, int, Node]] = []
    popped: list[Prefix] = []
    width = world.n // world.m or 1
    left, opened = width, Counter[int]()

    def push(node: Node, times: int) -> None:
        key = (node.score is None, cost(node, times), -node.logprob, node.place, times)
        heapq.heappush(heap, (*key, node))

    def expand(node: Node) -> None:
        known = set(node.children)
        world.expand(node)
        for child in node.children:
            if child not in known:
                push(child, 1)

    expand(world.root(seed))
    while heap and left and len(world.finals) < world.n:
        *_, times, node = heapq.heappop(heap)
        if node.end == "stop":
            left -= 1
        elif node.depth == world.rounds or opened[node.depth] == width:
            continue
        else:
            opened[node.depth] += 1
            expand(node)
            if node.end == "step" and node.children:
                push(node, times + 1)
        popped.append(node.prefix)
    return popped


def by_score(node: Node, times: int) -> float:
    return -(node.score or 0.0) / times


def levin(node: Node, times: int) -> float:
    prefixes = [node.prefix[: i + 1] for i in range(node.depth) if node.prefix[i]]
    return (
        times * node.depth / math.prod(score_of(prefix) or 0.0 for prefix in prefixes)
    )


BOTH = pytest.mark.parametrize(
    ("strategy", "cost"), [("best_first", by_score), ("levin", levin)]
)


@BOTH
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("n", "m"), [(1, 4), (3, 4), (8, 2), (16, 4), (18, 3), (40, 4), (5, 1), (60, 2)]
)
def test_finds_what_a_search_with_a_heap_finds(
    strategy: str, cost: Cost, n: int, m: int, seed: int
) -> None:
    language = random_language(seed, depth=6, branching=5)
    world = World(language, n, m)
    popped = oracle(world, seed, cost)
    last = last_state(strategy, TreePolicy(language), n, m, seed)
    tree = last["tree"]
    assert [texts(tree, i) for i in range(len(tree))] == world.born
    assert [texts(tree, i) for i in last["visited"]] == popped


@BOTH
@pytest.mark.parametrize("seed", range(40))
def test_also_where_steps_are_cut_empty_lost_or_too_many(
    strategy: str, cost: Cost, seed: int
) -> None:
    language = rough_language(seed)

    def broken(drawn: int) -> bool:
        return drawn % 7 == 0

    world = World(
        language, 24, 3, rounds=4, step_tokens=14, tokens=24 + seed, broken=broken
    )
    popped = oracle(world, seed, cost)
    last = last_state(
        strategy,
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
    search("best_first", policy, prm, budget=32, beam_width=16, seed=1)
    asked = ["".join(map(chr, r["prefix"])) for call in policy.calls for r in call]
    # Two steps of each depth at most; "a", "a" is the best that is left at the end.
    assert asked == ["", "a\n", "b\n", "b\na\n", "a\na\n"]


def test_a_good_step_is_sampled_again_before_a_bad_one() -> None:
    # After "a" and "b" there is the same step, and then "d" without an end.
    def language(prefix: Prefix) -> list[Continuation]:
        names = {0: "ab", 1: "c"}.get(len(prefix), "d")
        return [Continuation(name, 1 / len(names)) for name in names]

    scores = {"a": 0.26, "b": 0.5, "c": 0.9, "d": 0.0}
    policy = TreePolicy(language)
    prm = TreePrm(lambda prefix: scores[prefix[-1]])
    search("best_first", policy, prm, budget=16, beam_width=4, seed=1, max_rounds=3)
    asked = ["".join(map(chr, r["prefix"])) for call in policy.calls for r in call]
    # "b", "c" has 0.9, 0.45, 0.3, 0.225, and then four steps of its depth were taken;
    # "b" has 0.5, 0.25, 0.17 and "a" 0.26, 0.13.
    good, bad = ["b\n", "b\nc\n", "b\nc\n", "b\nc\n"], ["a\n"]
    assert asked == ["", *good, *bad, "a\nc\n", "b\n", "b\n"]
    seeds = [seed for call in policy.calls for r in call for seed in r["seeds"]]
    assert len(set(seeds)) == len(seeds) == 16 * 3


def test_a_search_that_never_comes_to_an_answer_ends_as_beam_search_would() -> None:
    # Every step has two next ones, worse than itself: breadth first, four of a depth.
    def language(_prefix: Prefix) -> list[Continuation]:
        return [Continuation("a", 0.5), Continuation("b", 0.5)]

    policy = TreePolicy(language)
    prm = TreePrm(lambda prefix: 1 / (1 + len(prefix)))
    result = search("best_first", policy, prm, budget=16, max_rounds=10)
    asked = Counter((r["prefix"].count(10), r["n"]) for c in policy.calls for r in c)
    assert asked == {(0, 16): 1, **{(depth, 4): 4 for depth in range(1, 10)}}
    assert result["stop_reason"] == "rounds"
    assert result["answer"] is None


def test_duplicate_answers_vote_as_the_samples_they_are() -> None:
    def language(_prefix: Prefix) -> list[Continuation]:
        return [Continuation(r"\boxed{1}", 1.0, ends=True)]

    policy = TreePolicy(language)
    result = search("best_first", policy, TreePrm(), budget=8, beam_width=4)
    assert [row["count"] for row in result["votes"]] == [8]
    assert result["spent"]["samples"] == 8
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
