"""Write what the code knows about the strategies into their page.

`python -m langchain_tts._docs docs/strategies.md` fills what stands between
`<!-- table: begin -->` and `<!-- table: end -->`, and the page's other marked parts.
What is written by hand around them stays.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from langchain_tts._drawing import mermaid
from langchain_tts._markdown import fill, table
from langchain_tts.strategies import Strategy
from langchain_tts.strategies._catalog import BUILT_IN
from langchain_tts.strategies._table import HEADINGS, rows
from langchain_tts.strategies.context import SearchContext

_USES = {
    "none": "no",
    "optional": "if there is one",
    "votes": "to choose among answers",
    "steps": "at every step",
}
_INDENTED = re.compile(r"^    (START -> .*)$", re.MULTILINE)
"""A graph's line. Markdown would take it for a part of the list before it."""

_ROOT = Path(__file__).parent.parent


def parts() -> dict[str, str]:
    """The generated parts of the page, by the names of their marks."""
    return {
        "strategies": _strategies(),
        "table": _budgets(),
        "parameters": _parameters(_common()),
        "sections": "\n\n".join(map(_section, BUILT_IN)),
        "my_strategy": _source("examples/my_strategy.py"),
        "my_graph": _source("examples/my_graph.py"),
    }


def filled(page: str) -> str:
    """The page with its generated parts as they are now.

    Raises:
        DocumentError: If it lacks one of them.
    """
    for name, text in parts().items():
        page = fill(page, name, text)
    return page


def _strategies() -> str:
    cells = [
        (
            f"[`{strategy.name}`](#{strategy.name})",
            strategy.summary,
            _USES[strategy.verifier],
        )
        for strategy in BUILT_IN
    ]
    return _table(("name", "what it does", "reads a PRM"), cells)


def _budgets() -> str:
    cells = [(f"`{row.name}`", *row.cells) for row in rows(BUILT_IN)]
    return _table(("strategy", *HEADINGS), cells)


def _section(strategy: Strategy) -> str:
    """What the strategy's module says about it, and its drawing."""
    module = import_module(f"langchain_tts.strategies.{strategy.name}")
    # Indented text after a list is part of the list in Markdown: not so in a fence.
    words = inspect.cleandoc(module.__doc__ or "")
    words = re.sub(
        r"^    (START -> .*)$", r"```text\n\1\n```", words, flags=re.MULTILINE
    )
    text = [f"### {strategy.name}", words]
    if strategy.parameters:
        text += [
            "Parameters that not every strategy reads:",
            _parameters(strategy.parameters),
        ]
    return "\n\n".join([*text, f"```mermaid\n{mermaid(strategy)}\n```"])


def _common() -> list[str]:
    """The parameters that no strategy has to itself."""
    own = {name for strategy in BUILT_IN for name in strategy.parameters}
    return [name for name in _fields() if name not in own]


def _parameters(names: Iterable[str]) -> str:
    fields = _fields()
    cells = [
        (f"`{name}`", f"`{fields[name]['default']!r}`", fields[name]["description"])
        for name in names
    ]
    return _table(("name", "default", "meaning"), cells)


def _fields() -> dict[str, dict[str, Any]]:
    """The fields of a search's context, as a form would have them."""
    fields: dict[str, dict[str, Any]]
    fields = TypeAdapter(SearchContext).json_schema()["properties"]
    return fields | _hidden(set(fields))


def _hidden(known: AbstractSet[str]) -> dict[str, dict[str, Any]]:
    """The fields that no form has, with the texts under them in the source."""
    [context] = ast.parse(inspect.getsource(SearchContext)).body
    parts = context.body if isinstance(context, ast.ClassDef) else []
    texts = {
        field.target.id: text.value.value
        for field, text in pairwise(parts)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
    return {
        field.name: {"default": field.default, "description": texts[field.name]}
        for field in dataclasses.fields(SearchContext)
        if field.name not in known
    }


def _source(path: str) -> str:
    return f"```python\n{(_ROOT / path).read_text(encoding='utf-8').strip()}\n```"


def _table(head: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    return table(head, [[_cell(text) for text in line] for line in cells])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m langchain_tts._docs")
    parser.add_argument("document", type=Path, help="Markdown to fill")
    document: Path = parser.parse_args(argv).document
    content = document.read_text(encoding="utf-8")
    document.write_text(filled(content), encoding="utf-8")


if __name__ == "__main__":
    main()
