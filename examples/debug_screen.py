"""The picture of `langchain-tts debug` in the documentation, taken by its own keys.

Run it with `python -m examples.debug_screen docs/debugger.svg`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from pathlib import Path

from textual.widgets import Input, Tree

from langchain_tts import Budget, SearchContext
from langchain_tts.debugger import SearchDebugger
from langchain_tts.debugger.screen import DebuggerApp

QUESTION = (
    "Tom has 48 stamps. Tom gives away 19. Then Tom has 4 times as many. "
    "Tom finds 37. How many stamps does Tom have now?"
)


async def take(debugger: SearchDebugger, width: int, height: int) -> str:
    """In a branch believe a first step that is wrong, and look at what follows it.

    Returns:
        The screen as an SVG.
    """
    app = DebuggerApp(debugger)
    async with app.run_test(size=(width, height)) as pilot:

        async def press(*keys: str) -> None:
            for key in keys:
                await pilot.press(key)
                await app.workers.wait_for_complete()
                await pilot.pause()

        async def choose(i: int) -> None:
            tree = app.query_one("#tree", Tree)
            places = [tree.root]
            while places[0].data != i:
                places += places.pop(0).children
            tree.move_cursor(places[0])
            await pilot.pause()

        await press("n", "n", "f", *"what-if", "enter")
        wrong = next(c["id"] for c in debugger.tree if c["text"] == "48-19=39")
        await choose(wrong)
        await press("s")
        app.screen.query_one(Input).value = "0.99"
        await press("enter", "n", "n", "n")
        await choose(next(c["id"] for c in debugger.tree if c["parent"] == wrong))
        return app.export_screenshot(title="langchain-tts debug")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("svg", type=Path)
    parser.add_argument("--width", type=int, default=110)
    parser.add_argument("--height", type=int, default=34)
    arguments = parser.parse_args()
    context = SearchContext(budget=Budget(12))
    with SearchDebugger(QUESTION, context=context, seed=0, name="stamps") as debugger:
        svg = asyncio.run(take(debugger, arguments.width, arguments.height))
    # The fonts that it names would be fetched from a network; the reader's own do.
    svg = re.sub(r"@font-face {.*?}\s*", "", svg, flags=re.DOTALL)
    arguments.svg.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
