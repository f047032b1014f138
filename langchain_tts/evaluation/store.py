"""A run on disk: a folder with `run.json` (what was asked for) and `rows.jsonl`.

A record is a line, written whole and flushed to the disk before the next one, so a run
that was killed goes on with what is missing. A line that was cut off is dropped. Who
writes holds a lock, which the system takes away from a process that dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NotRequired, Self, cast

from typing_extensions import TypedDict, get_type_hints

from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.records import (
    Key,
    SearchRecord,
    key_of,
    question_id,
)

VERSION = 1

MANIFEST, ROWS, SUMMARY, LOCK = "run.json", "rows.jsonl", "summary.json", ".lock"


class Manifest(TypedDict):
    """What a run is of: two runs with different manifests are not the same run."""

    version: int
    policy: str
    prm: str | None
    policy_parameters: int
    """0 where it is not known."""
    prm_parameters: int
    dataset: str
    """Its name and, where it has one, its split, e.g. `tinymath/test`. What the data
    set is called does not make another run of it; the fingerprint does."""
    fingerprint: str
    """Of the questions and answers (`fingerprint`)."""
    questions: int
    strategies: list[str]
    """With their parameters."""
    budgets: list[int]
    seeds: list[int]
    parameters: dict[str, Any]
    """Fields of the context that all searches share and that are not the default."""


_NEEDED = frozenset(
    name
    for name, hint in get_type_hints(SearchRecord, include_extras=True).items()
    if getattr(hint, "__origin__", None) is not NotRequired
)
"""Fields that every record has."""


class RunError(ValueError):
    """A run that cannot be read or gone on with."""


@dataclass(frozen=True)
class Run:
    """A finished or unfinished run that was read from disk."""

    manifest: Manifest
    records: list[SearchRecord]
    """One for each key, in the order in which they were first written."""


class RunWriter:
    """Appends records to a run's folder; no other process can meanwhile.

    Args:
        folder: Where the run is kept; it is made if it is missing.

    Raises:
        RunError: If nothing can be written there, or if somebody else writes there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: IO[bytes] | None = None
        self._lock = _locked(folder)

    def __enter__(self) -> Self:
        """Nothing more: the folder is locked already."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the files and give the folder free."""
        if self._rows is not None:
            self._rows.close()
        self._lock.close()

    def begin(self, manifest: Manifest) -> Iterator[SearchRecord]:
        """Start the run, or go on with it.

        Args:
            manifest: What it is of.

        Returns:
            What is there already, one by one; of two records of the same search the
            later one counts.

        Raises:
            RunError: If the folder holds another run, or a damaged one.
        """
        path = self._folder / ROWS
        if (self._folder / MANIFEST).exists():
            _check_same(self._folder, manifest)
        elif path.exists():
            msg = f"{self._folder} has rows but no {MANIFEST}; give another folder"
            raise RunError(msg)
        else:
            write_whole(self._folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        with _writing(self._folder):
            self._rows = path.open("ab")
            _drop_cut_line(path)
        return read_records(self._folder)

    def write(self, record: SearchRecord) -> None:
        """Append a record; it is on disk when this returns.

        Raises:
            RunError: If the disk is full or gone.
        """
        if self._rows is None:
            msg = "a run must begin before its records are written"
            raise RunError(msg)
        with _writing(self._folder):
            self._rows.write(as_line(record))
            self._rows.flush()
            os.fsync(self._rows.fileno())


def read_run(folder: Path) -> Run:
    """Read a run, finished or not, also while it is being written.

    Raises:
        RunError: If there is none, or if it is damaged.
    """
    manifest = read_manifest(folder)
    # A search that failed may have been tried again.
    latest: dict[Key, SearchRecord] = {
        key_of(record): record for record in read_records(folder)
    }
    return Run(manifest, list(latest.values()))


def read_manifest(folder: Path) -> Manifest:
    """Read what a run is of.

    Raises:
        RunError: If there is no run, or one that this package does not read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{folder} is no run: {error}; give the folder of `eval --out`"
        raise RunError(msg) from error
    version = manifest.get("version") if isinstance(manifest, dict) else None
    if version != VERSION:
        msg = (
            f"{folder} is a run of version {version}, this package "
            f"reads {VERSION}; run the evaluation again"
        )
        raise RunError(msg)
    missing = Manifest.__annotations__.keys() - manifest.keys()
    if missing:
        msg = f"{folder / MANIFEST} lacks {', '.join(sorted(missing))}; it is damaged"
        raise RunError(msg)
    return cast("Manifest", manifest)


def read_records(folder: Path) -> Iterator[SearchRecord]:
    """The records of a run in the order in which they were written, one by one.

    A search that failed and was tried again has two.

    Raises:
        RunError: If a line is damaged. A last line that was cut off is none.
    """
    path = folder / ROWS
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                yield _parse(line, f"{path} line {number}")


def as_line(record: SearchRecord) -> bytes:
    """A record as it is written."""
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def fingerprint(questions: Iterable[Question]) -> str:
    """16 hexadecimal digits of the hash of the questions' ids, in any order."""
    ids = sorted(question_id(question) for question in questions)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


def write_whole(path: Path, content: str | Iterable[bytes]) -> None:
    """Write a file so that it is there with all of its content or not at all.

    Raises:
        RunError: If it cannot be written.
    """
    part = path.with_suffix(".part")
    with _writing(path.parent):
        with part.open("wb") as file:
            file.writelines([content.encode()] if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def _parse(line: bytes, where: str) -> SearchRecord:
    try:
        record = json.loads(line)
        missing = _NEEDED - record.keys()
    except (ValueError, AttributeError) as error:
        reason = str(error)
    else:
        if not missing:
            return cast("SearchRecord", record)
        reason = f"it lacks {', '.join(sorted(missing))}"
    msg = (
        f"{where} is damaged: {reason}; take the line out, and the same command "
        "searches its question again"
    )
    raise RunError(msg)


def _check_same(folder: Path, manifest: Manifest) -> None:
    known: Mapping[str, Any] = read_manifest(folder)
    asked: Mapping[str, Any] = json.loads(json.dumps(manifest))
    for name in asked:
        if name != "dataset" and known[name] != asked[name]:
            msg = (
                f"{folder} holds another run: its {name} is {known[name]!r}, "
                f"not {asked[name]!r}; give another folder"
            )
            raise RunError(msg)


def _drop_cut_line(path: Path) -> None:
    """Take away what a process that was killed left of a line."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def _locked(folder: Path) -> IO[str]:
    """The folder's lock, held until it is closed or this process ends."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "?"
        lock.close()
        msg = (
            f"process {owner} is writing into {folder}; wait for it, or give "
            "another folder"
        )
        raise RunError(msg) from None
    with _writing(folder):
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
    return lock


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say in one way that something cannot be written."""
    try:
        yield
    except OSError as error:
        msg = (
            f"cannot write into {folder}: {error.strerror or error}; free or choose a "
            "place for it, then give the same command again: what is there is kept"
        )
        raise RunError(msg) from error
