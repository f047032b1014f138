"""The screen, driven by its keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event
from typing import Any

import pytest
from textual.widgets import Checkbox, Input, Static, TextArea, Tree

from langchain_tts.debugger import SearchDebugger
from langchain_tts.debugger.screen import DebuggerApp
from langchain_tts.debugger.screen._dialogs import Compared
from tests.unit_tests.debugger.conftest import Start
from tests.unit_tests.fakes import TreePolicy, random_language


class Driven:
    """A screen that waits after each key until what it started is done."""

    def __init__(self, app: DebuggerApp, pilot: Any) -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.app.workers.wait_for_complete()
            await self.pilot.pause()

    async def choose(self, candidate_id: int) -> None:
        """Move the cursor to a candidate, as the arrow keys do."""
        tree = self.app.query_one("#tree", Tree)
        node = next(n for n in walk(tree.root) if n.data == candidate_id)
        tree.move_cursor(node)
        await self.pilot.pause()

    def shown(self, part: str) -> str:
        return str(self.app.screen_stack[0].query_one(f"#{part}", Static).render())

    @property
    def notices(self) -> list[str]:
        return [notice.message for notice in self.app._notifications]


def walk(node: Any) -> list[Any]:
    return [node, *(found for child in node.children for found in walk(child))]


@asynccontextmanager
async def driven(
    debugger: SearchDebugger, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[Driven]:
    app = DebuggerApp(debugger)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.pause()
        yield Driven(app, pilot)


async def test_n_runs_the_next_node_and_b_takes_it_back(start: Start) -> None:
    debugger = start(name="mine")
    async with driven(debugger) as screen:
        assert "mine" in screen.shown("head")
        await screen.press("n")
        assert (debugger.next, len(debugger.tree)) == ("score", 8)
        tree = screen.app.query_one("#tree", Tree)
        assert {node.data for node in walk(tree.root)} == {None, *range(8)}
        await screen.press("n", "n")
        assert debugger.next == "propose"
        await screen.press("b")
        assert debugger.next == "select"
        await screen.press("b", "b", "b")
        assert debugger.tree == []
        assert "cannot go back: this is the first one" in screen.notices[-1]


@pytest.mark.parametrize("size", [(120, 40), (60, 24)])
async def test_the_graph_of_a_chosen_strategy_is_shown_under_the_whole(
    size: tuple[int, int], start: Start
) -> None:
    debugger = start("compute_optimal")
    async with driven(debugger, size) as screen:
        assert " · best_first · " in screen.shown("graph")
        await screen.press("n", "n", "n", "n")
        assert debugger.next == "beam_search/score"
        lines = [line.strip() for line in screen.shown("graph").splitlines()]
        assert lines == [
            "start ─▶ propose ↺─▶ score ─▶ route ─▶ beam_search ─▶ aggregate ─▶ end",
            "╰─────────────────────────▲",
            "start ─▶ propose ─▶ score ─▶ select ─▶ end",
            "▲───────────────────╯",
        ]
        assert screen.app.query_one("#graph").size.height == 4
        assert "next beam_search/score" in screen.shown("branches")
        tree = screen.app.query_one("#tree", Tree)
        assert len(walk(tree.root)) == len(debugger.tree) + 1
        await screen.press("b", "b")
        assert " · best_first · " in screen.shown("graph")


async def test_r_runs_to_the_end_and_shows_the_answer(start: Start) -> None:
    debugger = start()
    async with driven(debugger) as screen:
        assert not screen.app.query_one("#answer").display
        await screen.press("r")
        assert debugger.result is not None
        answer = debugger.result["answer"]
        assert screen.app.query_one("#answer").display
        assert f"answer {answer}" in screen.shown("branches")
        await screen.press("n")
        assert "the search has ended" in screen.notices[-1]


class Held(TreePolicy):
    """A policy that waits for the test at its second call."""

    def __init__(self) -> None:
        super().__init__(random_language(3, depth=5))
        self.going, self.held = Event(), Event()

    def submit(self, requests: Any) -> Any:
        if len(self.calls) == 1:
            self.held.set()
            self.going.wait(10)
        return super().submit(requests)


async def test_r_again_stops_after_the_node_that_runs(start: Start) -> None:
    policy = Held()
    debugger = start(policy=policy)
    async with driven(debugger) as screen:
        await screen.pilot.press("r")
        while not policy.held.is_set():
            await screen.pilot.pause(0.01)
        await screen.pilot.press("n")
        await screen.pilot.pause()
        assert screen.notices[-1].startswith("wait: running to the end")
        await screen.pilot.press("r")
        policy.going.set()
        await screen.app.workers.wait_for_complete()
        await screen.pilot.pause()
        assert debugger.next == "score"
        assert screen.app.busy == ""


async def test_q_waits_for_the_node_that_runs(start: Start) -> None:
    policy = Held()
    debugger = start(policy=policy)
    async with driven(debugger) as screen:
        await screen.pilot.press("r")
        while not policy.held.is_set():
            await screen.pilot.pause(0.01)
        await screen.pilot.press("q")
        await screen.pilot.pause()
        assert screen.notices[-1].startswith("leaving after this node")
        policy.going.set()
        while screen.app.is_running:  # noqa: ASYNC110 (its loop may be over)
            await asyncio.sleep(0.01)
    assert debugger.next == "score"


async def test_h_goes_back_to_any_point(start: Start) -> None:
    debugger = start()
    async with driven(debugger) as screen:
        await screen.press("n", "n", "n", "n")
        await screen.press("h", "up", "up", "up", "enter")
        assert (debugger.next, len(debugger.history)) == ("score", 2)


async def test_p_prunes_and_k_keeps_the_candidate_under_the_cursor(
    start: Start,
) -> None:
    debugger = start()
    async with driven(debugger) as screen:
        await screen.press("p")
        assert "choose a candidate in the tree first" in screen.notices[-1]
        await screen.press("n", "n", "n")
        gone = debugger.state["frontier"][0]
        await screen.choose(gone)
        await screen.press("p")
        assert debugger.tree[gone]["status"] == "pruned"
        assert screen.app.query_one("#tree", Tree).cursor_node.data == gone  # type: ignore[union-attr]
        await screen.press("p")
        assert f"candidate {gone} is pruned" in screen.notices[-1]
        await screen.press("k")
        assert gone in debugger.state["frontier"]


async def test_s_asks_for_a_score(start: Start) -> None:
    debugger = start()
    async with driven(debugger) as screen:
        await screen.press("n", "n")
        await screen.choose(5)
        for text in ("high", "7"):
            await screen.press("s")
            screen.app.screen.query_one(Input).value = text
            await screen.press("enter")
            assert "from 0 to 1" in screen.notices[-1]
        await screen.press("s", "escape")
        score = debugger.tree[5]["score"]
        await screen.press("s")
        screen.app.screen.query_one(Input).value = "0.25"
        await screen.press("enter")
        assert debugger.tree[5]["score"] == 0.25
        assert score != 0.25


async def test_w_asks_for_a_step(start: Start) -> None:
    debugger = start()
    async with driven(debugger) as screen:
        await screen.press("n", "n")
        await screen.choose(5)
        await screen.press("w")
        box = screen.app.screen.query_one(TextArea)
        assert box.text == debugger.tree[5]["text"]
        box.text = r"so \boxed{3}"
        screen.app.screen.query_one(Checkbox).value = True
        await screen.press("ctrl+s")
        step = debugger.tree[5]
        assert (step["text"], step["status"]) == (r"so \boxed{3}", "finished")
        assert step["score"] is not None
        await screen.press("w")
        screen.app.screen.query_one(TextArea).text = ""
        await screen.press("ctrl+s")
        assert "the step is empty" in screen.notices[-1]


async def test_f_forks_g_goes_to_a_branch_and_c_compares(start: Start) -> None:
    debugger = start()
    async with driven(debugger) as screen:
        await screen.press("n", "n", "c")
        assert "there is one branch only" in screen.notices[-1]
        await screen.press("f", *"two", "enter")
        assert (debugger.branches(), debugger.branch) == (["main", "two"], "two")
        await screen.choose(0)
        await screen.press("p", "r")
        await screen.press("g", "up", "enter")
        assert debugger.branch == "main"
        await screen.press("f", *"two", "enter")
        assert "there is one already" in screen.notices[-1]
        await screen.press("c")
        compared = screen.app.screen
        assert isinstance(compared, Compared)
        assert compared._comparison.a.branch == "main"
        assert compared._comparison.b.branch == "two"
        await screen.press("escape")
        await screen.press("f", *"three", "enter")
        await screen.press("c", "enter")
        assert isinstance(screen.app.screen, Compared)
        assert screen.app.screen._comparison.b.branch == "main"


async def test_q_leaves_and_everything_is_saved(start: Start) -> None:
    debugger = start()
    async with driven(debugger) as screen:
        await screen.press("n", "q")
        assert not screen.app.is_running
    assert len(debugger.history) == 2


async def test_an_engine_that_fails_is_a_notice(start: Start) -> None:
    errors = [RuntimeError("engine [down]")] * 3
    debugger = start(policy=TreePolicy(random_language(3), errors=errors))
    async with driven(debugger) as screen:
        await screen.press("n")
        assert "engine [down]" in screen.notices[-1]
        assert screen.app.busy == ""
        await screen.press("n")
        assert debugger.next == "score"


async def test_a_candidate_is_shown_with_its_path_and_scores(start: Start) -> None:
    debugger = start()
    async with driven(debugger) as screen:
        for _ in range(6):
            await screen.press("n")
        beam = debugger.state["frontier"][0]
        await screen.choose(beam)
        svg = screen.app.export_screenshot()
        parent = debugger.tree[beam]["parent"]
        assert parent is not None
        for i in (parent, beam):
            step = debugger.tree[i]
            assert step["text"][:20].replace(" ", "&#160;") in svg
            assert f"{step['score']:.2f}" in svg
        assert "to&#160;be&#160;continued" in svg


async def test_a_branch_of_the_tree_that_was_closed_stays_closed(start: Start) -> None:
    debugger = start()
    async with driven(debugger) as screen:
        for _ in range(6):
            await screen.press("n")
        tree = screen.app.query_one("#tree", Tree)
        parent = debugger.tree[debugger.state["frontier"][0]]["parent"]
        next(n for n in walk(tree.root) if n.data == parent).collapse()
        await screen.press("n")
        again = next(n for n in walk(tree.root) if n.data == parent)
        assert not again.is_expanded


@pytest.mark.parametrize(("width", "lines"), [(120, 1), (80, 2), (50, 3)])
async def test_all_keys_are_shown_in_any_width(
    width: int, lines: int, start: Start
) -> None:
    async with driven(start(), (width, 24)) as screen:
        keys = screen.shown("keys")
        assert [len(line) <= width for line in keys.splitlines()] == [True] * lines
        for name in ("next", "history", "compare", "quit"):
            assert name in keys
