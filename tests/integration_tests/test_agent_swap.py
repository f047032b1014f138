"""The agent example runs offline, and its figures are those of the runs."""

from __future__ import annotations

import asyncio
from io import StringIO

import pytest
from langchain_core.messages import AIMessage
from rich.console import Console

from examples.agent_swap import MOST_TURNS, Report, Run, compare, judged, main, summary
from langchain_tts.tinymath.generator import load_split


def test_all_models_answer_the_same_questions_with_tool_calls() -> None:
    limit, budget = 10, 4
    output = StringIO()
    console = Console(file=output, width=120)
    reports = asyncio.run(compare(limit, budget, 0, console))
    assert [report.name for report in reports] == [
        "greedy",
        "one sample",
        f"N = {budget}",
    ]
    for report in reports:
        assert len(report.runs) == limit
        assert not any(run.failed for run in report.runs)
        assert all(1 <= run.turns <= MOST_TURNS for run in report.runs)
        # The first two questions take one or two operations.
        assert any(run.right and run.tool_calls for run in report.runs)
    greedy, _, searched = (sum(run.tokens for run in r.runs) for r in reports)
    assert searched > 2 * greedy
    printed = output.getvalue()
    assert f"{limit} held-out questions" in printed
    assert all(report.name in printed for report in reports)


def test_the_example_runs_on_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--limit", "1", "--budget", "2"]) == 0
    assert "1 held-out questions" in capsys.readouterr().out


def test_a_run_is_right_by_its_last_message_and_counts_all_turns() -> None:
    problem = load_split("test")[0]
    usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    call = {"name": "calculator", "args": {"expression": "1+1"}, "id": "a"}
    messages = [
        AIMessage("", tool_calls=[call], usage_metadata=usage),
        AIMessage(rf"Answer: \boxed{{{problem.answer}}}", usage_metadata=usage),
    ]
    run = judged({"messages": messages}, problem)
    assert run == Run(right=True, turns=2, tool_calls=1, tokens=14)
    assert judged({"messages": messages[:1]}, problem).right is False
    assert judged(ValueError("broken"), problem) == Run(right=False, failed=True)


def test_differences_are_of_the_same_questions() -> None:
    def runs(*right: bool) -> list[Run]:
        return [Run(right=one) for one in right]

    reports = [
        Report("plain", runs(True, False, False, False), 1.0),
        Report("search", runs(False, True, True, True), 1.0),
    ]
    table = summary(reports, load_split("test")[:4])
    # Gains of -1, 1, 1, 1: mean 1/2, standard deviation 1, over the root of 4.
    assert list(table.columns[2].cells) == ["50.0 ± 50.0", ""]
    # Of 1, 0, 0, 0 the standard deviation is 1/2.
    assert list(table.columns[1].cells) == ["25.0 ± 25.0", "75.0 ± 25.0"]
