"""Three questions of rising difficulty, answered by beam search before your eyes.

Run it with `python -m examples.demo`. It needs no network and no GPU: the policy and
the verifier ship with the package.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.table import Table

from langchain_tts import (
    Budget,
    Message,
    SearchContext,
    SearchResult,
    solve,
    stream_search,
)
from langchain_tts._live import save_svg, show
from langchain_tts._picture import Frame
from langchain_tts.answers import grade

QUESTIONS = (
    ("What is 12*7+5?", "89"),
    (
        (
            "Tom has 48 stamps. Tom gives away 19. Then Tom has 4 times as many. "
            "Tom finds 37. How many stamps does Tom have now?"
        ),
        "153",
    ),
    (
        (
            "Max buys 11 hats at 12 dollars each, 3 lamps at 35 dollars each and "
            "5 bags at 55 dollars each, with a coupon of 6 dollars. What is to pay?"
        ),
        "506",
    ),
)
"""Questions with their answers, the easiest first."""

PACE = 0.15
"""Seconds that each picture stays: the models are faster than the eye."""


def main(argv: list[str] | None = None) -> int:
    """Answer the questions and sum up.

    Returns:
        The exit code: 0 if every search gave an answer.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=16, help="N (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--svg", type=Path, help="save the last search's picture here")
    arguments = parser.parse_args(argv)

    console = Console()
    context = SearchContext(budget=Budget(arguments.budget))
    results, greedy = [], []
    for question, _ in QUESTIONS:
        started = monotonic()
        frame = Frame(question, "beam_search", context.budget)
        messages = [Message(role="user", content=question)]
        snapshots = stream_search(messages, context=context, seed=arguments.seed)
        result = show(snapshots, frame, console, pace=PACE)
        results.append((result, monotonic() - started))
        greedy.append(solve(messages, strategy="greedy", context=context)["answer"])
        if arguments.svg is not None:
            save_svg(result, frame, arguments.svg)
    console.print(summary(results, greedy))
    return 0 if all(result["answer"] is not None for result, _ in results) else 1


def summary(
    results: list[tuple[SearchResult, float]], greedy: list[str | None]
) -> Table:
    """What came out: one row a question.

    Args:
        results: The searches with the seconds they took, pictures included.
        greedy: What the same policy answers without a search.
    """
    table = Table(title="Beam search with the models in the package")
    for name in ("question", "answer", "right?", "unsearched"):
        table.add_column(name)
    for name in ("tokens", "search s", "all s"):
        table.add_column(name, justify="right")
    for (question, gold), (result, seconds), first in zip(
        QUESTIONS, results, greedy, strict=True
    ):
        right = grade(result["answer"], gold)
        table.add_row(
            question,
            result["answer"] or "none",
            "[green]yes" if right else f"[red]no, {gold}",
            first or "none",
            str(result["spent"].get("generated_tokens", 0)),
            f"{result['seconds']:.2f}",
            f"{seconds:.2f}",
        )
    return table


if __name__ == "__main__":
    raise SystemExit(main())
