"""Levin tree search, against one with a heap and plain products."""

from __future__ import annotations

import math

import pytest

from tests.unit_tests.fakes import (
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    random_language,
)
from tests.unit_tests.strategies.searching import search, texts
from tests.unit_tests.strategies.test_best_first import oracle
from tests.unit_tests.strategies.test_mcts import last_state
from tests.unit_tests.strategies.worlds import Node, World, rough_language, score_of


def levin(node: Node, times: int) -> float:
    prefixes = [node.prefix[: i + 1] for i in range(node.depth) if node.prefix[i]]
    return (
        times * node.depth / math.prod(score_of(prefix) or 0.0 for prefix in prefixes)
    )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("n", "m"), [(1, 4), (3, 4), (8, 2), (16, 4), (18, 3), (40, 4), (5, 1), (60, 2)]
)
def test_finds_what_a_search_with_a_heap_finds(n: int, m: int, seed: int) -> None:
    language = random_language(seed, depth=6, branching=5)
    world = World(language, n, m)
    popped = oracle(world, seed, levin)
    last = last_state("levin", TreePolicy(language), n, m, seed)
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
    popped = oracle(world, seed, levin)
    last = last_state(
        "levin",
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


SCORES = {("a",): 0.5, ("b",): 0.4, ("a", "c"): 0.9, ("b", "c"): 0.1}


def expanded(strategy: str) -> list[str]:
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 2:
            return [Continuation(r"\boxed{1}", 1.0, ends=True)]
        if prefix:
            return [Continuation("c", 1.0)]
        return [Continuation("a", 0.5), Continuation("b", 0.5)]

    policy = TreePolicy(language)
    prm = TreePrm(lambda prefix: SCORES.get(prefix, 0.9))
    search(strategy, policy, prm, budget=32, beam_width=16, seed=1)
    return ["".join(map(chr, r["prefix"])) for call in policy.calls for r in call]


def test_a_longer_path_must_be_worth_its_length() -> None:
    # After "a" (1 / 0.5 = 2) there are "a", "c" (2 / 0.45 = 4.4) and "b" (1 / 0.4 =
    # 2.5), where plain best-first search sees 0.9 against 0.4. There are two steps of
    # each depth: "a", "c" for the second time is 2 x 4.4 against 50 for "b", "c", and
    # 0.9 / 2 against 0.4 for "b".
    assert expanded("levin") == ["", "a\n", "b\n", "a\nc\n", "a\nc\n"]
    assert expanded("best_first") == ["", "a\n", "a\nc\n", "a\nc\n"]


def test_scores_of_zero_are_very_expensive_but_no_error() -> None:
    policy = TreePolicy(random_language(2, depth=5, branching=4))
    result = search("levin", policy, TreePrm(lambda _prefix: 0.0), budget=16)
    assert result["answer"] is not None
    assert result["stop_reason"] == "finished"
