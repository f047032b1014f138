"""Searches that are watched: what each superstep did, and the state after it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, closing
from typing import Any

import pytest

from langchain_tts.budget import Budget
from langchain_tts.strategies import STRATEGIES
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import (
    Superstep,
    astream_search,
    awatch,
    stream_search,
    watch,
)
from tests.unit_tests.fakes import QUESTION, TreePolicy, TreePrm, random_language


def setting() -> dict[str, Any]:
    policy = TreePolicy(random_language(3))
    context = SearchContext(policy=policy, prm=TreePrm(), budget=Budget(8))
    return {"context": context, "seed": 5}


def timeless(superstep: Superstep) -> Any:
    state: dict[str, Any] = {**superstep.state}
    for place in (state, state.get("result", {})):
        if "spent" in place:
            place["spent"] = {**place["spent"], "seconds": None}
        if "seconds" in place:
            place["seconds"] = None
    return superstep.node, superstep.changed, state


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_async_supersteps_are_the_same(strategy: str) -> None:
    async def consume() -> list[Superstep]:
        run = awatch(QUESTION, strategy=strategy, **setting())
        return [superstep async for superstep in run]

    first = [*watch(QUESTION, strategy=strategy, **setting())]
    second = asyncio.run(consume())
    assert [*map(timeless, first)] == [*map(timeless, second)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_superstep_tells_its_node_and_all_that_it_changed(strategy: str) -> None:
    before: list[Any] = []
    nodes = []
    for node, changed, state in watch(QUESTION, strategy=strategy, **setting()):
        tree = state.get("tree", [])
        others = set(range(len(tree))) - set(changed)
        assert all(place < len(before) for place in others)
        assert [tree[i] for i in sorted(others)] == [before[i] for i in sorted(others)]
        before = tree
        nodes.append(node)
    assert nodes[:2] == ["", "propose"]
    assert nodes[-1] == "aggregate"


async def test_streams_have_the_states_of_all_supersteps() -> None:
    states = [s.state for s in watch(QUESTION, strategy="mcts", **setting())]
    sync = [*stream_search(QUESTION, strategy="mcts", **setting())]
    later = [s async for s in astream_search(QUESTION, strategy="mcts", **setting())]
    trees = [[state.get("tree") for state in run] for run in (states, sync, later)]
    assert trees[0] == trees[1] == trees[2]
    assert "result" in later[-1]


async def test_a_search_ends_when_nobody_watches_it_any_more() -> None:
    arguments = setting()
    policy = arguments["context"].policy
    with closing(watch(QUESTION, strategy="beam_search", **arguments)) as run:
        assert [next(run).node, next(run).node] == ["", "propose"]
    assert len(policy.calls) == 1
    later = awatch(QUESTION, strategy="beam_search", **arguments)
    async with aclosing(later):
        assert [(await anext(later)).node, (await anext(later)).node][1] == "propose"
    await asyncio.sleep(0.01)
    assert len(policy.calls) == 2
