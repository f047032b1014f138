"""The debugger with the embedded models, in processes of its own."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from langchain_tts import Budget, Message, SearchContext, solve
from langchain_tts.debugger import SearchDebugger
from langchain_tts.strategies import STRATEGIES

QUESTION = "Tom has 48 stamps. Tom gives away 19. How many stamps does Tom have now?"


def test_the_example_runs_offline_and_tells_what_it_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.debug_search"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers = re.findall(
        r"^(main|fooled|corrected) +(\d+) \d", done.stdout, re.MULTILINE
    )
    assert answers == [("main", "153"), ("fooled", "193"), ("corrected", "153")]
    assert "parted after score (point 2, round 0)" in done.stdout


def test_the_picture_of_the_documentation_can_be_taken(tmp_path: Path) -> None:
    picture = tmp_path / "debugger.svg"
    subprocess.run(
        [sys.executable, "-m", "examples.debug_screen", str(picture)],
        check=True,
        timeout=300,
    )
    made = picture.read_text(encoding="utf-8")
    assert "candidate" in made
    assert "font-face" not in made


STRICT = """
import sys
from langchain_tts import Budget, SearchContext
from langchain_tts.debugger import SearchDebugger
from langchain_tts.strategies import STRATEGIES

for strategy in STRATEGIES:
    context = SearchContext(budget=Budget(4))
    first = SearchDebugger(
        "What is 12*7+5?", strategy=strategy, context=context, seed=1,
        name=strategy, file=sys.argv[1],
    )
    first.step()
    first.close()
    debugger = SearchDebugger.open(strategy, sys.argv[1])
    debugger.run()
    debugger.back(1)
    debugger.fork("other")
    debugger.rescore(0, 0.5)
    debugger.rewrite(0, "12*7=84")
    debugger.run()
    debugger.compare("main", "other")
    debugger.close()
"""


def test_strict_serialization_works_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", STRICT, str(tmp_path / "debug.sqlite")],
        env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_session_by_name_goes_on_as_the_search_would_have(
    strategy: str, tmp_path: Path
) -> None:
    file, context = tmp_path / "debug.sqlite", SearchContext(budget=Budget(4))
    messages = [Message(role="user", content=QUESTION)]
    plain = solve(messages, strategy=strategy, context=context, seed=3)
    debugger = SearchDebugger(
        QUESTION, strategy=strategy, context=context, seed=3, name="mine", file=file
    )
    debugger.step()
    debugger.close()
    with SearchDebugger.open("mine", file) as again:
        found = again.run()
    assert found["answer"] == plain["answer"]
    assert found["votes"] == plain["votes"]
    assert [c["text"] for c in found["tree"]] == [c["text"] for c in plain["tree"]]


def test_going_back_in_a_large_search_is_instant(tmp_path: Path) -> None:
    context = SearchContext(budget=Budget(128))
    with SearchDebugger(
        QUESTION, context=context, seed=3, file=tmp_path / "debug.sqlite"
    ) as debugger:
        debugger.run()
        assert len(debugger.tree) > 200
        started = time.process_time()
        debugger.back()
        debugger.back(len(debugger.history) // 2)
        assert debugger.tree
        assert time.process_time() - started < 0.3


TERMINAL = """
import sys
from argparse import ArgumentParser
from langchain_tts import _cli_debug

parser = ArgumentParser()
_cli_debug.add_parser(parser.add_subparsers())
arguments = parser.parse_args(["debug", *sys.argv[1:]])
sys.exit(arguments.run(arguments))
"""


def test_the_screen_opens_in_a_terminal_and_q_leaves_it(tmp_path: Path) -> None:
    file = tmp_path / "debug.sqlite"
    options = ["--budget", "4", "--name", "mine", "--file", str(file)]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINAL, QUESTION, *options],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    try:
        read_until(ours, "quit")
        os.write(ours, b"n")
        read_until(ours, "#3")
        os.write(ours, b"q")
        said = read_until(ours, f"debug --open mine --file {file}")
        assert "Traceback" not in said
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    with SearchDebugger.open("mine", file) as debugger:
        assert [point.did for point in debugger.history] == ["start", "propose"]


def read_until(terminal: int, text: str) -> str:
    """What a program writes to its terminal, up to some text."""
    shown = ""
    deadline = time.monotonic() + 120
    while text not in shown.replace("\r\n", "") and time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if ready:
            try:
                shown += os.read(terminal, 65536).decode(errors="replace")
            except OSError:  # The program has left.
                break
    assert text in shown.replace("\r\n", "")
    return shown
