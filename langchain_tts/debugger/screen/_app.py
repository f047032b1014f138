"""The screen: the graph, the tree, one candidate, the ledger and the branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.console import RenderableType
from rich.terminal_theme import MONOKAI, TerminalTheme
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.color import Color
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Static, Tree

from langchain_tts._picture import printable
from langchain_tts.debugger._debugger import SearchDebugger
from langchain_tts.debugger.screen import _panels
from langchain_tts.debugger.screen._dialogs import (
    Ask,
    Choose,
    Compared,
    Rewrite,
    Written,
)
from langchain_tts.debugger.screen._labels import View, number
from langchain_tts.debugger.screen._tree import SearchTree
from langchain_tts.search.state import Candidate
from langchain_tts.strategies._proposal import describe

_DARK = "1a1a1a f05a5a 5fc86e f0b446 5fa0ff c878e6 50c8dc c8c8c8"
_LIGHT = "8c8c8c ff6e6e 78dc82 ffc864 82b4ff dc96f5 6edceb ffffff"
THEME = TerminalTheme(
    MONOKAI.background_color,
    MONOKAI.foreground_color,
    [Color.parse(f"#{color}").rgb for color in _DARK.split()],
    [Color.parse(f"#{color}").rgb for color in _LIGHT.split()],
)
"""The colors by name; the gray of most themes can hardly be read on black."""

KEYS = (
    ("n", "next", "next"),
    ("r", "run", "run"),
    ("b", "step_back", "back"),
    ("h", "history", "history"),
    ("p", "prune", "prune"),
    ("k", "keep", "keep"),
    ("s", "rescore", "score"),
    ("w", "rewrite", "write"),
    ("f", "fork", "fork"),
    ("g", "branch", "go to"),
    ("c", "compare", "compare"),
    ("q", "leave", "quit"),
)
"""Each key, its action, and words for it."""


class DebuggerApp(App[None]):
    """Steps through a search.

    Args:
        debugger: The search.
    """

    CSS_PATH = "debugger.tcss"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 (textual's)
    BINDINGS: ClassVar[list[BindingType]] = [*KEYS]

    def __init__(self, debugger: SearchDebugger) -> None:
        super().__init__()
        self.debugger = debugger
        self.busy = ""
        """What is being done, if anything is."""
        self._stop = False
        self._leaving = False
        self._chosen: int | None = None

    def compose(self) -> ComposeResult:
        """All parts of the screen."""
        yield Static(id="head")
        yield Static(id="graph")
        with Horizontal(id="body"):
            yield SearchTree()
            with Vertical(id="side"):
                with VerticalScroll(id="candidate-box"):
                    yield Static(id="candidate")
                yield Static(id="answer")
                yield Static(id="ledger")
                yield Static(id="branches")
        yield Static(id="keys")

    def on_mount(self) -> None:
        """Show the search as it stands."""
        self.ansi_theme_dark = THEME
        for part in ("tree", "answer", "ledger", "branches"):
            self.query_one(f"#{part}").border_title = part
        self.query_one("#tree").focus()
        self._show()

    # What is shown.

    def on_resize(self) -> None:
        """Write the keys into as many lines as they need."""
        self._update("keys", _panels.keys(KEYS, self.size.width))

    def _update(self, part: str, shown: RenderableType) -> None:
        self.query_one(f"#{part}", Static).update(shown)

    def _show(self) -> None:
        debugger, result = self.debugger, self.debugger.result
        self._update("head", _panels.head(debugger, self.busy))
        self._update("graph", _panels.graph(debugger))
        self.query_one(SearchTree).show(self._view(), self._chosen)
        self._show_candidate()
        self.query_one("#answer").display = result is not None
        if result is not None:
            self._update("answer", _panels.answer(result))
        self._update("ledger", _panels.ledger(debugger))
        self._update("branches", _panels.branches(debugger))

    def _view(self) -> View:
        result, winner = self.debugger.result, None
        if result is not None and result["answer"] is not None:
            winner = result["candidates"][0]["id"]
        return View(self.debugger.state, winner)

    def _show_candidate(self) -> None:
        box = self.query_one("#candidate-box")
        if self._chosen is None or self._chosen >= len(self.debugger.tree):
            box.border_title = "question"
            self._update("candidate", Text(printable(self.debugger.setup.question)))
        else:
            box.border_title = f"candidate #{self._chosen}"
            self._update("candidate", self._view().details(self._chosen))

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[int]) -> None:
        """Show the candidate under the cursor."""
        if event.node.data is not None or event.node.is_root:
            self._chosen = event.node.data
            self._show_candidate()

    # What is done.

    def _do(self, what: str, action: Callable[[], object]) -> None:
        """Do something that may take its time, in a thread."""
        if self.busy:
            self.notify(f"wait: {self.busy}", severity="warning")
            return
        self.busy = what
        self._update("head", _panels.head(self.debugger, what))
        self._work(action)

    @work(thread=True)
    def _work(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 (whatever an engine raises)
            problem = str(error) if isinstance(error, ValueError) else describe(error)
            self.call_from_thread(self.notify, problem, severity="error", markup=False)
        self.call_from_thread(self._done)

    def _done(self) -> None:
        self.busy = ""
        self._stop = False
        self._show()
        if self._leaving:
            self.exit()

    def _candidate(self) -> Candidate | None:
        """The candidate under the cursor; says so where there is none."""
        if self._chosen is None or self._chosen >= len(self.debugger.tree):
            self.notify("choose a candidate in the tree first", severity="warning")
            return None
        return self.debugger.tree[self._chosen]

    def action_next(self) -> None:
        """Run the next node."""
        if self.debugger.next is None:
            self.notify("the search has ended; go back, or edit a candidate")
            return
        self._do(f"running {self.debugger.next}", self.debugger.step)

    def action_run(self) -> None:
        """Run to the end, or stop that after the node that is running."""
        if self.busy:
            self._stop = True
            self.notify("stopping after this node")
            return
        self._do("running to the end (r stops)", self._run)

    def _run(self) -> None:
        while not self._stop and self.debugger.step() is not None:
            self.call_from_thread(self._show)

    def action_step_back(self) -> None:
        """Go back by one point."""
        self._do("going back", self.debugger.back)

    def action_history(self) -> None:
        """Go back to a point of a list."""
        points = self.debugger.history
        options = [f"{p.number:>3}  round {p.round:>2}  {p.did}" for p in points]

        def go(chosen: str | None) -> None:
            if chosen is not None:
                number = options.index(chosen)
                self._do("going back", lambda: self.debugger.back(number))

        self.push_screen(Choose("Go back to", options, len(options) - 1), go)

    def action_prune(self) -> None:
        """Prune the candidate under the cursor."""
        if (candidate := self._candidate()) is not None:
            i = candidate["id"]
            self._do(f"pruning #{i}", lambda: self.debugger.prune(i))

    def action_keep(self) -> None:
        """Keep the candidate under the cursor."""
        if (candidate := self._candidate()) is not None:
            i = candidate["id"]
            self._do(f"keeping #{i}", lambda: self.debugger.keep(i))

    def action_rescore(self) -> None:
        """Ask for another score of the candidate under the cursor."""
        candidate = self._candidate()
        if candidate is None:
            return
        i = candidate["id"]

        def take(text: str | None) -> None:
            if text is None:
                return
            try:
                score = float(text)
            except ValueError:
                self.notify(
                    f"{text!r} is no number; give one from 0 to 1",
                    severity="error",
                    markup=False,
                )
                return
            self._do(f"scoring #{i}", lambda: self.debugger.rescore(i, score))

        known = "" if candidate["score"] is None else number(candidate["score"])
        self.push_screen(Ask(f"Score of #{i}, from 0 to 1", known), take)

    def action_rewrite(self) -> None:
        """Ask for another step in the place of the candidate under the cursor."""
        candidate = self._candidate()
        if candidate is None:
            return
        i = candidate["id"]

        def take(new: Written | None) -> None:
            if new is not None:
                text, ends = new
                self._do(
                    f"reading #{i}",
                    lambda: self.debugger.rewrite(i, text, ends=ends),
                )

        ends = candidate["finish_reason"] == "stop"
        self.push_screen(
            Rewrite(f"Last step of #{i}", candidate["text"], ends=ends), take
        )

    def action_fork(self) -> None:
        """Ask for the name of a new branch that starts here."""

        def take(name: str | None) -> None:
            if name is not None:
                self._do("forking", lambda: self.debugger.fork(name))

        self.push_screen(Ask("Name of the new branch"), take)

    def action_branch(self) -> None:
        """Ask for the branch to look at."""

        def take(name: str | None) -> None:
            if name is not None:
                self._do("going there", lambda: self.debugger.switch(name))

        branches = self.debugger.branches()
        here = branches.index(self.debugger.branch)
        self.push_screen(Choose("Go to branch", branches, here), take)

    def action_compare(self) -> None:
        """Ask for the branch to compare this one with."""
        here = self.debugger.branch
        others = [name for name in self.debugger.branches() if name != here]
        if not others:
            self.notify("there is one branch only; f makes another one")
        elif len(others) == 1:
            self._compare(others[0])
        else:
            self.push_screen(Choose(f"Compare {here} with", others), self._compare)

    def _compare(self, other: str | None) -> None:
        if other is not None:
            compared = self.debugger.compare(self.debugger.branch, other)
            self.push_screen(Compared(compared))

    def action_leave(self) -> None:
        """Leave, after the node that is running; everything is saved already."""
        if not self.busy or self._leaving:
            self.exit()
            return
        self._stop = self._leaving = True
        self.notify("leaving after this node; q again leaves at once")
