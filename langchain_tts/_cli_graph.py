"""The command `langchain-tts graph`: the drawing of a strategy's graph."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("graph", help="draw a strategy's state machine")
    command.add_argument(
        "strategy", metavar="STRATEGY", type=strategy_name, help="its name"
    )
    only = command.add_mutually_exclusive_group()
    only.add_argument(
        "--mermaid", action="store_true", help="print the Mermaid text alone"
    )
    only.add_argument("--ascii", action="store_true", help="print the picture alone")
    command.set_defaults(run=_graph)


def strategy_name(text: str) -> str:
    """Read the name of a strategy from a command line.

    A strategy that is named by `module:attribute` may be in the current directory.
    """
    here = str(Path.cwd())
    if ":" in text and here not in sys.path:
        sys.path.insert(0, here)
    return text


def _graph(arguments: argparse.Namespace) -> int:
    from langchain_tts.strategies import get_strategy

    strategy = get_strategy(arguments.strategy)
    from langchain_tts._drawing import mermaid, picture

    drawings = []
    if not arguments.ascii:
        drawings.append(mermaid(strategy))
    if not arguments.mermaid:
        drawings.append(picture(strategy))
    sys.stdout.write("\n\n".join(drawings) + "\n")
    return 0
