"""Saved searches: how large they are, and that they are made of plain data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.checkpoint_bytes import save_search
from langchain_tts.budget import Budget
from langchain_tts.strategies import STRATEGIES
from langchain_tts.strategies.state import SearchState, result_of
from tests.unit_tests.fakes import TreePrm
from tests.unit_tests.strategies.cases import (
    ROOM,
    Case,
    beginning,
    compiled,
    without_time,
)

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "strategy", ["beam_search", "dvts", "lookahead", "particle_filter", "revision"]
)
def test_a_saved_search_is_as_large_as_what_it_generated(
    strategy: str, tmp_path: Path
) -> None:
    short = save_search(strategy, 256, 10, tmp_path / "short")
    long = save_search(strategy, 256, 20, tmp_path / "long")
    assert long.candidates > 1.8 * short.candidates
    # The whole tree in every checkpoint would be 20 to 40 times the tree, and grow with
    # the square of the rounds.
    assert long.ratio < 1.5
    assert long.ratio < 1.05 * short.ratio


@pytest.mark.parametrize("strategy", ["mcts", "levin", "best_first"])
def test_a_saved_tree_search_grows_with_its_supersteps_and_not_faster(
    strategy: str, tmp_path: Path
) -> None:
    # A round adds no more than M candidates: what LangGraph stores a superstep counts.
    short = save_search(strategy, 16, 5, tmp_path / "short")
    long = save_search(strategy, 32, 7, tmp_path / "long")
    assert long.supersteps > 1.5 * short.supersteps
    growth = long.file_bytes / short.file_bytes
    assert growth < 1.1 * long.supersteps / short.supersteps
    assert long.file_bytes < 5000 * long.supersteps


def forget_after(saver: SqliteSaver, checkpoint_id: str) -> None:
    """Leave a checkpoint and what its node wrote, as if the process had ended then."""
    for table in ("checkpoints", "writes"):
        query = f"DELETE FROM {table} WHERE checkpoint_id > ?"  # noqa: S608
        saver.conn.execute(query, (checkpoint_id,))
    saver.conn.commit()


# What a strategy that is a part of another one has done is kept as long as that part
# runs, which cannot be shown by forgetting checkpoints alone.
@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s != "compute_optimal"])
def test_what_a_node_did_is_kept_where_a_process_ends_before_its_checkpoint(
    strategy: str, tmp_path: Path
) -> None:
    case = Case(5, Budget(4), language_seed=1, depth=4, empty=0, lost=0)
    thread: Any = {**ROOM, "configurable": {"thread_id": "1"}}
    file = str(tmp_path / "search")
    with SqliteSaver.from_conn_string(file) as saver:
        policy, prm = case.policy(), TreePrm()
        graph = compiled(strategy, checkpointer=saver)
        context = case.context(policy, prm)
        graph.invoke(beginning(case), thread, context=context, durability="sync")
        undisturbed = result_of(cast("SearchState", graph.get_state(thread).values))
        saved = [found.config for found in saver.list(thread)]
        assert len(saved) > 2
        # From the end on: what comes after is forgotten each time.
        made = (0, 0)
        for config in saved[1:]:
            forget_after(saver, config["configurable"]["checkpoint_id"])
            policy, prm = case.policy(), TreePrm()
            context = case.context(policy, prm)
            graph = compiled(strategy, checkpointer=saver)
            graph.invoke(None, thread, context=context, durability="sync")
            state = cast("SearchState", graph.get_state(thread).values)
            assert without_time(result_of(state)) == without_time(undisturbed)
            # The calls of the node that had ended are not made again.
            calls = (len(policy.calls), len(prm.calls))
            assert sum(calls) <= sum(made) + 1
            made = calls


INTERRUPTED = """
import sys
from langgraph.checkpoint.sqlite import SqliteSaver
from langchain_tts.budget import Budget
from langchain_tts.strategies import STRATEGIES, get_strategy
from langchain_tts.strategies.context import SearchContext
from tests.unit_tests.fakes import QUESTION, TreePolicy, TreePrm, random_language

for name in STRATEGIES:
    context = SearchContext(
        policy=TreePolicy(random_language(1)), prm=TreePrm(), budget=Budget(5)
    )
    thread = {"configurable": {"thread_id": name}, "recursion_limit": 1000}
    state = {"messages": QUESTION, "seed": 5}
    while True:
        with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
            graph = get_strategy(name).build().compile(
                checkpointer=saver, interrupt_before="*"
            )
            graph.invoke(state, thread, context=context, durability="sync")
            state = None
            saved = graph.get_state(thread)
            if not saved.next:
                print(name, saved.values["result"]["answer"] is not None)
                break
"""


@pytest.mark.parametrize("strict", ["true", "false"])
def test_strategies_are_saved_and_resumed_strictly_and_without_a_warning(
    strict: str, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", INTERRUPTED, str(tmp_path / "searches")],
        cwd=ROOT,
        env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": strict},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.stdout.split() == [w for name in STRATEGIES for w in (name, "True")]
