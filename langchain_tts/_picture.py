"""One picture of a search: branches, scores, votes and what was spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from langchain_tts._branches import Branch, fold
from langchain_tts.search.settle import SETTLED

if TYPE_CHECKING:
    from langchain_tts.budget import Budget, Spent
    from langchain_tts.search.routing import Route
    from langchain_tts.search.state import Outcome, Status
    from langchain_tts.strategies.state import SearchState

MARKS: dict[Status, tuple[str, str]] = {
    "finished": ("✔ finished", "green"),
    "active": ("… thinking", "cyan"),
    "truncated": ("⋯ cut off", "magenta"),
    "pruned": ("✂ pruned", "bright_black"),
    "failed": ("✖ failed", "red"),
}
_BAR_WIDTH = 10
_FINAL_LINES = 28
"""Branches of the picture that stays on the terminal."""


@dataclass(frozen=True)
class Frame:
    """What every picture of one search shows besides its state.

    Args:
        question: What was asked.
        strategy: The name of the strategy.
        budget: The limits of the search.
    """

    question: str
    strategy: str
    budget: Budget


def render(
    snapshot: SearchState, frame: Frame, *, max_lines: int = _FINAL_LINES
) -> RenderableType:
    """Draw a search as it stands.

    Args:
        snapshot: The state of the search after any superstep.
        frame: What the search is about.
        max_lines: Branches to show at most.

    Returns:
        Something for `rich.console.Console.print`.
    """
    result = snapshot.get("result")
    parts: list[RenderableType] = [
        Text(_shorten(frame.question, 400), style="bold"),
        Text(),
        _branches(snapshot, max_lines),
    ]
    boxes: list[RenderableType] = []
    if result is not None and result["votes"]:
        boxes.append(_titled("vote", votes_table(result)))
    boxes.append(_titled("spent", spent_table(snapshot.get("spent", {}), frame.budget)))
    parts += [Text(), Columns(boxes, padding=(0, 3))]
    if "strategy" in snapshot.get("route", {}):
        parts.append(route_line(snapshot["route"]))
    parts += [
        Text(f"! {line}", style="yellow") for line in snapshot.get("degradations", [])
    ]
    if result is not None:
        parts += [Text(), answer_line(result)]
    return Panel(
        Group(*parts),
        title=Text(f"{frame.strategy} · {limits(frame.budget)}", style="bold blue"),
        subtitle=Text(_progress(snapshot), style="bright_black"),
        title_align="left",
        subtitle_align="right",
        border_style="blue" if result is None else "green",
        box=box.ROUNDED,
        padding=(1, 2),
    )


def route_line(route: Route) -> Text:
    """What a search chose for its question, and why."""
    chance = route["chance"]
    guess = "" if chance is None else f"{chance:.0%} likely to be right · "
    verb = "goes on with" if route["taken"] else "would go on with"
    reason = route["reason"].partition(" (no calibration")[0]
    line = Text(f"→ {guess}{verb} ", style="cyan")
    line.append(route["strategy"], style="bold cyan")
    return line.append(f" ({reason})", style="bright_black")


def _branches(snapshot: SearchState, max_lines: int) -> RenderableType:
    root, left_out = fold(
        snapshot.get("tree", []), snapshot.get("result"), max_lines=max_lines
    )
    if not root.children:
        return Text("thinking about the first step …", style="cyan")
    table = Table.grid(padding=(0, 2))
    # Only the steps shrink in a narrow terminal, each to its line.
    table.add_column()
    table.add_column(width=_BAR_WIDTH)
    table.add_column(justify="right", width=4)
    table.add_column(justify="right", width=4)
    table.add_column(width=10)
    children = root.ordered()
    for child in children:
        _add_rows(table, child, indent="", last=child is children[-1])
    if left_out:
        table.add_row(Text(f"… and {left_out} more branches", style="bright_black"))
    return table


def _add_rows(table: Table, branch: Branch, indent: str, *, last: bool) -> None:
    color = score_color(branch.score) if branch.alive else "bright_black"
    step = Text(no_wrap=True, overflow="ellipsis")
    step.append(f"{indent}{'└' if last else '├'}─ ", style="bright_black")
    step.append(_shorten(branch.text, 200), style=_style(branch))
    if hidden := branch.hidden():
        step.append(f"  +{hidden}", style="bright_black")
    mark, mark_style = "", ""
    if branch.end is not None and not branch.children:
        mark, mark_style = MARKS[branch.end]
        if branch.winner and branch.end == "finished":
            mark, mark_style = "★ chosen", f"bold {score_color(1.0)}"
    table.add_row(
        step,
        "" if branch.score is None else _bar(branch.score, color),
        Text("" if branch.score is None else f"{branch.score:.2f}", style=color),
        Text(f"×{branch.count}" if branch.count > 1 else "", style="bright_black"),
        Text(mark, style=mark_style),
    )
    children = branch.ordered()
    for child in children:
        inner = indent + ("   " if last else "│  ")
        _add_rows(table, child, inner, last=child is children[-1])


def _style(branch: Branch) -> str:
    if branch.winner:
        return "bold"
    return "" if branch.alive else "dim strike"


def score_color(score: float | None) -> str:
    """Red at 0 over yellow to green at 1."""
    if score is None:
        return "default"
    red = round(220 * min(1.0, 2 - 2 * score))
    green = round(200 * min(1.0, 2 * score))
    return f"rgb({red},{green},60)"


def _bar(share: float, color: str) -> Text:
    """A bar for a share in [0, 1], in halves of a character."""
    full, half = divmod(round(min(1.0, max(0.0, share)) * _BAR_WIDTH * 2), 2)
    bar = Text("━" * full + "╸" * half, style=color)
    return bar.append("─" * (_BAR_WIDTH - full - half), style="grey39")


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(title, style="bold blue"), body)


def votes_table(result: Outcome, rows: int = 5) -> Table:
    table = Table.grid(padding=(0, 2))
    total = sum(row["weight"] for row in result["votes"]) or 1.0
    for row in result["votes"][:rows]:
        chosen = row["answer"] == result["answer"]
        table.add_row(
            Text(
                _shorten(row["answer"], 24),
                style=f"bold {score_color(1.0)}" if chosen else "",
            ),
            _bar(row["weight"] / total, score_color(1.0) if chosen else "bright_black"),
            Text(f"{row['weight']:.2f}", style="bold" if chosen else ""),
            Text(f"×{row['count']}", style="bright_black"),
        )
    if len(result["votes"]) > rows:
        more = len(result["votes"]) - rows
        table.add_row(Text(f"… {more} more", style="bright_black"))
    return table


def spent_table(spent: Spent, budget: Budget) -> Table:
    """Each limit as a bar, and what has no limit as a number."""
    flops = spent.get("policy_flops", 0.0) + spent.get("prm_flops", 0.0)
    used: list[tuple[str, float, float | None]] = [
        ("samples", spent.get("samples", 0), budget.samples),
        ("tokens", spent.get("generated_tokens", 0), budget.tokens),
        ("PRM tokens", spent.get("prm_tokens", 0), None),
        ("FLOPs", flops, budget.flops),
        ("seconds", spent.get("seconds", 0.0), budget.seconds),
    ]
    table = Table.grid(padding=(0, 2))
    for name, amount, limit in used:
        bar = "" if limit is None else _bar(amount / limit, "blue")
        of = "" if limit is None else f" of {_number(limit)}"
        table.add_row(Text(name, style="bright_black"), f"{_number(amount)}{of}", bar)
    return table


def answer_line(result: Outcome) -> RenderableType:
    if result["answer"] is None:
        return Text("no answer was found", style="bold red")
    return Text.assemble(
        ("answer  ", "bold blue"), (result["answer"], f"bold {score_color(1.0)}")
    )


def _progress(snapshot: SearchState) -> str:
    parts = [f"seed {snapshot['seed']}"] if "seed" in snapshot else []
    if turn := snapshot.get("round"):
        parts.append(f"round {turn}")
    if (result := snapshot.get("result")) is not None:
        parts.append(f"{result['seconds']:.1f} s")
        reason = result["stop_reason"]
        if reason in SETTLED:
            parts.append(f"settled ({reason})")
        elif reason != "finished":
            parts.append(f"stopped by {reason}")
    return " · ".join(parts)


def limits(budget: Budget) -> str:
    """The limits of a budget in one line."""
    names = {"samples": "N"}
    return " · ".join(
        f"{names.get(name, name)} {_number(limit)}"
        for name, limit in budget.to_dict().items()
        if limit is not None
    )


def _number(amount: float) -> str:
    """A number for people: `812`, `1.2 k`, `3.4 G`."""
    if amount != int(amount) and amount < 1000:  # noqa: PLR2004 (the first prefix)
        return f"{amount:.2f}"
    for prefix in ("", " k", " M", " G", " T"):
        if abs(amount) < 1000:  # noqa: PLR2004
            return f"{amount:.0f}" if not prefix else f"{amount:.1f}{prefix}"
        amount /= 1000
    return f"{amount:.1f} P"


def printable(text: str) -> str:
    """Text on one line, without control characters: a policy may write any byte."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def _shorten(text: str, width: int) -> str:
    line = printable(text)
    return line if len(line) <= width else line[: width - 1] + "…"
