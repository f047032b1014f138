"""`langchain-tts eval`: measure strategies on a data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_tts._cli_context import (
    UsageError,
    add_context,
    add_sizes,
    search_context,
    sizes,
)
from langchain_tts._cli_engine import add_engine, engine
from langchain_tts._cli_graph import strategy_name
from langchain_tts._cli_measured import add_output, check_output, show

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("eval", help="measure strategies on a data set")
    command.add_argument(
        "--dataset",
        default="tinymath",
        help="tinymath, math500, aime24, a JSONL file, or "
        "'hf:NAME?config=main&split=test&question=problem&answer=answer&level=level' "
        "(%(default)s)",
    )
    command.add_argument(
        "--split", default="test", help="of tinymath: calibration or test (%(default)s)"
    )
    command.add_argument(
        "--strategies",
        type=strategy_name,
        default="greedy,majority_vote,best_of_n,beam_search",
        help="names, separated by commas, each with parameters of its own if wanted: "
        "'best_of_n,beam_search?beam_width=8&score=min' (in quotes, because shells "
        "read ? and & too); or `all` (%(default)s)",
    )
    add_sizes(command, budgets="1,4,16,64")
    command.add_argument(
        "--seeds",
        default="0",
        help="each question is searched once with each, separated by commas; --seed "
        "is the same (%(default)s)",
    )
    add_context(command)
    add_engine(command)
    command.add_argument(
        "--out",
        metavar="RUN",
        type=Path,
        help="folder that keeps every search and the summary (what --json prints, in "
        "summary.json); the same command goes on with a run that was stopped",
    )
    add_output(command)
    command.set_defaults(run=_eval)


def _eval(arguments: argparse.Namespace) -> int:
    from langchain_tts.evaluation.datasets import dataset_label, load_dataset
    from langchain_tts.evaluation.report import progress
    from langchain_tts.evaluation.sweep import sweep

    budgets, limit = sizes(arguments)
    seeds = _seeds(arguments.seeds)
    questions = load_dataset(arguments.dataset, split=arguments.split, limit=limit)
    context = search_context(arguments, budget=max(budgets))
    # What cannot be written must not cost the evaluation.
    check_output(arguments)
    _check_folder(arguments.out)
    done = _Done()
    try:
        with engine(arguments) as where, progress() as advance:
            report = sweep(
                questions,
                strategies=_strategies(arguments.strategies),
                budgets=budgets,
                context=context,
                seeds=seeds,
                dataset=dataset_label(arguments.dataset, arguments.split),
                folder=arguments.out,
                engine=where,
                advance=done.and_then(advance),
            )
    except KeyboardInterrupt:
        if arguments.out is not None:
            done.say(arguments.out)
        raise
    show(report, arguments, score=context.score, vote=context.vote)
    return 0


class _Done:
    """How far a run has come."""

    def __init__(self) -> None:
        self._searches = (0, 0)

    def and_then(
        self, advance: Callable[[int, int], None]
    ) -> Callable[[int, int], None]:
        """Take note of the progress and pass it on."""

        def both(done: int, total: int) -> None:
            self._searches = done, total
            advance(done, total)

        return both

    def say(self, folder: Path) -> None:
        """Say what a run that was stopped has kept."""
        done, total = self._searches
        sys.stderr.write(
            f"langchain-tts: stopped; {folder} keeps {done} of {total} searches, and "
            "the same command goes on with it\n"
        )


def _strategies(text: str) -> list[str]:
    from langchain_tts.strategies import STRATEGIES

    if text.strip() == "all":
        return list(STRATEGIES)
    return [name.strip() for name in text.split(",")]


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError:
        msg = f"--seeds is {text!r}; give whole numbers separated by commas, e.g. 0,1,2"
        raise UsageError(msg) from None


def _check_folder(folder: Path | None) -> None:
    if folder is not None and folder.exists() and not folder.is_dir():
        msg = (
            f"--out is {str(folder)!r}, a file; give a folder for the run: its "
            "summary.json is what --json prints"
        )
        raise UsageError(msg)
