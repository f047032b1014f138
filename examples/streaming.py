"""An answer that is streamed: the search before your eyes, text as soon as it is sure.

    python -m examples.streaming ["QUESTION"]

A stream yields text as soon as all candidates that can still win agree on it, so no
word is ever taken back. What the search does meanwhile comes as `tts_progress` events:
to callback handlers, to `astream_events`, and, in a graph of your own or in an agent,
to `stream_mode="custom"`. It needs no network and no GPU: the policy and the verifier
ship with the package.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langgraph.graph import START, MessagesState, StateGraph
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text
from rich.tree import Tree

from langchain_tts import TTSChatModel

QUESTION = (
    "Tom has 48 stamps. Tom gives away 19. Then Tom has 4 times as many. "
    "Tom finds 37. How many stamps does Tom have now?"
)

PACE = 0.12
"""Seconds that each picture stays: the models are faster than the eye."""


# %% The live tree: what the events have told so far.


@dataclass
class Step:
    """A step of the search; candidates that wrote the same ones are one branch."""

    text: str
    count: int = 0
    score: float | None = None
    alive: bool = False
    answer: bool = False
    then: dict[str, Step] = field(default_factory=dict)


class Progress(BaseCallbackHandler):
    """Listens to a search, and keeps its tree.

    Args:
        tell: Called after every event.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell = tell
        self.candidates: dict[int, dict[str, Any]] = {}
        self.report: dict[str, Any] = {}

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        """Take in what is new."""
        if name == "tts_progress":
            self.report = data
            self.candidates |= {one["id"]: one for one in data["candidates"]}
            self.tell()

    def tree(self) -> Step:
        """All steps so far, those that are still in the search marked."""
        root = Step("")
        places: dict[int | None, list[Step]] = {None: [root]}
        continued = {one["parent"] for one in self.candidates.values()}
        for number, one in sorted(self.candidates.items()):
            above = places[one["parent"]]
            step = above[-1].then.setdefault(one["text"], Step(one["text"]))
            places[number] = [*above, step]
            step.count += 1
            step.score = max(
                (score for score in (step.score, one["score"]) if score is not None),
                default=None,
            )
            step.answer |= one["status"] == "finished"
            going_on = one["status"] == "active" and number not in continued
            if going_on or one["status"] == "finished":
                for branch in places[number]:
                    branch.alive = True
        return root


# %% Two ways to show it: a picture where there is a terminal, else lines.


def picture(progress: Progress, written: str) -> RenderableType:
    """The branches that are alive, and what is certain of the answer."""
    report = progress.report
    title = f"{report.get('strategy', '')}, round {report.get('round', 0)}"
    branches = Tree(Text(title, style="bold"))
    _grow(branches, progress.tree().then.values())
    spent = report.get("spent", {}).get("generated_tokens", 0)
    answer = Panel(
        Text(written, style="green"), title="certain so far", title_align="left"
    )
    return Group(branches, Text(f"{spent} tokens", style="dim"), answer)


def _grow(branches: Tree, steps: Iterable[Step]) -> None:
    best = sorted(steps, key=lambda step: (not step.alive, -(step.score or 0)))
    for step in best:
        if step.alive:
            style = "green" if step.answer else "cyan"
            _grow(branches.add(_label(step, style)), step.then.values())
    dead = sum(step.count for step in best if not step.alive)
    if dead:
        branches.add(Text(f"{dead} given up", style="bright_black"))


def _label(step: Step, style: str) -> Text:
    score = "not scored" if step.score is None else f"{step.score:.2f}"
    words = " ".join(step.text.split())[:60]
    return Text.assemble((words, style), (f"  x{step.count}  {score}", "dim"))


def line(report: dict[str, Any]) -> str:
    """One event in one line."""
    return (
        f"round {report['round']} {report['node']:<9} "
        f"{report['spent'].get('generated_tokens', 0):>4} tokens  "
        f"certain: {report['certain']!r}"
    )


def say(text: str, console: Console) -> None:
    """Print a line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


# %% A chain, streamed.


def stream_chain(model: TTSChatModel, question: str, console: Console) -> str:
    """Stream a question through a chain, and show what happens.

    Returns:
        The answer.
    """
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    chain = prompt | model | StrOutputParser()
    written = ""
    with Live(console=console, auto_refresh=False) as live:

        def draw() -> None:
            live.update(picture(progress, written), refresh=True)
            time.sleep(PACE)

        def tell() -> None:
            if console.is_terminal:
                draw()
            elif progress.report["node"] in {"select", "aggregate"}:
                say(line(progress.report), console)

        progress = Progress(tell)
        for piece in chain.stream({"question": question}, {"callbacks": [progress]}):
            written += piece
            if console.is_terminal:
                draw()
            elif piece:
                say(f"+ {piece!r}", console)
    return written


# %% A graph of your own: progress is custom data, and pieces of text are messages.


def stream_graph(model: TTSChatModel, question: str, console: Console) -> str:
    """Ask in a graph, and print what it streams; `create_agent` streams the same.

    Returns:
        The answer.
    """

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("answer", answer)
    compiled = graph.add_edge(START, "answer").compile()
    asked: Any = {"messages": [("human", question)]}
    written = ""
    parts: Any = compiled.stream(asked, stream_mode=["custom", "messages"])
    for mode, part in parts:
        if mode == "custom":
            say(line(part), console)
        else:
            message, _ = part
            written += message.text
            say(f"+ {message.text!r}", console)
    return written


def main(argv: list[str] | None = None) -> int:
    """Stream a question in both ways.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description="Stream an answer with its search.")
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument("--budget", type=int, default=16, help="N (%(default)s)")
    parser.add_argument("--strategy", default="beam_search", help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    arguments = parser.parse_args(argv)

    console = Console()
    model = TTSChatModel(
        strategy=arguments.strategy, budget=arguments.budget, seed=arguments.seed
    )
    say(arguments.question, console)
    console.rule("a chain, streamed")
    first = stream_chain(model, arguments.question, console)
    console.rule("a graph, streamed")
    second = stream_graph(model, arguments.question, console)
    console.rule("the answer")
    say(second, console)
    return 0 if first == second else 1


if __name__ == "__main__":
    raise SystemExit(main())
