"""What a sweep looks like in a terminal: progress and a table of accuracies."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_tts.evaluation.rows import Row
    from langchain_tts.evaluation.sweep import Report
    from langchain_tts.search.state import Score, Vote


class Pace:
    """How fast searches end, for the time that is left.

    What an earlier run has done already took no time in this one, so the pace is that
    of the new searches alone.

    Args:
        done: Searches that were done before.
        now: Seconds by any clock.
    """

    def __init__(self, done: int, now: float) -> None:
        self._before = self._done = done
        self._started = now

    def update(self, done: int) -> None:
        """Take note of how many searches are done."""
        self._done = done

    def left(self, total: int, now: float) -> float | None:
        """Seconds until all are done; None as long as there is no telling."""
        new = self._done - self._before
        if not new:
            return None
        return (now - self._started) * (total - self._done) / new


class _TimeLeft(ProgressColumn):
    """The time that is left by the pace of the searches."""

    pace: Pace | None = None

    def render(self, task: Task) -> Text:
        total = int(task.total or 0)
        left = None if self.pace is None else self.pace.left(total, monotonic())
        shown = "-:--:--" if left is None else str(timedelta(seconds=int(left)))
        return Text(shown, style="progress.remaining")


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Progress on stderr; yields what to call with (done, total).

    The first call tells what was done before. A bar on a terminal, a line after each
    tenth elsewhere; nothing before the first call.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    time_left = _TimeLeft()
    columns = (
        TextColumn("searches"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        time_left,
    )
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("")

    def advance(done: int, total: int) -> None:
        if time_left.pace is None:
            time_left.pace = Pace(done, monotonic())
            bar.start()
        time_left.pace.update(done)
        bar.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()


def _lines(console: Console) -> Callable[[int, int], None]:
    pace: Pace | None = None
    started = tenths = 0.0

    def say(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True)

    def advance(done: int, total: int) -> None:
        nonlocal pace, started, tenths
        now = monotonic()
        if pace is None:
            pace, started, tenths = Pace(done, now), now, 10 * done // total
            if done:
                say(f"{done} of {total} searches were done before")
            return
        pace.update(done)
        left = pace.left(total, now)
        if 10 * done // total == tenths or left is None:
            return
        tenths = 10 * done // total
        say(f"{done} of {total} searches, {now - started:.0f} s, {left:.0f} s left")

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
        title=f"{title}\n{asked(report)}, accuracy in % ± 1 standard error",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=0,
    )
    drawn.add_column("strategy", overflow="fold")
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
            "" if row["strategy"] == previous else _words(row["strategy"]),
            str(row["budget"]),
            way(row),
            percent(total, digits=1),
            *(percent(s, digits=0) for s in others[: len(levels) + sampled]),
        )
        previous = row["strategy"]
    return drawn


def _words(strategy: str) -> str:
    """A strategy with its parameters as words, between which a line may break."""
    return strategy.replace("?", " ").replace("&", " ")


def losses(report: Report) -> list[str]:
    """A line for each strategy and N of which searches failed."""
    searches = report["questions"] * len(report["seeds"])
    first: dict[tuple[str, int], str] = {}
    counts: Counter[tuple[str, int]] = Counter()
    for failure in report["failures"]:
        key = (failure["strategy"], failure["budget"])
        first.setdefault(key, failure["error"])
        counts[key] += 1
    return [
        f"{strategy}, N = {budget}: {_lost(count, searches)}; "
        f"the first: {first[strategy, budget]}"
        for (strategy, budget), count in counts.items()
    ]


def _lost(count: int, searches: int) -> str:
    if count == searches:
        return "every search failed, so nothing was measured"
    return f"{count} of {searches} searches failed and count as wrong"


def asked(report: Report) -> str:
    """How many questions were asked, and with which seeds."""
    of = ", ".join(map(str, report["seeds"]))
    seeds = f"seed {of}" if len(report["seeds"]) == 1 else f"seeds {of}"
    return f"{report['questions']} questions, {seeds}"


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
