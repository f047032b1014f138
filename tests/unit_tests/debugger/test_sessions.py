"""Sessions that are kept in a file and opened again."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from langchain_tts.budget import Budget
from langchain_tts.debugger import DebuggerError, SearchDebugger
from langchain_tts.debugger._setup import Setup, read_setup
from langchain_tts.strategies import STRATEGIES, UnknownStrategyError
from langchain_tts.strategies._proposal import QuestionError
from langchain_tts.strategies._setting import MissingVerifierError
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve
from langchain_tts.strategies.state import result_of
from tests.unit_tests.debugger.conftest import Start, context
from tests.unit_tests.debugger.test_debugger import timeless
from tests.unit_tests.fakes import QUESTION


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "debug.sqlite"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_session_goes_on_where_it_was_left(
    strategy: str, file: Path, start: Start
) -> None:
    plain = solve(QUESTION, strategy=strategy, context=context(), seed=7)
    given = context()
    with start(strategy, name="mine", file=file) as debugger:
        debugger.step()
        state = debugger.state
    while True:
        # Opened anew for each step.
        with SearchDebugger.open(
            "mine", file, policy=given.policy, prm=given.prm
        ) as again:
            assert again.state == state
            if again.step() is None:
                break
            state = again.state
    assert timeless(result_of(state)) == timeless(plain)


def test_branches_and_the_one_looked_at_are_kept(file: Path, start: Start) -> None:
    with start(name="mine", file=file) as debugger:
        debugger.step()
        debugger.fork("other")
        debugger.rescore(0, 0.125)
        history = debugger.history
    given = context()
    with SearchDebugger.open("mine", file, policy=given.policy, prm=given.prm) as again:
        assert (again.branches(), again.branch) == (["main", "other"], "other")
        assert again.history == history
        assert again.tree[0]["score"] == 0.125
        again.switch("main")
        assert again.tree[0]["score"] is None


def test_budget_and_parameters_are_kept() -> None:
    made = Setup(
        messages=QUESTION,
        strategy="dvts",
        seed=5,
        context=SearchContext(
            policy="tinymath-small",
            prm=None,
            budget=Budget(6, tokens=900, flops=1e9, seconds=2.5),
            beam_width=3,
            temperature=0.5,
            vote="majority",
        ),
    )
    assert read_setup(made.to_json(), "mine") == made


def test_a_model_that_was_an_object_has_to_be_given_again(
    file: Path, start: Start
) -> None:
    start(name="mine", file=file)
    with pytest.raises(DebuggerError, match=r"policy that is an object \('tree'\)"):
        SearchDebugger.open("mine", file)
    given = context()
    with pytest.raises(DebuggerError, match=r"prm that is an object \('tree-prm'\)"):
        SearchDebugger.open("mine", file, policy=given.policy)


def test_sessions_are_listed_the_newest_first(file: Path, start: Start) -> None:
    assert SearchDebugger.sessions(file) == []
    start("greedy", name="one", file=file)
    start("dvts", name="two", file=file).fork("more")
    found = SearchDebugger.sessions(file)
    assert [(s.name, s.strategy, s.branches) for s in found] == [
        ("two", "dvts", ["main", "more"]),
        ("one", "greedy", ["main"]),
    ]
    assert found[0].question == QUESTION[0]["content"]


def test_names_are_made_from_the_question_and_never_taken_twice(
    file: Path, start: Start
) -> None:
    assert start(file=file).name.startswith("what-is-6-7-")
    start(name="mine", file=file)
    with pytest.raises(DebuggerError, match="there is a session 'mine' already"):
        start(name="mine", file=file)
    with pytest.raises(DebuggerError, match=r"no session 'yours' .*; it has .*mine"):
        SearchDebugger.open("yours", file)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database " * 100)
    for call in (
        lambda: SearchDebugger(QUESTION, context=context(), file=file),
        lambda: SearchDebugger.open("mine", file),
        lambda: SearchDebugger.sessions(file),
    ):
        with pytest.raises(DebuggerError, match="give a file that the debugger made"):
            call()
    assert file.read_text().startswith("not a database")


def test_what_cannot_be_searched_leaves_no_session(file: Path) -> None:
    with pytest.raises(QuestionError, match="the question is empty"):
        SearchDebugger(" ", context=context(), file=file)
    with pytest.raises(UnknownStrategyError, match="unknown strategy 'nonsense'"):
        SearchDebugger("1+1?", strategy="nonsense", context=context(), file=file)
    with pytest.raises(MissingVerifierError, match="prm is None"):
        SearchDebugger("1+1?", context=context(prm=None), file=file)
    assert SearchDebugger.sessions(file) == []


def test_a_search_without_a_verifier_can_be_kept(file: Path, start: Start) -> None:
    debugger = start("majority_vote", prm=None, name="mine", file=file)
    found = debugger.run()
    with SearchDebugger.open("mine", file, policy=context().policy) as again:
        assert again.result == found
        again.rewrite(0, r"so it is \boxed{5}", ends=True)
        assert again.tree[0]["score"] is None
        again.run()


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "langgraph.checkpoint.sqlite", None)
    with pytest.raises(DebuggerError, match=r'pip install "langchain-tts\[debug\]"'):
        SearchDebugger(QUESTION, context=context())


@pytest.mark.parametrize("steps", range(1, 8))
def test_a_session_that_was_killed_before_a_checkpoint_goes_on(
    steps: int, tmp_path: Path
) -> None:
    # What a node wrote is there, the checkpoint after it is not.
    before, after = tmp_path / "before.sqlite", tmp_path / "after.sqlite"
    setting = context()
    with SearchDebugger("6*7?", context=setting, seed=3, name="s", file=before) as d:
        for _ in range(steps):
            d.step()
    shutil.copy(before, after)
    models: Any = {"policy": setting.policy, "prm": setting.prm}
    with SearchDebugger.open("s", after, **models) as d:
        node = d.next
        d.step()
        whole = d.run()
    with sqlite3.connect(before) as saved:
        saved.execute("ATTACH ? AS later", [str(after)])
        newest = saved.execute("SELECT max(checkpoint_id) FROM checkpoints").fetchone()
        saved.execute(
            "INSERT OR IGNORE INTO writes SELECT * FROM later.writes "
            "WHERE checkpoint_id = ?",
            newest,
        )
    saved.close()
    with SearchDebugger.open("s", before, **models) as d:
        assert d.next == node
        assert d.run()["tree"] == whole["tree"]
