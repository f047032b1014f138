"""`langchain-tts graph`, and strategies of the current directory."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from langchain_tts import _cli_graph
from langchain_tts._cli_graph import strategy_name
from langchain_tts._drawing import mermaid, picture
from langchain_tts.strategies import STRATEGIES, UnknownStrategyError, get_strategy

OWN = """
from langchain_tts import register_strategy, step_strategy
from langchain_tts.search.select import keep_best

strategy = register_strategy(step_strategy("of_this_folder", "a test's", keep_best))
"""


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    _cli_graph.add_parser(parser.add_subparsers())
    given = parser.parse_args(["graph", *arguments])
    code: int = given.run(given)
    return code


def test_a_graph_is_printed_as_mermaid_and_as_a_picture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    strategy = get_strategy("beam_search")
    assert run("beam_search") == 0
    assert capsys.readouterr().out == f"{mermaid(strategy)}\n\n{picture(strategy)}\n"
    assert run("beam_search", "--mermaid") == 0
    assert capsys.readouterr().out == f"{mermaid(strategy)}\n"
    assert run("beam_search", "--ascii") == 0
    assert capsys.readouterr().out == f"{picture(strategy)}\n"


def test_an_unknown_strategy_is_an_error_of_one_line() -> None:
    with pytest.raises(UnknownStrategyError, match="unknown strategy 'guess'") as error:
        run("guess")
    assert "\n" not in str(error.value)


def test_a_strategy_of_the_current_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "search_of_this_folder.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in {"", "."}])
    name = "search_of_this_folder:strategy"
    with pytest.raises(UnknownStrategyError, match="cannot be imported"):
        get_strategy(name)
    try:
        assert get_strategy(strategy_name(name)).name == "of_this_folder"
    finally:
        STRATEGIES.pop("of_this_folder", None)
        sys.modules.pop("search_of_this_folder", None)


def test_a_registered_name_does_not_open_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert strategy_name("beam_search") == "beam_search"
    assert sys.path == before
