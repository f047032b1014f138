"""Rescoring: a run's answers read, graded and voted on again, without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from langchain_tts.evaluation.records import Key, SearchRecord, key_of, rescored
from langchain_tts.evaluation.rows import Digest, digest
from langchain_tts.evaluation.store import (
    ROWS,
    RunWriter,
    as_line,
    read_manifest,
    read_records,
    write_whole,
)
from langchain_tts.evaluation.summary import Report, summarize


def rescore(
    folder: Path, *, advance: Callable[[int, int], None] | None = None
) -> Report:
    """Rewrite the rows and the summary of a run from the texts of its answers.

    For when the rule that finds or compares answers has changed. What is rewritten
    replaces the run at once: it is never there by half.

    Args:
        folder: Of a run, which may be unfinished.
        advance: Called with the searches done and the searches in all.

    Returns:
        What the run measured.

    Raises:
        RunError: If there is no run, or if it is damaged or being written.
        SweepError: If every search of it failed.
    """
    manifest = read_manifest(folder)
    digests: dict[Key, Digest] = {}

    def lines(total: int) -> Iterator[bytes]:
        for done, record in enumerate(read_records(folder)):
            if advance is not None:
                advance(done, total)
            again: SearchRecord = rescored(record)
            digests[key_of(again)] = digest(again)
            yield as_line(again)
        if advance is not None:
            advance(total, total)

    with RunWriter(folder):
        total = sum(1 for _ in read_records(folder))
        write_whole(folder / ROWS, lines(total))
        places = {name: place for place, name in enumerate(manifest["strategies"])}
        # A run that was stopped and gone on with is not in the order of the sweep.
        ordered = sorted(
            digests.values(),
            key=lambda one: (places.get(one.strategy, len(places)), one.budget),
        )
        return summarize(manifest, ordered, folder)
