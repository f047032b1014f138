"""The page about the strategies: what is generated in it is what the code says."""

from __future__ import annotations

import io
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from langchain_tts import _docs
from langchain_tts._docs import filled, parts
from langchain_tts.strategies import BudgetRule, Strategy
from langchain_tts.strategies._catalog import BUILT_IN
from langchain_tts.strategies._table import HEADINGS, Row, printed, rows
from langchain_tts.strategies.context import SearchContext

if TYPE_CHECKING:
    from langchain_tts.strategies._graph import Graph

PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"


def _never() -> Graph:
    raise NotImplementedError


RULE = BudgetRule(width="N", beams="1", depth="2", uneven="rounded down")
STRATEGY = Strategy("mine", "does it", RULE, _never)


def test_the_page_is_what_the_generator_writes() -> None:
    page = PAGE.read_text()
    assert filled(page) == page, "docs/strategies.md is old; run `make docs`"


@pytest.mark.parametrize("strategy", BUILT_IN, ids=lambda strategy: strategy.name)
def test_every_strategy_has_its_source_its_parameters_and_its_drawing(
    strategy: Strategy,
) -> None:
    page = PAGE.read_text()
    _, _, rest = page.partition(f"\n### {strategy.name}\n")
    section = rest.partition("\n### ")[0]
    assert re.search(r"\b20\d\d\b", section), "no source in the module's docstring"
    for name in strategy.parameters:
        assert f"| `{name}` |" in section
    drawn = strategy.build().compile().get_graph().draw_mermaid()
    assert f"```mermaid\n{drawn.strip()}\n```" in section
    assert f"| [`{strategy.name}`](#{strategy.name}) | {strategy.summary} |" in page
    rule = strategy.budget
    cells = (rule.width, rule.beams, rule.depth, rule.rollouts, rule.uneven)
    assert f"| `{strategy.name}` | {' | '.join(cells)} |" in page


def test_every_parameter_is_explained_on_the_page() -> None:
    page = PAGE.read_text()
    for field in fields(SearchContext):
        assert f"\n| `{field.name}` |" in page


@pytest.mark.parametrize("strategy", BUILT_IN, ids=lambda strategy: strategy.name)
def test_the_parameters_of_a_strategy_are_fields_of_the_context(
    strategy: Strategy,
) -> None:
    known = {field.name for field in fields(SearchContext)}
    assert set(strategy.parameters) <= known


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    marks = [
        f"<!-- {name}: {edge} -->" for name in parts() for edge in ("begin", "end")
    ]
    page.write_text("\n".join(marks))
    _docs.main([str(page)])
    assert "| `beam_search` | L = N − final candidates |" in page.read_text()


def test_a_row_of_the_table_is_the_strategys_budget_rule() -> None:
    cells = ("N", "1", "2", "none", "rounded down")
    assert rows([STRATEGY]) == [Row("mine", "does it", cells)]
    assert len(HEADINGS) == len(cells)


def test_the_terminals_table_fits_into_80_columns_and_has_every_cell() -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(printed([STRATEGY, *BUILT_IN]))
    lines = console.export_text().splitlines()
    assert [line.split() for line in lines[:6]] == [
        ["mine", "does", "it"],
        ["width", "N"],
        ["beams", "1"],
        ["depth", "2"],
        ["rollouts", "none"],
        ["N", "not", "divisible", "rounded", "down"],
    ]
    assert max(map(len, lines)) <= 80
