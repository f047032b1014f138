"""`examples/streaming.py`, with the models in the package."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from examples import streaming
from langchain_tts import TTSChatModel


def pieces(lines: list[str]) -> str:
    """The text that was streamed."""
    quoted = [line.removeprefix("+ ") for line in lines if line.startswith("+ ")]
    return "".join(text[1:-1] for text in quoted)


def test_without_a_terminal_it_prints_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert streaming.main(["--budget", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == streaming.QUESTION
    graph = lines.index(next(line for line in lines if "a graph, streamed" in line))
    end = lines.index(next(line for line in lines if "the answer" in line))
    answer = "\\n\\n".join(line for line in lines[end + 1 :] if line)
    assert answer.endswith("\\boxed{153}")
    # As a quoted string has it.
    answer = answer.replace("\\boxed", "\\\\boxed")
    for part in (lines[:graph], lines[graph:end]):
        assert pieces(part) == answer
        assert sum(line.startswith("+ ") for line in part) > 2
        progress = [line for line in part if line.startswith("round")]
        assert re.match(r"round 4 aggregate +\d+ tokens", progress[-1])
        # The first words are there long before the search ends.
        assert (
            part.index(progress[-1])
            - part.index(next(line for line in part if line.startswith("+ ")))
            > len(progress) / 2
        )


def test_in_a_terminal_it_draws_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PACE", 0.0)
    drawn = StringIO()
    console = Console(file=drawn, force_terminal=True, width=80, legacy_windows=False)
    text = streaming.stream_chain(TTSChatModel(seed=0), streaming.QUESTION, console)
    assert text.endswith(r"\boxed{153}")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.getvalue())
    assert re.search(r"48-19=29  x\d+  0\.9", plain)
    assert "given up" in plain
    assert re.search(r"certain so far.*48-19=29", plain, re.DOTALL)
