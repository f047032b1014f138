"""What a sweep measured as Markdown, put between marks into a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tts._markdown import DocumentError, fill, table
from langchain_tts.evaluation.report import (
    asked,
    levels_of,
    losses,
    percent,
    shares,
    shown_rows,
    way,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from langchain_tts.evaluation.rows import Row
    from langchain_tts.evaluation.sweep import Report
    from langchain_tts.search.state import Score, Vote

_PART = "eval"

_NOTE = (
    "pass@N: one of N samples is right, estimated from all samples that were taken. "
    "samples, tokens: means a search, of what it generated. Errors are over questions; "
    "all seeds of a question count as one."
)


def markdown(
    report: Report, *, title: str, command: str, score: Score, vote: Vote
) -> str:
    """Accuracy by level for each strategy and budget, and how it was measured.

    Args:
        report: What was measured.
        title: The data set and the models.
        command: What makes this again.
        score: Of the rows to show, as in `report.table`.
        vote: Of the rows to show.
    """
    rows = shown_rows(report, score, vote)
    levels = levels_of(rows)
    head = [
        "strategy",
        "N",
        "answer by",
        "all",
        *(f"level {level}" for level in levels),
    ]
    caption = f"{title}: {asked(report)}, accuracy in % ± one standard error."
    drawn = table(
        [*head, "pass@N", "samples", "tokens"], (_cells(row, levels) for row in rows)
    )
    lines = [f"```bash\n{command}\n```", caption, drawn, _NOTE, *losses(report)]
    return "\n\n".join(lines)


def _cells(row: Row, levels: Sequence[str]) -> list[str]:
    return [
        f"`{row['strategy']}`",
        str(row["budget"]),
        way(row),
        *(percent(s, digits=1, sign=" ± ") or "–" for s in shares(row, levels)),
        _mean(row["samples"], digits=1),
        _mean(row["generated_tokens"], digits=0),
    ]


def _mean(value: float | None, *, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def check_document(path: Path) -> None:
    """Refuse a document before an evaluation that could not be written into it.

    Raises:
        DocumentError: If the file has no marks, or its folder is missing.
    """
    fill(_content(path), _PART, "")


def write_document(path: Path, text: str) -> None:
    """Put a text between the marks of a document, or into a new one with marks.

    Raises:
        DocumentError: If the file has no marks, or its folder is missing.
    """
    path.write_text(fill(_content(path), _PART, text), encoding="utf-8")


def _content(path: Path) -> str:
    if path.exists():
        return path.read_text(encoding="utf-8")
    if not path.parent.is_dir():
        msg = f"there is no folder {path.parent} for {path.name}; make it first"
        raise DocumentError(msg)
    return f"<!-- {_PART}: begin --><!-- {_PART}: end -->\n"
