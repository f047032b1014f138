"""Searches of every strategy that are edited at random, again and again."""

from __future__ import annotations

import random

import pytest

from langchain_tts.debugger import DebuggerError, SearchDebugger
from langchain_tts.search.select import finished
from langchain_tts.strategies import STRATEGIES
from tests.unit_tests.debugger.conftest import Start

SAMPLES = 6


def edit(debugger: SearchDebugger, rng: random.Random) -> str | None:
    """Make some edit; returns which one, or None if it was refused."""
    i = rng.randrange(len(debugger.tree))
    kind = rng.choice(["prune", "keep", "rescore", "rewrite"])
    try:
        if kind == "prune":
            debugger.prune(i)
        elif kind == "keep":
            debugger.keep(i)
        elif kind == "rescore":
            debugger.rescore(i, rng.random())
        else:
            debugger.rewrite(i, r"by hand \boxed{9}", ends=rng.choice([None, True]))
    except DebuggerError:
        return None
    return kind


def check(debugger: SearchDebugger) -> None:
    tree, state = debugger.tree, debugger.state
    assert [c["id"] for c in tree] == list(range(len(tree)))
    for c in tree:
        assert c["parent"] is None or 0 <= c["parent"] < c["id"]
        if c["status"] == "finished" and c["parent"] is not None:
            assert tree[c["parent"]]["status"] == "active"
    if (debugger.next or "").endswith("propose"):
        assert all(tree[i]["status"] == "active" for i in state.get("frontier", []))
    if "weights" in state:
        assert len(state["weights"]) == len(state["frontier"])
    assert len(finished(tree)) <= SAMPLES
    result = debugger.result
    if result is not None:
        final = {c["id"] for c in result["candidates"]}
        assert not {i for i in final if tree[i]["status"] == "pruned"}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_any_edit_at_any_point_leaves_a_search_that_can_go_on(
    strategy: str, seed: int, start: Start
) -> None:
    rng = random.Random(f"{strategy}{seed}")
    debugger = start(strategy, budget=SAMPLES, language=seed, seed=seed)
    made = 0
    for _ in range(40):
        if not debugger.tree or rng.random() < 0.4:
            debugger.step()
        elif rng.random() < 0.1:
            debugger.back()
        else:
            before, at = dict(debugger.spent), debugger.next
            kind = edit(debugger, rng)
            made += kind is not None
            if kind in {"prune", "rescore"} and at is not None:
                assert debugger.spent == before
        check(debugger)
    debugger.run()
    check(debugger)
    assert made > 5
    # The latest proposal of a round in which an answer was pruned by hand costs a
    # whole beam's share, where a final candidate is more than one sample.
    if strategy != "lookahead":
        assert debugger.spent.get("samples", 0) <= SAMPLES
