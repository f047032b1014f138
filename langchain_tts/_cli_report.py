"""`langchain-tts report`: a page of figures made from runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("report", help="make a page of figures from runs")
    command.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folders of `eval`, all on the same questions; the main one first",
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="an HTML file, or a folder for the page and its figures (RUN/report)",
    )
    command.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="compare this calibration's predicted difficulty with the oracle's",
    )
    command.add_argument("--title", help="of the page")
    command.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> int:
    from langchain_tts.evaluation.page.build import build, write
    from langchain_tts.evaluation.store import read_run
    from langchain_tts.strategies.calibrations import read_calibration

    calibration = None
    if arguments.calibration is not None:
        calibration = read_calibration(arguments.calibration)
    built = build(
        [read_run(folder) for folder in arguments.runs],
        command=shlex.join(["langchain-tts", *map(_name, arguments.argv)]),
        calibration=calibration,
        title=arguments.title,
    )
    page = write(built, arguments.out or arguments.runs[0] / "report")
    sys.stdout.write(f"{page}\n")
    return 0


def _name(argument: str) -> str:
    """An argument without the folders of this machine, which mean nothing elsewhere."""
    path = Path(argument)
    return path.name if path.is_absolute() else argument
