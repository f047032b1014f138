"""What a run measured: its rows, and the searches that failed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from langchain_tts.evaluation.rows import Digest, Row, rows
from langchain_tts.evaluation.store import SUMMARY, Manifest, write_whole


class SweepError(ValueError):
    """A sweep that measured nothing."""


class Failure(TypedDict):
    """A search that gave no result; its question counts as answered wrong."""

    strategy: str
    budget: int
    question: str
    error: str


class Report(TypedDict):
    """What a sweep measured."""

    dataset: str
    policy: str
    prm: str | None
    seed: int
    """The first one."""
    seeds: list[int]
    questions: int
    rows: list[Row]
    """None for searches at an N that failed on every question."""
    failures: list[Failure]


def summarize(
    manifest: Manifest, digests: Iterable[Digest], folder: Path | None
) -> Report:
    """Put the rows of a run together, and keep them in its folder.

    Args:
        manifest: What the run is of.
        digests: Its searches; strategies are listed in their order.
        folder: Where the run is kept, if it is.

    Raises:
        SweepError: If there are no searches, or if all of them failed.
    """
    searches = list(digests)
    failures = [
        Failure(
            strategy=one.strategy,
            budget=one.budget,
            question=one.question,
            error=one.error,
        )
        for one in searches
        if one.error is not None
    ]
    if len(failures) == len(searches):
        first = failures[0]["error"] if failures else "there is none"
        msg = f"every search failed; the first: {first}"
        raise SweepError(msg)
    report = Report(
        dataset=manifest["dataset"],
        policy=manifest["policy"],
        prm=manifest["prm"],
        seed=manifest["seeds"][0],
        seeds=manifest["seeds"],
        questions=manifest["questions"],
        rows=rows(searches),
        failures=failures,
    )
    if folder is not None:
        write_whole(folder / SUMMARY, json.dumps(report) + "\n")
    return report
