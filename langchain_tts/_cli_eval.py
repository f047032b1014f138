"""`langchain-tts eval`: measure strategies on a data set."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_tts._cli_context import UsageError, add_context, search_context
from langchain_tts._cli_graph import strategy_name

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager
    from typing import IO


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("eval", help="measure strategies on a data set")
    command.add_argument(
        "--dataset",
        default="tinymath",
        help="tinymath, math500, aime24, or a JSONL file (%(default)s)",
    )
    command.add_argument(
        "--split", default="test", help="of tinymath: calibration or test (%(default)s)"
    )
    command.add_argument(
        "--strategies",
        type=strategy_name,
        default="greedy,majority_vote,best_of_n,beam_search",
        help="names, separated by commas, or `all` (%(default)s)",
    )
    command.add_argument(
        "--budgets",
        default="1,4,16,64",
        help="values of N, separated by commas (%(default)s)",
    )
    command.add_argument(
        "--limit", help="use K questions, spread over the levels", metavar="K"
    )
    command.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    add_context(command)
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--out", metavar="FILE", help="write the JSON to a file too")
    command.add_argument(
        "--markdown",
        metavar="FILE",
        type=Path,
        help="write the table into a document, between its marks if it is there",
    )
    command.set_defaults(run=_eval)


def _eval(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from langchain_tts.evaluation.datasets import load_dataset
    from langchain_tts.evaluation.markdown import (
        check_document,
        markdown,
        write_document,
    )
    from langchain_tts.evaluation.report import losses, progress, table
    from langchain_tts.evaluation.sweep import sweep

    budgets = [_whole_number(n, "--budgets") for n in arguments.budgets.split(",")]
    limit = None
    if arguments.limit is not None:
        limit = _whole_number(arguments.limit, "--limit")
    questions = load_dataset(arguments.dataset, split=arguments.split, limit=limit)
    context = search_context(arguments, budget=max(budgets))
    # What cannot be written must not cost the evaluation.
    if arguments.markdown is not None:
        check_document(arguments.markdown)
    with _opened(arguments.out) as out, progress() as advance:
        report = sweep(
            questions,
            strategies=_strategies(arguments.strategies),
            budgets=budgets,
            context=context,
            seed=arguments.seed,
            advance=advance,
        )
        text = json.dumps({"dataset": arguments.dataset, **report})
        if out is not None:
            out.write(text + "\n")
    title = (
        f"{arguments.dataset}, policy {report['policy']}, "
        f"verifier {report['prm'] or 'none'}"
    )
    if arguments.markdown is not None:
        document = markdown(
            report,
            title=title,
            command=shlex.join(["langchain-tts", *arguments.argv]),
            score=context.score,
            vote=context.vote,
        )
        write_document(arguments.markdown, document)
    if arguments.json:
        sys.stdout.write(text + "\n")
    else:
        drawn = table(report, title=title, score=context.score, vote=context.vote)
        Console().print(drawn)
    for line in losses(report):
        sys.stderr.write(f"langchain-tts: {line}\n")
    return 0


def _strategies(text: str) -> list[str]:
    from langchain_tts.strategies import STRATEGIES

    if text.strip() == "all":
        return list(STRATEGIES)
    return [name.strip() for name in text.split(",")]


def _whole_number(text: str, option: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        msg = f"{option} has {text.strip()!r}; give whole numbers above 0, e.g. 16"
        raise UsageError(msg)
    return number


def _opened(path: str | None) -> AbstractContextManager[IO[str] | None]:
    return nullcontext() if path is None else Path(path).open("w", encoding="utf-8")
