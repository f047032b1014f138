"""The small parts of the screen: head, ledger, branches and keys."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.style import Style
from rich.text import Text

from langchain_tts._picture import (
    answer_line,
    limits,
    printable,
    spent_table,
    votes_table,
)
from langchain_tts.budget import Budget
from langchain_tts.debugger._debugger import SearchDebugger
from langchain_tts.debugger._parts import (
    edges_inside,
    edges_outside,
    part_of,
    phase_of,
)
from langchain_tts.debugger.screen._strip import strip
from langchain_tts.search.state import SearchResult

_KEY = Style(bold=True, color="yellow")


def head(debugger: SearchDebugger, busy: str) -> Text:
    """The session, what it searches with, and what is being done."""
    setup = debugger.setup
    budget = Budget.parse(setup.context.budget)
    return Text.assemble(
        (f" {debugger.name} ", "bold reverse"),
        f"  {setup.strategy} · {limits(budget)} · seed {setup.seed}  ",
        (f"{busy} …" if busy else "", "bold yellow"),
        no_wrap=True,
        overflow="ellipsis",
    )


def graph(debugger: SearchDebugger) -> Text:
    """The graph, and under it the part of it that the next node is in."""
    edges, node = debugger.session.machine.edges, debugger.next
    part = part_of(node)
    if node is None or not part:
        return strip(edges_outside(edges), node)
    whole = strip(edges_outside(edges, only=part), part)
    inside = strip(edges_inside(edges, part), phase_of(node))
    return Text("\n", no_wrap=True).join([whole, inside])


def answer(result: SearchResult) -> RenderableType:
    """The votes and the answer."""
    return Group(votes_table(result), answer_line(result))


def ledger(debugger: SearchDebugger) -> RenderableType:
    """What was spent, and what had to be given up."""
    budget = Budget.parse(debugger.setup.context.budget)
    notes = debugger.state.get("degradations", [])
    return Group(
        spent_table(debugger.spent, budget),
        *(Text(f"! {printable(note)}", style="yellow") for note in notes),
    )


def branches(debugger: SearchDebugger) -> Text:
    """The branches, the one that is looked at marked."""
    lines = []
    for name in debugger.branches():
        here = name == debugger.branch
        side = debugger.summary(name)
        what = f"next {side.next}" if side.next else f"answer {side.answer or 'none'}"
        line = Text.assemble(
            ("● " if here else "  ", "bold green"),
            (name, "bold" if here else ""),
            (f"  {what}", "bright_black"),
        )
        lines.append(line)
    return Text("\n").join(lines)


def keys(bindings: Iterable[tuple[str, str, str]], width: int) -> Text:
    """The keys with what they do, in as many lines as they need; a click does it too.

    Args:
        bindings: Key, action and words for it.
        width: Characters of a line.
    """
    text, used = Text(no_wrap=True), 0
    for key, action, words in bindings:
        item = f" {key} {words} "
        if used + len(item) > width:
            text.append("\n")
            used = 0
        used += len(item)
        click = Style(meta={"@click": f"app.{action}"})
        text.append(f" {key} ", style=_KEY).append(words, style=click).append(" ")
    return text
