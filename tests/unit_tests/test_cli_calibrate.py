from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from langchain_tts.cli import main
from langchain_tts.evaluation.store import ROWS
from langchain_tts.strategies.calibrations import read_calibration
from tests.unit_tests.counting import CountingPolicy, KnowingPrm

if TYPE_CHECKING:
    from pathlib import Path

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> CountingPolicy:
    """The names `tinymath` stand for scripted models here."""
    counting = CountingPolicy()
    monkeypatch.setattr("langchain_tts.policies._resolved", {"tinymath": counting})
    monkeypatch.setattr("langchain_tts.rewards._resolved", {"tinymath": KnowingPrm()})
    return counting


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Questions of which the policy knows some."""
    file = tmp_path / "data.jsonl"
    lines = [
        {"question": f"What is 6*7? ({i})", "answer": "42" if i % 3 else "40"}
        for i in range(12)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def _calibrate(folder: Path, data: Path, *options: str) -> int:
    return main(
        [
            "calibrate",
            *("--dataset", str(data)),
            *("--budgets", "2,4"),
            *("--strategies", "best_of_n,beam_search?beam_width=2"),
            *("--out", str(folder / "made.json")),
            *options,
        ]
    )


def test_calibrate_writes_a_file_that_can_be_read_and_tells_what_is_in_it(
    policy: CountingPolicy, data: Path, tmp_path: Path, capsys: Printed
) -> None:
    assert _calibrate(tmp_path, data) == 0
    found = read_calibration(tmp_path / "made.json")
    assert (found["policy"], found["prm"]) == ("counting", "knowing")
    assert found["policy_parameters"] == policy.num_parameters
    assert found["questions"] == 12
    assert list(found["cells"]) == ["2", "4"]
    # Four of twelve are known to nobody.
    for summary in found["summary"].values():
        assert summary["routed"]["accuracy"] == pytest.approx(8 / 12, abs=0.2)
    text = (tmp_path / "made.json").read_text()
    assert text.count("\n") > 100
    printed = capsys.readouterr().out
    assert "policy counting, verifier knowing, 12 questions" in printed
    assert "made.json" in printed.replace("\n", "")


def test_a_run_that_was_stopped_is_gone_on_with(
    policy: CountingPolicy, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert _calibrate(tmp_path, data, "--run", str(run)) == 0
    whole = (tmp_path / "made.json").read_text()
    lines = (run / ROWS).read_text().splitlines(keepends=True)
    assert len(lines) == 36
    (run / ROWS).write_text("".join(lines[:30]))
    policy.requests.clear()
    assert _calibrate(tmp_path, data, "--run", str(run)) == 0
    assert (tmp_path / "made.json").read_text() == whole
    assert len((run / ROWS).read_text().splitlines()) == 36
    policy.requests.clear()
    assert _calibrate(tmp_path, data, "--run", str(run)) == 0
    assert policy.requests == []


def _refused(capsys: Printed) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_strategies_without_first_samples_are_refused(
    policy: CountingPolicy, data: Path, tmp_path: Path, capsys: Printed
) -> None:
    assert _calibrate(tmp_path, data, "--strategies", "greedy,dvts") == 2
    assert "none of best_of_n and majority_vote" in _refused(capsys)
    assert policy.requests == []


def test_a_file_that_cannot_be_written_costs_no_search(
    policy: CountingPolicy, data: Path, tmp_path: Path, capsys: Printed
) -> None:
    out = str(tmp_path / "nowhere" / "made.json")
    assert _calibrate(tmp_path, data, "--out", out) == 2
    assert "cannot be written" in _refused(capsys)
    assert policy.requests == []


def test_the_strategies_that_are_compared_by_default_can_be_read() -> None:
    from langchain_tts._cli_calibrate import STRATEGIES
    from langchain_tts.strategies.parameters import parse_strategy, strategy_text

    assert [strategy_text(*parse_strategy(text)) for text in STRATEGIES] == list(
        STRATEGIES
    )
