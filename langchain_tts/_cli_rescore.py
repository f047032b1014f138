"""`langchain-tts rescore`: grade a run again, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from langchain_tts._cli_measured import add_output, check_output, show

if TYPE_CHECKING:
    import argparse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "rescore",
        help="find, compare and vote on a run's answers again, without a model",
    )
    command.add_argument(
        "folder", metavar="RUN", type=Path, help="the folder of `eval --out`"
    )
    add_output(command)
    command.set_defaults(run=_rescore)


def _rescore(arguments: argparse.Namespace) -> int:
    from langchain_tts.evaluation.report import progress
    from langchain_tts.evaluation.rescore import rescore
    from langchain_tts.evaluation.store import read_manifest
    from langchain_tts.strategies.context import SearchContext

    check_output(arguments)
    parameters = read_manifest(arguments.folder)["parameters"]
    with progress() as advance:
        report = rescore(arguments.folder, advance=advance)
    show(
        report,
        arguments,
        score=parameters.get("score", SearchContext.score),
        vote=parameters.get("vote", SearchContext.vote),
    )
    return 0
