"""The program that writes the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import reproduction
from benchmarks.repro_runs import PLANS, RunPlan, Runs
from langchain_tts import cli
from langchain_tts._cli_context import search_context
from langchain_tts.cli import _parser
from langchain_tts.strategies.parameters import parse_strategy, strategy_text
from tests.unit_tests.reproduction.written import Drawn, search, write_run

PAGE = Path(__file__).parents[3] / "docs" / "reproduction.md"


@pytest.mark.parametrize("plan", PLANS.values(), ids=lambda plan: plan.name)
def test_every_run_s_command_is_one(plan: RunPlan) -> None:
    arguments = _parser().parse_args(plan.arguments("runs"))
    assert str(arguments.out) == f"runs/{plan.name}"
    assert search_context(arguments, budget=4).policy == plan.policy
    for text in arguments.strategies.split(","):
        # A run names its strategies as they are looked up here.
        assert strategy_text(*parse_strategy(text)) == text


def test_the_page_has_a_part_for_everything_that_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    code = reproduction.main(["--runs", str(tmp_path), "--write", str(page)])
    assert code == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("Not measured: ") == len(reproduction.CLAIMS) + 1
    assert "run 'test-large' is missing; make it: langchain-tts eval" in text


def test_what_stands_around_the_marks_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a: begin -->old<!-- a: end -->\nafter\n")
    reproduction.write(page, {"a": "new"})
    assert page.read_text() == (
        "before\n<!-- a: begin -->\n\nnew\n\n<!-- a: end -->\nafter\n"
    )


def test_only_the_claims_that_are_named_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [search("q", "best_of_n", [Drawn(right=True)] * 4, sizes=[1, 4])]
    write_run(tmp_path, "test-strong", records)
    reproduction.main(["--runs", str(tmp_path), "--claims", "1"])
    printed = capsys.readouterr()
    assert "| `best_of_n` | 4 | 100.0 (100.0 to 100.0) |" in printed.out
    assert "--claims 1" in printed.out
    assert "--claims 2" not in printed.out
    assert printed.err == ""


def test_missing_runs_are_named_with_their_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reproduction.main(["--runs", str(tmp_path), "--claims", "4"])
    errors = capsys.readouterr().err
    for name in ("test-small", "test-strong", "test-large"):
        assert f"run {name!r} is missing: langchain-tts eval" in errors


def test_a_sweep_makes_the_runs_of_its_claims_and_stops_where_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def run(arguments: list[str]) -> int:
        made.append(arguments[-1])
        return 2 if "test-small" in arguments[-1] else 0

    monkeypatch.setattr(cli, "main", run)
    code = reproduction.main(["--runs", str(tmp_path), "--sweep", "--claims", "4"])
    assert code == 1
    assert made == [f"{tmp_path}/test-strong", f"{tmp_path}/test-small"]


def test_every_claim_names_the_runs_that_it_reads() -> None:
    assert {name for claim in reproduction.CLAIMS for name in claim.runs} <= set(PLANS)
    assert Runs(Path("nowhere")).has("test-strong") is False
