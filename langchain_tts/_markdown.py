"""Markdown that the code writes into documents: tables, and parts between marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class DocumentError(ValueError):
    """A document that a text cannot be put into."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a line of headings."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def fill(content: str, name: str, text: str) -> str:
    """Replace the part of a document between `<!-- name: begin -->` and its end.

    Args:
        content: The document.
        name: Of the part.
        text: What stands there from now on.

    Raises:
        DocumentError: If the document has no such part.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, begun, rest = content.partition(begin)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        msg = f"the document has no part between {begin} and {end}; add both lines"
        raise DocumentError(msg)
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
