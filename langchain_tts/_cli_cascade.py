"""`langchain-tts calibrate-cascade`: choose the thresholds of a cascade."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from langchain_tts.search.cascade import Figures


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "calibrate-cascade", help="choose when a cascade asks its next policy"
    )
    command.add_argument(
        "--runs",
        nargs="+",
        required=True,
        type=Path,
        metavar="RUN",
        help="one folder of `eval` for each policy, the smallest policy first",
    )
    target = command.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--target-accuracy",
        type=float,
        metavar="A",
        help="choose the cheapest thresholds that are right so often, e.g. 0.7",
    )
    target.add_argument(
        "--target-flops",
        type=float,
        metavar="F",
        help="choose the most accurate ones that cost at most F a question",
    )
    command.add_argument(
        "--budget",
        type=int,
        default=16,
        help="N of the cascade, which its policies share (%(default)s)",
    )
    command.add_argument(
        "--score", choices=("min", "last", "avg", "prod"), default="last"
    )
    command.add_argument("--vote", choices=("majority", "max", "vote"), default="max")
    command.add_argument("--out", required=True, type=Path, metavar="FILE")
    command.set_defaults(run=_calibrate)


def _calibrate(arguments: argparse.Namespace) -> int:
    from langchain_tts.budget import Budget
    from langchain_tts.evaluation.cascade import Target
    from langchain_tts.evaluation.cascade_runs import thresholds
    from langchain_tts.evaluation.store import read_run

    if arguments.target_accuracy is not None:
        target = Target("accuracy", arguments.target_accuracy)
    else:
        target = Target("flops", arguments.target_flops)
    found = thresholds(
        [read_run(folder) for folder in arguments.runs],
        Budget(arguments.budget).samples,
        target,
        arguments.score,
        arguments.vote,
    )
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    names = found["policies"][:-1]
    for name, enough in zip(names, found["defer_below"], strict=True):
        _write(f"{name} passes on below {enough:.3f} ({found['trust']})")
    _write(f"chosen on:  {_shown(found['chosen'])}")
    _write(f"held out:   {_shown(found['held_out'])}")
    return 0


def _shown(figures: Figures) -> str:
    low, high = figures["interval"]
    return (
        f"accuracy {figures['accuracy']:.3f} [{low:.3f}, {high:.3f}], "
        f"{figures['flops']:.3g} FLOPs a question, n = {figures['n']}"
    )


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
