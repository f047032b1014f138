"""What a budget of N means for every strategy: one table for terminal and documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from langchain_tts.strategies._registry import Strategy

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = ("width", "beams", "depth", "rollouts", "N not divisible")
"""What the cells of a row say."""


class Row(NamedTuple):
    """One strategy."""

    name: str
    summary: str
    cells: tuple[str, ...]
    """One for each of `HEADINGS`."""


def rows(strategies: Iterable[Strategy]) -> list[Row]:
    """One row a strategy, in their order."""
    return [
        Row(
            strategy.name,
            strategy.summary,
            (rule.width, rule.beams, rule.depth, rule.rollouts, rule.uneven),
        )
        for strategy in strategies
        for rule in [strategy.budget]
    ]


def printed(strategies: Iterable[Strategy]) -> Table:
    """The table for a terminal, which is too narrow for its columns: as a list."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for row in rows(strategies):
        table.add_row(f"[bold]{row.name}", row.summary)
        for heading, cell in zip(HEADINGS, row.cells, strict=True):
            table.add_row(f"  {heading}", cell, style="dim")
    return table
