from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from langchain_tts import _cli_debug, policies, rewards
from langchain_tts.debugger import SearchDebugger
from tests.unit_tests.debugger.conftest import context
from tests.unit_tests.fakes import QUESTION


def run(*arguments: str) -> int:
    parser = ArgumentParser()
    _cli_debug.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["debug", *arguments])
    code: int = parsed.run(parsed)
    return code


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "debug.sqlite"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cli_debug, "_in_a_terminal", lambda: True)


@pytest.fixture
def opened(
    monkeypatch: pytest.MonkeyPatch,
    terminal: None,  # noqa: ARG001 (where the screen opens)
) -> list[SearchDebugger]:
    """The sessions for which a screen was opened, with scripted models."""
    given = context()
    monkeypatch.setitem(policies._resolved, "tinymath", given.policy)
    monkeypatch.setitem(rewards._resolved, "tinymath", given.prm)
    found: list[SearchDebugger] = []
    monkeypatch.setattr(
        "langchain_tts.debugger.screen.DebuggerApp.run",
        lambda app: found.append(app.debugger),
    )
    return found


def test_without_a_terminal_the_python_api_is_named(file: Path) -> None:
    with pytest.raises(ValueError, match="SearchDebugger"):
        run("1+1?", "--file", str(file))
    assert not file.exists()


def test_a_session_is_started_with_the_options(
    file: Path, opened: list[SearchDebugger], capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--strategy dvts --budget 6 --seed 5 --set beam_width=3 --name my-search"
    assert run("What is 1+1?", *options.split(), "--file", str(file)) == 0
    [debugger] = opened
    setup = debugger.setup
    assert (setup.question, setup.strategy, setup.seed) == ("What is 1+1?", "dvts", 5)
    assert (setup.context.budget.samples, setup.context.beam_width) == (6, 3)
    assert capsys.readouterr().out == (
        f"saved; go on with: langchain-tts debug --open my-search --file {file}\n"
    )


def test_a_saved_session_is_opened_by_name(
    file: Path, opened: list[SearchDebugger]
) -> None:
    run("What is 1+1?", "--name", "mine", "--file", str(file))
    run("--open", "mine", "--file", str(file))
    assert [debugger.name for debugger in opened] == ["mine", "mine"]
    with pytest.raises(ValueError, match="no session 'yours'"):
        run("--open", "yours", "--file", str(file))


@pytest.mark.parametrize("command", [["--list"], ["--open", "mine"]])
@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", "1"), ("budget", "8"), ("set", "beam_width=2"), ("prm", "none")],
)
def test_options_of_a_new_session_are_not_ignored(
    command: list[str], name: str, value: str
) -> None:
    with pytest.raises(ValueError, match=f"--{name} is for a new session"):
        run(*command, f"--{name}", value)


def test_sessions_are_listed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--list", "--file", str(file))
    assert "no sessions in" in capsys.readouterr().out
    SearchDebugger(QUESTION, context=context(), name="mine", file=file).close()
    run("--list", "--file", str(file))
    out = capsys.readouterr().out
    assert "mine" in out
    assert "beam_search" in out


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("package", ["textual", "platformdirs"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith("langchain_tts.debugger.screen"):
            monkeypatch.delitem(sys.modules, name)
    for module in ("textual", "textual.app", "textual.containers", "platformdirs"):
        if module.startswith(package):
            monkeypatch.setitem(sys.modules, module, None)
    file = [] if package == "platformdirs" else ["--file", "never.sqlite"]
    with pytest.raises(ValueError, match=r'pip install "langchain-tts\[debug\]"'):
        run("1+1?", *file)
