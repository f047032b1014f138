"""The list of the sessions in a file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from langchain_tts.debugger._setup import read_setup
from langchain_tts.debugger._store import Store


class SessionInfo(NamedTuple):
    """A saved session, as a list shows it."""

    name: str
    created: str
    """ISO 8601, UTC."""
    question: str
    strategy: str
    branches: list[str]


def saved_sessions(file: str | Path) -> list[SessionInfo]:
    """The sessions in a file, the newest first; none where there is no file."""
    if not Path(file).expanduser().exists():
        return []
    store = Store(file)
    try:
        saved = store.sessions()
    finally:
        store.close()
    found = []
    for session in saved:
        # Only to be listed: where a model was an object, any name will do.
        setup = read_setup(session.setup, session.name, policy="–", prm="–")
        found.append(
            SessionInfo(
                name=session.name,
                created=session.created,
                question=setup.question,
                strategy=setup.strategy,
                branches=list(session.branches),
            )
        )
    return found
