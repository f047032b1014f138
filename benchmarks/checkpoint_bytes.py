"""How large a saved search is, against what it generated.

Every superstep is saved (LangGraph's SQLite saver). The yardstick is the final tree,
with all pruned branches, as JSON.

    python -m benchmarks.checkpoint_bytes
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.instant import QUESTION, InstantPolicy, InstantPrm
from langchain_tts.budget import Budget
from langchain_tts.strategies import STRATEGIES, get_strategy
from langchain_tts.strategies.context import SearchContext


class Saved(NamedTuple):
    """The size of one saved search."""

    candidates: int
    supersteps: int
    file_bytes: int
    tree_bytes: int
    """Of the tree as JSON."""

    @property
    def ratio(self) -> float:
        """Bytes that are stored for a byte of the tree."""
        return self.file_bytes / self.tree_bytes


def save_search(strategy: str, samples: int, rounds: int, file: Path) -> Saved:
    """Save a search whose answers have `rounds` steps of 20 tokens."""
    context = SearchContext(
        policy=InstantPolicy(rounds), prm=InstantPrm(), budget=Budget(samples)
    )
    start: Any = {"messages": QUESTION, "seed": 1}
    config: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 100_000}
    with SqliteSaver.from_conn_string(str(file)) as saver:
        graph = get_strategy(strategy).build().compile(checkpointer=saver)
        state = graph.invoke(start, config, context=context, durability="sync")
        supersteps = _count(saver.conn)
        # Everything into the one file.
        saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Saved(
        candidates=len(state["tree"]),
        supersteps=supersteps,
        file_bytes=file.stat().st_size,
        tree_bytes=len(json.dumps(state["tree"])),
    )


def _count(connection: sqlite3.Connection) -> int:
    [(found,)] = connection.execute("SELECT COUNT(*) FROM checkpoints")
    return int(found)


def _print_table(
    strategies: Sequence[str], samples: Sequence[int], rounds: Sequence[int]
) -> None:
    print(
        "| strategy | N | steps | candidates | supersteps | file, kB | tree, kB "
        "| ratio | bytes a candidate |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for strategy in strategies:
        for n in samples:
            for depth in rounds:
                with tempfile.TemporaryDirectory() as folder:
                    saved = save_search(strategy, n, depth, Path(folder, "search"))
                print(
                    f"| {strategy} | {n} | {depth} | {saved.candidates} "
                    f"| {saved.supersteps} | {saved.file_bytes / 1000:.0f} "
                    f"| {saved.tree_bytes / 1000:.0f} | {saved.ratio:.2f} "
                    f"| {saved.file_bytes / saved.candidates:.0f} |",
                    flush=True,
                )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="How large a saved search is.")
    parser.add_argument(
        "--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES)
    )
    parser.add_argument("--samples", type=int, nargs="+", default=[256])
    parser.add_argument("--rounds", type=int, nargs="+", default=[10, 20])
    options = parser.parse_args()
    _print_table(options.strategies, options.samples, options.rounds)


if __name__ == "__main__":
    main()
