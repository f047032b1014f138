"""What a sweep looks like in a terminal: progress and a table of accuracies."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_tts.evaluation.rows import Row
    from langchain_tts.evaluation.sweep import Report
    from langchain_tts.search.state import Score, Vote


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Progress on stderr; yields what to call with (done, total).

    A bar on a terminal, a line after each tenth elsewhere; nothing before the first
    call.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        TextColumn("searches"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("")

    def advance(done: int, total: int) -> None:
        if not bar.live.is_started:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()


def _lines(console: Console) -> Callable[[int, int], None]:
    started = monotonic()

    def advance(done: int, total: int) -> None:
        if 10 * done // total == 10 * (done - 1) // total:
            return
        seconds = monotonic() - started
        left = seconds * (total - done) / done
        line = f"{done} of {total} searches, {seconds:.0f} s, {left:.0f} s left"
        console.print(line, highlight=False, soft_wrap=True)

    return advance


def table(report: Report, *, title: str, score: Score, vote: Vote) -> Table:
    """Accuracy in percent with standard errors, over all and by level.

    Args:
        report: What was measured.
        title: The data set.
        score: Of the rows to show; strategies that only vote by majority are always
            shown.
        vote: Of the rows to show.
    """
    rows = shown_rows(report, score, vote)
    levels = levels_of(rows)
    sampled = any(row["pass_at_k"] is not None for row in rows)
    drawn = Table(
        title=f"{title}\n{report['questions']} questions, "
        "accuracy in % ± 1 standard error",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=0,
    )
    drawn.add_column("strategy", no_wrap=True)
    drawn.add_column("N", justify="right", no_wrap=True)
    drawn.add_column("answer by", no_wrap=True)
    drawn.add_column("all", justify="right", style="bold", no_wrap=True)
    for level in levels:
        drawn.add_column(f"lvl {level}", justify="right", no_wrap=True)
    if sampled:
        drawn.add_column("pass@N", justify="right", no_wrap=True)
    previous = None
    for row in rows:
        if previous not in (None, row["strategy"]):
            drawn.add_section()
        total, *others = shares(row, levels)
        drawn.add_row(
            "" if row["strategy"] == previous else row["strategy"],
            str(row["budget"]),
            way(row),
            percent(total, digits=1),
            *(percent(s, digits=0) for s in others[: len(levels) + sampled]),
        )
        previous = row["strategy"]
    return drawn


def losses(report: Report) -> list[str]:
    """A line for each strategy and N of which searches failed."""
    first: dict[tuple[str, int], str] = {}
    counts: Counter[tuple[str, int]] = Counter()
    for failure in report["failures"]:
        key = (failure["strategy"], failure["budget"])
        first.setdefault(key, failure["error"])
        counts[key] += 1
    return [
        f"{strategy}, N = {budget}: {_lost(count, report['questions'])}; "
        f"the first: {first[strategy, budget]}"
        for (strategy, budget), count in counts.items()
    ]


def _lost(count: int, questions: int) -> str:
    if count == questions:
        return "every search failed, so nothing was measured"
    return f"{count} of {questions} searches failed and count as wrong"


def shown_rows(report: Report, score: Score, vote: Vote) -> list[Row]:
    """The rows of a table: one way of answering for each strategy and budget."""
    rows = report["rows"]
    scored = {row["strategy"] for row in rows if row["score"] is not None}
    least = min((row["budget"] for row in rows), default=0)

    def shown(row: Row) -> bool:
        if row["strategy"] == "greedy":
            # One sample whatever N is: its rows are equal.
            return row["budget"] == least
        if vote == "majority" or row["strategy"] not in scored:
            return row["vote"] == "majority"
        return (row["score"], row["vote"]) == (score, vote)

    return [row for row in rows if shown(row)]


def levels_of(rows: Sequence[Row]) -> list[str]:
    """The levels that the questions have, easiest first."""
    return sorted({level for row in rows for level in row["by_level"]}, key=int)


def way(row: Row) -> str:
    """How a row's answers were chosen."""
    return row["vote"] if row["score"] is None else f"{row['score']}-{row['vote']}"


def shares(row: Row, levels: Sequence[str]) -> list[tuple[float, float] | None]:
    """A row's shares with their errors: over all, at each level, and pass@N."""
    by_level = [row["by_level"].get(level) for level in levels]
    sampled = row["pass_at_k"]
    return [
        (row["accuracy"], row["stderr"]),
        *(None if at is None else (at["accuracy"], at["stderr"]) for at in by_level),
        None if sampled is None else (sampled["mean"], sampled["stderr"]),
    ]


def percent(share: tuple[float, float] | None, *, digits: int, sign: str = "±") -> str:
    """A share in percent with one standard error; nothing for None."""
    if share is None:
        return ""
    value, error = share
    return f"{100 * value:.{digits}f}{sign}{100 * error:.{digits}f}"
