"""What a sweep looks like in a terminal: progress and a table of accuracies."""

from __future__ import annotations

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
    from collections.abc import Callable, Iterator

    from langchain_tts.evaluation.sweep import Accuracy, Report, Row
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
    rows = [row for row in report["rows"] if _shown(row, report, score, vote)]
    levels = sorted({level for row in rows for level in row["by_level"]})
    drawn = Table(
        title=f"{title}\n{rows[0]['n']} questions, accuracy in % ± 1 standard error",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    drawn.add_column("strategy", no_wrap=True)
    drawn.add_column("N", justify="right", no_wrap=True)
    drawn.add_column("answer by", no_wrap=True)
    drawn.add_column("all", justify="right", style="bold", no_wrap=True)
    for level in levels:
        drawn.add_column(f"lvl {level}", justify="right", no_wrap=True)
    previous = None
    for row in rows:
        if previous not in (None, row["strategy"]):
            drawn.add_section()
        drawn.add_row(
            "" if row["strategy"] == previous else row["strategy"],
            str(row["budget"]),
            row["vote"] if row["score"] is None else f"{row['score']}-{row['vote']}",
            _percent(row, digits=1),
            *(_percent(row["by_level"].get(level), digits=0) for level in levels),
        )
        previous = row["strategy"]
    return drawn


def _shown(row: Row, report: Report, score: Score, vote: Vote) -> bool:
    if row["strategy"] == "greedy":
        # One sample whatever N is: its rows are equal.
        return row["budget"] == min(r["budget"] for r in report["rows"])
    if vote == "majority":
        return row["vote"] == "majority"
    scored = {r["strategy"] for r in report["rows"] if r["score"] is not None}
    if row["strategy"] not in scored:
        return True
    return (row["score"], row["vote"]) == (score, vote)


def _percent(share: Accuracy | None, digits: int) -> str:
    if share is None:
        return ""
    return f"{100 * share['accuracy']:.{digits}f}±{100 * share['stderr']:.{digits}f}"
