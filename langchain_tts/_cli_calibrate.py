"""`langchain-tts calibrate`: which strategy is best for which question."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from langchain_tts._cli_context import (
    UsageError,
    add_context,
    add_sizes,
    search_context,
    sizes,
)
from langchain_tts._cli_engine import add_engine, engine

if TYPE_CHECKING:
    import argparse

    from langchain_tts.search.calibration import Calibration

STRATEGIES = (
    "greedy",
    "majority_vote",
    "best_of_n",
    "beam_search?beam_width=2",
    "beam_search?beam_width=4",
    "beam_search?beam_width=8",
    "dvts?beam_width=2",
    "dvts?beam_width=4",
    "lookahead?lookahead=1",
    "lookahead?lookahead=2",
    "particle_filter",
    "best_first",
    "revision?sequential_to_parallel=0.25",
    "revision?sequential_to_parallel=1.0",
    "revision?sequential_to_parallel=4.0",
)
"""What is compared unless strategies are named, each with every score and vote."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "calibrate", help="measure which strategy is best for which question"
    )
    command.add_argument(
        "--dataset",
        default="tinymath",
        help="questions to choose on, as in `eval` (%(default)s)",
    )
    command.add_argument(
        "--split",
        default="calibration",
        help="of tinymath: calibration or test (%(default)s)",
    )
    command.add_argument(
        "--strategies",
        default=",".join(STRATEGIES),
        help="names with parameters, separated by commas; best_of_n must be among "
        "them, or without a verifier majority_vote (%(default)s)",
    )
    add_sizes(command, budgets="4,16,64")
    command.add_argument(
        "--seed", type=int, default=0, help="of searches and folds (%(default)s)"
    )
    add_context(command)
    add_engine(command)
    command.add_argument(
        "--run",
        dest="folder",
        metavar="RUN",
        type=Path,
        help="keep every search there; a run that is there already is gone on with",
    )
    command.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        default=Path("calibration.json"),
        help="where the calibration is written (%(default)s)",
    )
    command.set_defaults(run=_calibrate)


def _calibrate(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from langchain_tts.evaluation.calibrate import calibrate
    from langchain_tts.evaluation.calibration_table import report
    from langchain_tts.evaluation.store import read_run

    # What cannot be written must not cost the searches.
    _check_file(arguments.out)
    with (
        TemporaryDirectory() if arguments.folder is None else nullcontext()
    ) as temporary:
        folder = arguments.folder or Path(temporary or "")
        _search(arguments, folder)
        calibration = calibrate(read_run(folder))
    _write(calibration, arguments.out)
    console = Console()
    console.print(report(calibration))
    console.print(f"written to {arguments.out}", soft_wrap=True)
    return 0


def _search(arguments: argparse.Namespace, folder: Path) -> None:
    """Run the searches that the folder does not hold yet."""
    from langchain_tts.evaluation.datasets import dataset_label, load_dataset
    from langchain_tts.evaluation.report import progress
    from langchain_tts.evaluation.sweep import sweep

    budgets, limit = sizes(arguments)
    with engine(arguments) as where, progress() as advance:
        sweep(
            load_dataset(arguments.dataset, split=arguments.split, limit=limit),
            strategies=_strategies(arguments),
            budgets=budgets,
            context=search_context(arguments, budget=max(budgets)),
            seeds=[arguments.seed],
            dataset=dataset_label(arguments.dataset, arguments.split),
            folder=folder,
            engine=where,
            advance=advance,
        )


def _strategies(arguments: argparse.Namespace) -> list[str]:
    from langchain_tts.evaluation.crossfit import SAMPLERS

    given = [text.strip() for text in arguments.strategies.split(",")]
    if not set(SAMPLERS).intersection(given):
        msg = (
            f"--strategies has none of {' and '.join(SAMPLERS)}, whose first samples "
            "predict the difficulty; add one"
        )
        raise UsageError(msg)
    return given


def _check_file(path: Path) -> None:
    if path.is_dir() or not path.parent.is_dir():
        msg = f"--out is {path}, which cannot be written; give a file in a folder"
        raise UsageError(msg)


def _write(calibration: Calibration, path: Path) -> None:
    from langchain_tts.evaluation.store import write_whole

    write_whole(path, json.dumps(calibration, indent=1) + "\n")
