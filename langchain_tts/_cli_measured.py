"""Showing what was measured: what `eval` and `rescore` have in common."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from langchain_tts.evaluation.summary import Report
    from langchain_tts.search.state import Score, Vote


def add_output(command: argparse.ArgumentParser) -> None:
    """Add the options that say how results are shown."""
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument(
        "--markdown",
        metavar="FILE",
        type=Path,
        help="write the table into a document, between its marks if it is there",
    )


def check_output(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be written before anything is measured.

    Raises:
        DocumentError: If the document has no marks, or its folder is missing.
    """
    from langchain_tts.evaluation.markdown import check_document

    if arguments.markdown is not None:
        check_document(arguments.markdown)


def show(
    report: Report, arguments: argparse.Namespace, *, score: Score, vote: Vote
) -> None:
    """Print a report, write it into a document, and say which searches failed.

    Args:
        report: What was measured.
        arguments: Of the command line.
        score: Of the rows to show, as in `report.table`.
        vote: Of the rows to show.
    """
    from rich.console import Console

    from langchain_tts.evaluation.markdown import markdown, write_document
    from langchain_tts.evaluation.report import losses, table

    title = (
        f"{report['dataset']}, policy {report['policy']}, "
        f"verifier {report['prm'] or 'none'}"
    )
    if arguments.markdown is not None:
        command = shlex.join(["langchain-tts", *arguments.argv])
        document = markdown(
            report, title=title, command=command, score=score, vote=vote
        )
        write_document(arguments.markdown, document)
    if arguments.json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        Console().print(table(report, title=title, score=score, vote=vote))
    for line in losses(report):
        sys.stderr.write(f"langchain-tts: {line}\n")
