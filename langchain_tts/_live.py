"""A search shown while it runs: a live picture, or lines where there is no terminal."""

from __future__ import annotations

import re
import time
from io import StringIO
from typing import TYPE_CHECKING, cast

from rich.console import Console
from rich.live import Live

from langchain_tts._picture import Frame, limits, render
from langchain_tts.strategies.state import result_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from langchain_tts.search.routing import Route
    from langchain_tts.search.state import SearchResult
    from langchain_tts.strategies.state import SearchState

_OTHER_LINES = 20
"""Lines of the picture that are not branches."""


def plain(snapshot: SearchState) -> str:
    """One line on a search as it stands, for output that is not a terminal."""
    tree = snapshot.get("tree", [])
    counts = {
        status: sum(candidate["status"] == status for candidate in tree)
        for status in ("finished", "pruned")
    }
    scores = [tree[i]["score"] for i in snapshot.get("frontier", []) if i < len(tree)]
    best = max((score for score in scores if score is not None), default=None)
    parts = [
        f"round {snapshot.get('round', 0)}",
        f"{len(tree)} steps",
        f"{len(scores)} live",
        *(f"{count} {status}" for status, count in counts.items()),
        f"{snapshot.get('spent', {}).get('generated_tokens', 0)} tokens",
    ]
    if "strategy" in snapshot.get("route", {}):
        parts.insert(0, snapshot["route"]["strategy"])
    if best is not None:
        parts.append(f"best score {best:.2f}")
    return ", ".join(parts)


def show(
    snapshots: Iterable[SearchState],
    frame: Frame,
    console: Console,
    *,
    pace: float = 0.0,
) -> SearchResult:
    """Show a search while it runs: a live picture, or plain lines without a terminal.

    Args:
        snapshots: The states of the search; the last one holds its result.
        frame: What the search is about.
        console: Where to draw.
        pace: Seconds that each live picture stays at least.

    Returns:
        The result of the search.

    Raises:
        ValueError: If the snapshots end without a result.
    """
    last: SearchState = {}
    if console.is_terminal:
        watched = _animate(snapshots, frame, console, pace)
    else:
        watched = _write_lines(snapshots, frame, console)
    for snapshot in watched:
        last = snapshot
    if "result" not in last:
        msg = "the search ended without a result"
        raise ValueError(msg)
    if console.is_terminal:
        console.print(render(last, frame))
    return result_of(last)


def save_svg(result: SearchResult, frame: Frame, path: Path, width: int = 96) -> None:
    """Save the picture of a finished search as an SVG.

    Args:
        result: What the search found.
        frame: What it was about.
        path: The file to write.
        width: Of the picture, in characters.
    """
    console = Console(
        file=StringIO(),
        record=True,
        width=width,
        force_terminal=True,
        legacy_windows=False,
    )
    snapshot: SearchState = {
        "seed": result["seed"],
        "tree": result["tree"],
        "spent": result["spent"],
        "degradations": result["degradations"],
        "result": result,
    }
    if "route" in result:
        snapshot["route"] = cast("Route", result["route"])
    console.print(render(snapshot, frame))
    path.parent.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(title="langchain-tts solve")
    # Rich names fonts to fetch from a network; the reader's own do as well.
    svg = re.sub(r"@font-face {.*?}\s*", "", svg, flags=re.DOTALL)
    path.write_text(svg, encoding="utf-8")


def _animate(
    snapshots: Iterable[SearchState], frame: Frame, console: Console, pace: float
) -> Iterator[SearchState]:
    lines = max(4, console.height - _OTHER_LINES)
    with Live(console=console, transient=True, auto_refresh=False) as live:
        for snapshot in snapshots:
            live.update(render(snapshot, frame, max_lines=lines), refresh=True)
            yield snapshot
            time.sleep(pace)


def _write_lines(
    snapshots: Iterable[SearchState], frame: Frame, console: Console
) -> Iterator[SearchState]:
    rounds, shown = 0, ""
    for snapshot in snapshots:
        # One line a round, and nothing before the first: wrong input is found there.
        turn = snapshot.get("round", 0)
        line = plain(snapshot)
        if (turn > rounds or "result" in snapshot) and line != shown:
            if not shown:
                header = f"{frame.strategy}, {limits(frame.budget)}"
                console.print(header, highlight=False, soft_wrap=True)
            console.print(line, highlight=False, soft_wrap=True)
            rounds, shown = turn, line
        yield snapshot
