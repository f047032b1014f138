from __future__ import annotations

import pytest
from rich.console import Console

from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.report import Pace, losses, progress, table
from langchain_tts.evaluation.sweep import Report, sweep
from langchain_tts.strategies.context import SearchContext
from tests.unit_tests.counting import CountingPolicy, KnowingPrm

QUESTIONS = [
    Question("What is 6*7?", "42", 1),
    Question("What is 7*6?", "42", 1),
    Question("What is 40+1?", "41", 2),
]


def _sweep(*strategies: str, budgets: tuple[int, ...]) -> Report:
    return sweep(
        QUESTIONS,
        strategies=strategies,
        budgets=budgets,
        context=SearchContext(policy=CountingPolicy(), prm=KnowingPrm()),
    )


def test_the_table_shows_one_way_of_answering_for_each_strategy_and_budget(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = _sweep("greedy", "majority_vote", "best_of_n", budgets=(4, 16))
    console = Console(width=80)
    console.print(table(report, title="sums", score="last", vote="max"))
    lines = [line for line in capsys.readouterr().out.splitlines() if "±" in line]
    assert "3 questions" in lines[0]
    # The title, greedy once, the others at both budgets.
    assert len(lines) == 6
    assert "last-max" in lines[-1]
    assert "66.7±27.2" in lines[-1]
    assert "100±0" in lines[-1]


def test_the_table_by_majority_shows_majority_rows() -> None:
    report = _sweep("majority_vote", "best_of_n", budgets=(4,))
    drawn = table(report, title="sums", score="last", vote="majority")
    assert drawn.row_count == 2


def test_the_table_has_pass_at_n_where_samples_are_independent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    drawn = []
    for strategies in (("majority_vote", "beam_search"), ("beam_search",)):
        report = _sweep(*strategies, budgets=(16,))
        Console(width=80).print(table(report, title="sums", score="last", vote="max"))
        drawn.append(capsys.readouterr().out)
    both, steps = drawn
    assert "pass@N" in both
    # 16 samples of 41 and 42 hold both.
    (majority,) = (
        line for line in both.splitlines() if line.strip().startswith("majority")
    )
    assert majority.split()[-1] == "100±0"
    (beam,) = (line for line in both.splitlines() if line.strip().startswith("beam"))
    assert beam.split()[-1] != "100±0"
    assert "pass@N" not in steps


def test_the_table_fits_into_80_columns() -> None:
    levels = [Question(f"What is 6*7? ({level})", "42", level) for level in range(1, 6)]
    report = sweep(
        levels,
        strategies=["particle_filter", "majority_vote"],
        budgets=[16],
        context=SearchContext(policy=CountingPolicy(), prm=KnowingPrm()),
    )
    console = Console(width=200)
    drawn = table(report, title="sums", score="last", vote="max")
    assert console.measure(drawn).maximum <= 80


def test_losses_tell_which_searches_failed_and_which_strategies() -> None:
    blank = Question(" ", "1", 1)
    report = sweep(
        [*QUESTIONS, blank],
        strategies=["beam_search", "majority_vote"],
        budgets=[4],
        context=SearchContext(policy=CountingPolicy(), prm=None),
    )
    beam, majority = losses(report)
    assert beam.startswith(
        "beam_search, N = 4: every search failed, so nothing was measured; the first: "
        "MissingVerifierError: prm is None"
    )
    assert majority.startswith(
        "majority_vote, N = 4: 1 of 4 searches failed and count as wrong; the first: "
        "QuestionError: the question is empty"
    )
    assert losses({**report, "failures": []}) == []


def test_without_a_terminal_progress_is_a_line_on_stderr_for_each_tenth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as advance:
        assert capsys.readouterr() == ("", "")
        for done in range(41):
            advance(done, 40)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("4 of 40 searches")
    assert lines[-1].endswith("0 s left")


def test_on_a_terminal_progress_is_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress() as advance:
        assert capsys.readouterr() == ("", "")
        advance(0, 2)
        advance(1, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "1/2" in captured.err


def test_a_run_that_goes_on_says_what_was_done_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as advance:
        for done in range(30, 41):
            advance(done, 40)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "30 of 40 searches were done before"
    assert [line.split(",")[0] for line in lines[1:]] == [
        "32 of 40 searches",
        "36 of 40 searches",
        "40 of 40 searches",
    ]


def test_the_time_left_is_by_the_pace_of_new_searches_alone() -> None:
    pace = Pace(done=900, now=100.0)
    assert pace.left(1000, now=105.0) is None
    pace.update(910)
    # Ten searches took 20 seconds: 90 more take 180.
    assert pace.left(1000, now=120.0) == pytest.approx(180.0)
    pace.update(1000)
    assert pace.left(1000, now=300.0) == 0.0


def test_parameters_of_a_strategy_do_not_push_columns_out_of_80() -> None:
    levels = [Question(f"What is 6*7? ({level})", "42", level) for level in range(1, 6)]
    report = sweep(
        levels,
        strategies=["beam_search?beam_width=2&score=min", "best_of_n"],
        budgets=[16],
        context=SearchContext(policy=CountingPolicy(), prm=KnowingPrm()),
        seeds=[0, 1],
    )
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table(report, title="sums", score="last", vote="max"))
    drawn = capture.get()
    assert "seeds 0, 1" in drawn
    assert "lvl 5" in drawn
    assert "beam_width=2" in drawn
    assert "…" not in drawn
