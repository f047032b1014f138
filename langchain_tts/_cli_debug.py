"""The command `langchain-tts debug`: a search in steps, in the terminal."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_tts._cli_context import add_context, search_context
from langchain_tts._cli_graph import strategy_name

if TYPE_CHECKING:
    from langchain_tts.debugger import SearchDebugger

_NEW = ("strategy", "budget", "policy", "prm", "seed", "name", "set")
"""Options that only a new session has."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "debug", help="step through a search, look at it and change it"
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("question", metavar="QUESTION", nargs="?")
    what.add_argument("--open", metavar="NAME", help="go on with a saved session")
    what.add_argument("--list", action="store_true", help="list the saved sessions")
    command.add_argument(
        "--strategy",
        default="beam_search",
        type=strategy_name,
        help="how to search (%(default)s)",
    )
    command.add_argument(
        "--budget", default="16", help="N, how many candidates (%(default)s)"
    )
    add_context(command)
    command.add_argument(
        "--seed", type=int, help="makes the search repeatable (default: a new one)"
    )
    command.add_argument(
        "--name", help="how the session is opened again (default: made up)"
    )
    command.add_argument(
        "--file",
        type=Path,
        help="the SQLite file with the sessions (default: in the user's data folder)",
    )
    command.set_defaults(
        run=_debug, unset={name: command.get_default(name) for name in _NEW}
    )


def _debug(arguments: argparse.Namespace) -> int:
    file = arguments.file or _default_file()
    if arguments.list:
        _check(arguments, "--list")
        _list(file)
        return 0
    if arguments.open is not None:
        _check(arguments, "--open")
    if not _in_a_terminal():
        msg = (
            "debug needs a terminal; without one use the Python API: "
            "langchain_tts.debugger.SearchDebugger"
        )
        raise ValueError(msg)
    from langchain_tts.debugger._errors import missing_extra

    try:
        from langchain_tts.debugger.screen import DebuggerApp
    except ImportError as error:
        raise missing_extra(error) from error
    with _session(arguments, file) as debugger:
        DebuggerApp(debugger).run()
        again = ["langchain-tts", "debug", "--open", debugger.name]
        again += ["--file", debugger.file] if arguments.file else []
        sys.stdout.write(f"saved; go on with: {shlex.join(again)}\n")
    return 0


def _in_a_terminal() -> bool:
    # The screen is drawn on stderr.
    return all(s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr))


def _session(arguments: argparse.Namespace, file: Path) -> SearchDebugger:
    from langchain_tts.debugger import SearchDebugger

    if arguments.open is not None:
        return SearchDebugger.open(arguments.open, file)
    return SearchDebugger(
        arguments.question,
        strategy=arguments.strategy,
        context=search_context(arguments, arguments.budget),
        seed=arguments.seed,
        name=arguments.name,
        file=file,
    )


def _list(file: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from langchain_tts._picture import printable
    from langchain_tts.debugger import SearchDebugger

    table = Table("session", "created", "strategy", "branches", "question", box=None)
    for session in SearchDebugger.sessions(file):
        table.add_row(
            Text(session.name),
            f"{session.created[:16].replace('T', ' ')} UTC",
            session.strategy,
            Text(", ".join(session.branches)),
            Text(printable(session.question)),
        )
    Console().print(table if table.row_count else f"no sessions in {file}")


def _check(arguments: argparse.Namespace, command: str) -> None:
    """Refuse options that a saved session has from its start.

    Raises:
        ValueError: If there is one.
    """
    for name, unset in arguments.unset.items():
        if getattr(arguments, name) != unset:
            msg = f"--{name} is for a new session and cannot go with {command}"
            raise ValueError(msg)


def _default_file() -> Path:
    try:
        from platformdirs import user_data_path
    except ImportError as error:
        from langchain_tts.debugger._errors import missing_extra

        raise missing_extra(error) from error
    return user_data_path("langchain-tts") / "debug.sqlite"
