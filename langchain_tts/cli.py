"""The command line: `langchain-tts solve | debug | eval | calibrate | report | ...`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from langchain_tts import (
    _cli_calibrate,
    _cli_cascade,
    _cli_debug,
    _cli_eval,
    _cli_graph,
    _cli_report,
    _cli_rescore,
)
from langchain_tts._cli_context import UsageError, add_context, search_context
from langchain_tts._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.search.state import SearchResult

# Engines and LangGraph are imported inside the commands: `--help` must be instant.

USER_ERROR = 2
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Reports one line where argparse prints its usage as well."""

    def error(self, message: str) -> NoReturn:
        msg = f"{message}; see {self.prog} --help"
        raise UsageError(msg)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments; None takes the process's.

    Returns:
        The exit code: 0, 2 for something the user can mend (one line on stderr), 130
        after Ctrl-C.
    """
    # Wrong input is one line on stderr, without what libraries would add to it.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        given = sys.argv[1:] if argv is None else list(argv)
        arguments = _parser().parse_args(given)
        arguments.argv = given
        code: int = arguments.run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, OSError) as error:
        line = " ".join(str(error).split())
        sys.stderr.write(f"langchain-tts: error: {line}\n")
        return USER_ERROR
    return code


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="langchain-tts",
        description="Test-time scaling: answer questions by search in a budget.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_solve(commands.add_parser("solve", help="search for the answer to a question"))
    _cli_debug.add_parser(commands)
    _cli_eval.add_parser(commands)
    _cli_rescore.add_parser(commands)
    _cli_calibrate.add_parser(commands)
    _cli_cascade.add_parser(commands)
    _cli_graph.add_parser(commands)
    _cli_report.add_parser(commands)
    listing = commands.add_parser("strategies", help="list the strategies")
    listing.set_defaults(run=_strategies)
    return parser


def _add_solve(command: argparse.ArgumentParser) -> None:
    command.add_argument("question", metavar="QUESTION")
    command.add_argument(
        "--strategy",
        type=_cli_graph.strategy_name,
        default="beam_search",
        help="how to search (%(default)s)",
    )
    command.add_argument(
        "--budget", default="16", help="N, how many candidates (%(default)s)"
    )
    add_context(command)
    command.add_argument(
        "--seed", type=int, help="makes the search repeatable (default: a new one)"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument(
        "--quiet", action="store_true", help="print the answer and nothing else"
    )
    command.set_defaults(run=_solve)


def _solve(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from langchain_tts._live import show
    from langchain_tts._picture import Frame, printable
    from langchain_tts.search.state import Message
    from langchain_tts.strategies.run import solve, stream_search

    context = search_context(arguments, budget=arguments.budget)
    messages = [Message(role="user", content=arguments.question)]
    if arguments.json or arguments.quiet:
        result = solve(
            messages,
            strategy=arguments.strategy,
            context=context,
            seed=arguments.seed,
        )
        answer = printable(result["answer"] or "")
        _write(_to_json(result) if arguments.json else answer)
        return 0
    console = Console()
    frame = Frame(arguments.question, arguments.strategy, context.budget)
    snapshots = stream_search(
        messages, strategy=arguments.strategy, context=context, seed=arguments.seed
    )
    result = show(snapshots, frame, console)
    if not console.is_terminal:
        _write(f"answer: {printable(result['answer'] or 'none')}")
    return 0


def _strategies(_arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from langchain_tts.strategies import STRATEGIES
    from langchain_tts.strategies._table import printed

    Console().print(printed(STRATEGIES.values()))
    return 0


def _to_json(result: SearchResult) -> str:
    # The tree is for pictures and programs: it can be larger than all the rest.
    return json.dumps({key: value for key, value in result.items() if key != "tree"})


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
