"""Monte Carlo tree search, against one on node objects that store what they learn."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from langchain_tts.budget import Budget
from langchain_tts.strategies._proposal import sample_seed
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import stream_search
from langchain_tts.strategies.state import SearchState
from tests.unit_tests.fakes import (
    QUESTION,
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    random_language,
)
from tests.unit_tests.strategies.searching import search, statuses, texts
from tests.unit_tests.strategies.worlds import Node, World, rough_language


def oracle(world: World, seed: int, exploration: float = 1.0) -> list[Prefix]:
    """Where all simulations end."""
    root = world.root(seed)
    world.expand(root)
    ends: list[Prefix] = []
    for _ in range(world.n // world.m or 1):
        found = visit(world, root, exploration)
        if found is None:
            break
        ends.append(found[0])
    return ends


def visit(
    world: World, node: Node, exploration: float
) -> tuple[Prefix, float | None] | None:
    """Go on from a node to the end and back up: the end, and what it is worth.

    None where all places are taken, or there is nowhere to go.
    """
    found: tuple[Prefix, float | None] | None
    if node.end == "stop" or node.depth >= world.rounds:
        node.closed = True
        found = node.prefix, node.score if node.end == "stop" else 0.0
    else:
        if node.depth:
            world.expand(node)
        if len(world.finals) >= world.n:
            return None
        going = [child for child in node.children if not child.closed]
        if going:
            found = visit(world, best_child(node, going, exploration), exploration)
        else:
            mean = node.total / node.visits if node.visits else 0.0
            found = (node.prefix, mean) if node.depth else None
    if found is not None:
        node.visits += 1
        node.total += found[1] or 0.0
    return found


def best_child(node: Node, going: list[Node], exploration: float) -> Node:
    def merit(child: Node) -> tuple[float, float, int]:
        worth = child.total / child.visits if child.visits else child.score or 0.0
        prior = child.count / node.sampled
        bonus = prior * math.sqrt(node.visits) / (child.visits + 1)
        return worth + exploration * bonus, child.logprob, -child.place

    return max(going, key=merit)


def last_state(
    strategy: str, policy: TreePolicy, n: int, m: int, seed: int, **more: Any
) -> SearchState:
    given = {"prm": TreePrm(), **more}
    context = SearchContext(policy=policy, budget=Budget(n), beam_width=m, **given)
    *_, last = stream_search(QUESTION, strategy=strategy, context=context, seed=seed)
    return last


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("n", "m"), [(1, 4), (3, 4), (8, 2), (16, 4), (18, 3), (40, 4), (5, 1), (60, 2)]
)
def test_finds_what_a_search_on_stored_values_finds(n: int, m: int, seed: int) -> None:
    language = random_language(seed, depth=6, branching=5)
    world = World(language, n, m)
    ends = oracle(world, seed)
    last = last_state("mcts", TreePolicy(language), n, m, seed)
    tree = last["tree"]
    assert [texts(tree, i) for i in range(len(tree))] == world.born
    assert [texts(tree, i) for i in last["visited"]] == ends


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("exploration", [0.0, 0.3, 5.0])
def test_also_where_steps_are_cut_empty_lost_or_too_many(
    seed: int, exploration: float
) -> None:
    language = rough_language(seed)

    def broken(drawn: int) -> bool:
        return drawn % 7 == 0

    world = World(
        language, 24, 3, rounds=4, step_tokens=14, tokens=24 + seed, broken=broken
    )
    ends = oracle(world, seed, exploration)
    last = last_state(
        "mcts",
        TreePolicy(language, broken=broken),
        24,
        3,
        seed,
        exploration=exploration,
        max_rounds=4,
        max_step_tokens=14,
        max_tokens=24 + seed,
    )
    tree = last["tree"]
    assert [texts(tree, i) for i in range(len(tree))] == world.born
    assert [texts(tree, i) for i in last["visited"]] == ends


def corridor(prefix: Prefix) -> list[Continuation]:
    """Three first steps, then two more, then an answer that names the first."""
    if len(prefix) == 3:
        return [Continuation(rf"\boxed{{{prefix[0]}}}", 1.0, ends=True)]
    if prefix:
        return [Continuation("on", 1.0)]
    return [Continuation(str(i), 1 / 3) for i in range(3)]


def test_each_simulation_samples_more_at_each_step_that_it_comes_to() -> None:
    policy = TreePolicy(corridor)
    result = search("mcts", policy, TreePrm(), budget=64, beam_width=8)
    calls = [[(r["prefix"].count(10), r["n"]) for r in call] for call in policy.calls]
    # 64 first steps, then path after path, until 8 answers came of each of 8 paths.
    assert calls == [[(0, 64)], *([[(1, 8)], [(2, 8)], [(3, 8)]] * 8)]
    assert len(result["candidates"]) == result["spent"]["samples"] == 64
    assert result["stop_reason"] == "finished"
    # A sample's seed tells its place among all samples of its step.
    tree = result["tree"]
    again = Counter(c["parent"] for c in tree if c["parent"] is not None)
    assert max(again.values()) > 8
    places: Counter[int] = Counter()
    for c in tree:
        if c["parent"] is not None:
            above = tree[c["parent"]]
            assert c["seed"] == sample_seed(above["seed"], places[above["id"]])
            places[above["id"]] += 1


def test_where_only_known_answers_come_up_the_mean_value_stays() -> None:
    # After "0" there is one answer; "1" leads to nothing better than its own score.
    def language(prefix: Prefix) -> list[Continuation]:
        if prefix:
            return [Continuation(rf"\boxed{{{prefix[0]}}}", 1.0, ends=True)]
        return [Continuation("0", 0.5), Continuation("1", 0.5)]

    prm = TreePrm(lambda prefix: 0.9 if prefix[0] == "0" else 0.5)
    last = last_state("mcts", TreePolicy(language), 16, 4, 7, exploration=0.0, prm=prm)
    ends = [texts(last["tree"], i) for i in last["visited"]]
    # The fourth simulation makes 16 answers final.
    assert ends == [("0", r"\boxed{0}"), ("0",), ("0",)]


def test_a_simulation_that_fails_makes_the_next_one_go_elsewhere() -> None:
    # The verifier likes "0" until its end.
    def score(prefix: Prefix) -> float:
        first = {"0": 0.9, "1": 0.7, "2": 0.5}[prefix[0]]
        return 0.1 if prefix == ("0", "on", "on", r"\boxed{0}") else first

    policy = TreePolicy(corridor)
    result = search("mcts", policy, TreePrm(score), budget=16, beam_width=8, seed=1)
    ends = [c["text"].split("\n\n")[0] for c in result["candidates"]]
    assert set(ends) == {"0", "1"}
    assert result["answer"] == "1"


def test_answers_beside_the_visited_one_vote_too_but_no_more_than_n() -> None:
    def language(_prefix: Prefix) -> list[Continuation]:
        return [Continuation(rf"\boxed{{{i}}}", 0.25, ends=True) for i in range(4)]

    policy = TreePolicy(language)
    result = search("mcts", policy, TreePrm(), budget=6, beam_width=4)
    assert len(policy.calls) == 1
    assert len(result["candidates"]) == result["spent"]["samples"] == 6
    small = search("mcts", TreePolicy(language), TreePrm(), budget=3, beam_width=4)
    assert len(small["candidates"]) == 3


def test_nothing_is_pruned() -> None:
    policy = TreePolicy(random_language(3, depth=6, branching=5))
    result = search("mcts", policy, TreePrm(), budget=32)
    assert set(statuses(result["tree"])) == {"active", "finished"}


def test_the_limit_on_rounds_is_one_on_the_length_of_answers() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        return [Continuation(f"{len(prefix)}{i}", 0.5) for i in range(2)]

    policy = TreePolicy(language)
    result = search("mcts", policy, TreePrm(), budget=16, max_rounds=3)
    assert max(c["depth"] for c in result["tree"]) == 3
    # The question, and in each of four simulations a first and a second step.
    assert len(policy.calls) == 1 + 4 * 2
    assert result["stop_reason"] == "rounds"
    assert result["answer"] is None


def test_a_step_without_room_for_another_ends_its_simulation_with_nothing() -> None:
    def language(_prefix: Prefix) -> list[Continuation]:
        return [Continuation("aaa", 0.5), Continuation("bbb", 0.5)]

    # A step has 4 tokens, an answer room for two.
    world = World(language, 18, 3, tokens=8)
    ends = oracle(world, 5)
    last = last_state("mcts", TreePolicy(language), 18, 3, 5, max_tokens=8)
    tree = last["tree"]
    assert [texts(tree, i) for i in last["visited"]] == ends
    assert len(ends) > 1
    # Where all of a step's next ones had turned out so, simulations end there.
    assert {(len(texts(tree, i)), tree[i]["status"]) for i in last["visited"]} == {
        (2, "truncated"),
        (1, "active"),
    }
    assert last["result"]["stop_reason"] == "length"


def test_a_lost_verifier_leaves_a_majority_vote_and_a_record() -> None:
    policy = TreePolicy(random_language(5, depth=5, branching=4))
    prm = TreePrm(errors=[None, *[RuntimeError("out of memory")] * 3])
    result = search("mcts", policy, prm, budget=32)
    assert result["answer"] is not None
    assert result["vote"] == "majority"
    assert len(result["degradations"]) == 1
