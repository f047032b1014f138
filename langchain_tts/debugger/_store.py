"""Where sessions are kept: one SQLite file with LangGraph's saver and two small tables.

A session is a thread of the saver. Its branches share the thread: each is the id of the
checkpoint at which it stands, and what came before follows from there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_tts.debugger._errors import DebuggerError, missing_extra

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite import SqliteSaver

_TABLES = """
CREATE TABLE IF NOT EXISTS debug_sessions (
    name TEXT PRIMARY KEY,
    created TEXT NOT NULL,
    setup TEXT NOT NULL,
    branch TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS debug_branches (
    session TEXT NOT NULL,
    name TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    PRIMARY KEY (session, name)
);
"""

MEMORY = ":memory:"
"""In place of a file: what is lost with the process."""


class Saved(NamedTuple):
    """A session as it lies in a file."""

    name: str
    created: str
    """ISO 8601, UTC."""
    setup: str
    """JSON (`Setup`)."""
    branch: str
    """The one that was looked at last."""
    branches: dict[str, str]
    """The checkpoint at which each branch stands."""


class Store:
    """Sessions in a SQLite file.

    Args:
        file: The file, which is made where it is missing; None keeps them in memory.

    Raises:
        DebuggerError: If the file cannot be used.
    """

    def __init__(self, file: str | Path | None) -> None:
        try:
            from langgraph.checkpoint.sqlite import SqliteSaver
        except ImportError as error:
            raise missing_extra(error) from error
        self.file = MEMORY if file is None else str(file)
        if file is not None:
            Path(file).expanduser().parent.mkdir(parents=True, exist_ok=True)
            self.file = str(Path(file).expanduser())
        with self._readable():
            # The saver locks what it does; a screen's engine calls have a thread.
            self._connection = sqlite3.connect(self.file, check_same_thread=False)
            self.saver: SqliteSaver = SqliteSaver(self._connection)
            with self.saver.cursor() as cursor:
                cursor.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, name: str, setup: str, branch: str) -> None:
        """Add a session.

        Raises:
            DebuggerError: If there is one of that name.
        """
        if self._rows("SELECT 1 FROM debug_sessions WHERE name = ?", name):
            msg = (
                f"there is a session {name!r} already; open it with "
                f"SearchDebugger.open({name!r}, ...) or choose another name"
            )
            raise DebuggerError(msg)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(
            "INSERT INTO debug_sessions VALUES (?, ?, ?, ?)",
            name,
            created,
            setup,
            branch,
        )

    def move(self, session: str, branch: str, checkpoint_id: str) -> None:
        """Let a branch stand at a checkpoint, and be the one that is looked at."""
        self._write(
            "INSERT INTO debug_branches VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET checkpoint_id = excluded.checkpoint_id",
            session,
            branch,
            checkpoint_id,
        )
        self._write(
            "UPDATE debug_sessions SET branch = ? WHERE name = ?", branch, session
        )

    def sessions(self) -> list[Saved]:
        """All sessions, the newest first."""
        found = self._rows(
            "SELECT name, created, setup, branch FROM debug_sessions "
            "ORDER BY created DESC, rowid DESC"
        )
        return [
            Saved(name, created, setup, branch, self._branches(name))
            for name, created, setup, branch in found
        ]

    def session(self, name: str) -> Saved:
        """A session by its name.

        Raises:
            DebuggerError: If there is none.
        """
        sessions = {saved.name: saved for saved in self.sessions()}
        if name not in sessions:
            there = f"it has {', '.join(sessions)}" if sessions else "it has none"
            msg = f"there is no session {name!r} in {self.file}; {there}"
            raise DebuggerError(msg)
        return sessions[name]

    def _branches(self, session: str) -> dict[str, str]:
        rows = self._rows(
            "SELECT name, checkpoint_id FROM debug_branches "
            "WHERE session = ? ORDER BY rowid",
            session,
        )
        return dict(rows)

    def _rows(self, query: str, *values: str) -> Sequence[tuple[Any, ...]]:
        with self._readable(), self.saver.cursor(transaction=False) as cursor:
            return cursor.execute(query, values).fetchall()

    def _write(self, query: str, *values: str) -> None:
        with self._readable(), self.saver.cursor() as cursor:
            cursor.execute(query, values)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            msg = (
                f"{self.file} cannot be used for sessions: {error}; give a file that "
                "the debugger made, or one that does not exist yet"
            )
            raise DebuggerError(msg) from error
