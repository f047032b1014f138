"""What a sweep measured as Markdown, put between marks into a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tts.evaluation.report import (
    levels_of,
    losses,
    percent,
    shares,
    shown_rows,
    way,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from langchain_tts.evaluation.rows import Row
    from langchain_tts.evaluation.sweep import Report
    from langchain_tts.search.state import Score, Vote

BEGIN = "<!-- eval: begin -->"
END = "<!-- eval: end -->"

_NOTE = (
    "pass@N: one of N samples is right, estimated from all samples that were taken. "
    "samples, tokens: means a search, of what it generated; – where the row was read "
    "off a larger run."
)


class DocumentError(ValueError):
    """A document that a table cannot be put into."""


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
    caption = (
        f"{title}: {report['questions']} questions, seed {report['seed']}, "
        "accuracy in % ± one standard error."
    )
    table = _table(
        [*head, "pass@N", "samples", "tokens"], (_cells(row, levels) for row in rows)
    )
    lines = [f"```bash\n{command}\n```", caption, table, _NOTE, *losses(report)]
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


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def check_document(path: Path) -> None:
    """Refuse a document before an evaluation that could not be written into it.

    Raises:
        DocumentError: If the file has no marks, or its folder is missing.
    """
    _split(path)


def write_document(path: Path, text: str) -> None:
    """Put a text between the marks of a document, or into a new one with marks.

    Raises:
        DocumentError: If the file has no marks, or its folder is missing.
    """
    before, after = _split(path)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _split(path: Path) -> tuple[str, str]:
    """What stands before and after the marked part."""
    if not path.exists():
        if not path.parent.is_dir():
            msg = f"there is no folder {path.parent} for {path.name}; make it first"
            raise DocumentError(msg)
        return "", "\n"
    content = path.read_text(encoding="utf-8")
    before, begun, rest = content.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        msg = (
            f"{path} has no part between {BEGIN} and {END}; write these two lines "
            "where the table belongs, or name a file that does not exist yet"
        )
        raise DocumentError(msg)
    return before, after
