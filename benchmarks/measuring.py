"""What the speed benchmarks have in common: options, repetitions, tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from benchmarks.random_models import SIZES, SMALLEST
from langchain_tts._markdown import fill, table
from langchain_tts.rewards import resolve_prm
from langchain_tts.rewards.base import RewardModel
from langchain_tts.search.state import Message

K = TypeVar("K")
T = TypeVar("T")
_WIDE = 160


def options(
    description: str | None, *, model: str, repetitions: int
) -> argparse.ArgumentParser:
    """The options that all have.

    Args:
        description: What the benchmark measures.
        model: Size of the random models where none is asked for.
        repetitions: Of each measurement where none are asked for.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        choices=SIZES,
        default=model,
        help="parameters of the random policy and verifier (%(default)s)",
    )
    parser.add_argument(
        "--repetitions", type=int, default=repetitions, help="(%(default)s)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the smallest models and one repetition, to see that everything works",
    )
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="write the table into a document too, between its marks",
    )
    return parser


def read(parser: argparse.ArgumentParser, **quick: object) -> argparse.Namespace:
    """Read the command line.

    Args:
        parser: From `options`.
        **quick: What else `--quick` sets.
    """
    asked = parser.parse_args()
    if asked.quick:
        vars(asked).update({"model": SMALLEST, "repetitions": 1, **quick})
    return asked


def verifier(name: str) -> RewardModel:
    """A verifier by its name, which is not None.

    Raises:
        TypeError: If there is none.
    """
    prm = resolve_prm(name)
    if prm is None:
        msg = "a search without a verifier is not measured here"
        raise TypeError(msg)
    return prm


def question(number: int) -> list[Message]:
    """One of 90 questions of the same length that share next to no prefix."""
    text = f"{10 + number % 90} * 7: what is it, and what is the half of it?"
    return [{"role": "user", "content": text}]


def interleaved(
    ways: Mapping[K, Callable[[int], T]], repetitions: int
) -> dict[K, list[T]]:
    """Measure several ways in turn: A B C A B C, never all of A first.

    What the machine does meanwhile then slows all of them alike.

    Args:
        ways: What is measured, given the number of the repetition.
        repetitions: How often each is.
    """
    found: dict[K, list[T]] = {name: [] for name in ways}
    for number in range(repetitions):
        for name, measure in ways.items():
            found[name].append(measure(number))
    return found


def middle(values: Iterable[float]) -> float:
    """The median."""
    return float(median(values))


def ratio(upper: Sequence[float], lower: Sequence[float]) -> float:
    """The median of the ratios of each repetition."""
    return middle(a / b for a, b in zip(upper, lower, strict=True))


def show(
    name: str,
    title: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    document: Path | None,
) -> None:
    """Draw a table, and put it into a document.

    Args:
        name: Of the part of the document.
        title: What was measured, above the table.
        head: Headings.
        rows: Cells.
        document: Where to put it, between the marks of that name; None: nowhere.

    Raises:
        DocumentError: If the document has no such part.
    """
    drawn = Table(*head, title=title, title_justify="left")
    for row in rows:
        drawn.add_row(*row)
    # Into a file or a pipe as wide as it is.
    Console(width=None if sys.stdout.isatty() else _WIDE).print(drawn)
    if document is not None:
        text = document.read_text(encoding="utf-8")
        written = fill(text, name, f"{title}\n\n{table(head, rows)}")
        document.write_text(written, encoding="utf-8")
