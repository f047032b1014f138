"""A session: the branches of a search, where each stands, and how they move."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from langchain_tts.debugger._errors import DebuggerError
from langchain_tts.debugger._history import START, Point, mark, points
from langchain_tts.debugger._machine import Machine, Stop
from langchain_tts.debugger._parts import inside, part_of
from langchain_tts.debugger._setup import Setup
from langchain_tts.debugger._store import Store
from langchain_tts.strategies import get_strategy
from langchain_tts.strategies.state import SearchInput, SearchState

MAIN = "main"
"""The branch that a session starts with."""


class Session:
    """The branches of a search. Whatever moves one is saved at once.

    Args:
        store: Where it is kept.
        name: Its name there.
        setup: What it was started with.
        heads: The checkpoint at which each branch stands.
        branch: The one that is looked at.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        setup: Setup,
        *,
        heads: Mapping[str, str] | None = None,
        branch: str = MAIN,
    ) -> None:
        self.store = store
        self.name = name
        self.setup = setup
        self.strategy = get_strategy(setup.strategy)
        self.machine = Machine(self.strategy, setup.context, store.saver, name)
        self.heads = dict(heads or {})
        if not self.heads:
            start: SearchInput = {"messages": list(setup.messages), "seed": setup.seed}
            self.heads[branch] = self.machine.start(start, mark(START, None))
        self.stand(branch, self.head(branch))

    def stand(self, branch: str, checkpoint_id: str) -> None:
        """Let a branch stand at a checkpoint, and look at it."""
        self.here: Stop = self.machine.at(checkpoint_id)
        self.store.move(self.name, branch, checkpoint_id)
        self.heads[branch] = checkpoint_id
        self.branch = branch

    def step(self) -> None:
        """Run the next node."""
        here = self.here
        if here.next is not None:
            marks = mark(here.next, here.checkpoint_id)
            self.stand(self.branch, self.machine.step(here.checkpoint_id, marks))

    def editable(self) -> Stop:
        """Where an edit is made: here, or at the end before the vote."""
        here = self.here
        if here.next is None and here.before is not None:
            return self.machine.at(here.before)
        return here

    def pending(self, at: Stop) -> bool:
        """Whether proposals are still to be selected."""
        return self.machine.leads(at.next, "select")

    def write(self, at: Stop, update: SearchState, what: str) -> None:
        """Edit the search, and look at it as it is then.

        Args:
            at: Where the edit is made.
            update: What changes.
            what: The edit in words.
        """
        node = at.node
        choice = self.machine.before(inside(part_of(node), "select"))
        emptied = at.state.get("frontier") and update.get("frontier") == []
        if choice and emptied and not self.pending(at):
            # Nothing is left to continue: what goes on is chosen again.
            update = {**update, "proposed": []}
            node = choice
        marks = mark(node, self.here.checkpoint_id, what)
        written = self.machine.write(at.checkpoint_id, update, node, marks)
        self.stand(self.branch, written)

    def head(self, branch: str) -> str:
        """The checkpoint at which a branch stands.

        Raises:
            DebuggerError: If there is no such branch.
        """
        if branch not in self.heads:
            there = ", ".join(self.heads)
            msg = f"there is no branch {branch!r}; the branches are {there}"
            raise DebuggerError(msg)
        return self.heads[branch]

    def at(self, branch: str) -> Stop:
        """The search where a branch stands."""
        return self.machine.at(self.head(branch))

    def points(self, branch: str) -> list[Point]:
        """The points of a branch, the first one first."""
        return points(self.store.saver, self.machine.thread, self.head(branch))


def closing(store: Store, make: Callable[[Store], Session]) -> Session:
    """Make a session; where that fails, its file is closed."""
    try:
        return make(store)
    except BaseException:
        store.close()
        raise


def new_name(setup: Setup) -> str:
    """A name from the first words of the question and the time."""
    words = re.findall(r"[a-z0-9]+", setup.question.lower())[:4]
    now = datetime.now().astimezone()
    return "-".join([*words, f"{now:%m%d-%H%M%S}"])
