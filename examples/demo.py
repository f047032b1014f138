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

from langchain_tts import Budget, Message, SearchContext, SearchResult, stream_search
from langchain_tts._live import save_svg, show
from langchain_tts._picture import Frame
from langchain_tts.answers import grade

QUESTIONS = (
    ("What is (12+7)*3-8?", "49"),
    (
        (
            "Tom has 48 stamps. Tom gives away 19. Then Tom has 4 times as many. "
            "Tom finds 37. How many stamps does Tom have now?"
        ),
        "153",
    ),
    (
        (
            "Max buys 12 lamps at 14 dollars each, 5 bags at 36 dollars each and "
            "3 toys at 47 dollars each and pays with 600 dollars. What is the change?"
        ),
        "111",
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
    results = []
    for question, _ in QUESTIONS:
        started = monotonic()
        frame = Frame(question, "beam_search", context.budget)
        messages = [Message(role="user", content=question)]
        snapshots = stream_search(messages, context=context, seed=arguments.seed)
        result = show(snapshots, frame, console, pace=PACE)
        results.append((result, monotonic() - started))
        if arguments.svg is not None:
            save_svg(result, frame, arguments.svg)
    console.print(summary(results))
    return 0 if all(result["answer"] is not None for result, _ in results) else 1


def summary(results: list[tuple[SearchResult, float]]) -> Table:
    """What came out: one row a question.

    Args:
        results: The searches with the seconds they took, pictures included.
    """
    table = Table(title="Beam search with the models in the package")
    for name in ("question", "answer", "right?"):
        table.add_column(name)
    for name in ("tokens", "search s", "all s"):
        table.add_column(name, justify="right")
    for (question, gold), (result, seconds) in zip(QUESTIONS, results, strict=True):
        right = grade(result["answer"], gold)
        table.add_row(
            question,
            result["answer"] or "none",
            "[green]yes" if right else f"[red]no, {gold}",
            str(result["spent"].get("generated_tokens", 0)),
            f"{result['seconds']:.2f}",
            f"{seconds:.2f}",
        )
    return table


if __name__ == "__main__":
    raise SystemExit(main())
