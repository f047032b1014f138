"""The command line with the embedded models, in processes of its own."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import langchain_tts
from langchain_tts.tinymath import WEIGHTS
from tests.integration_tests.comparing import near, untimed

QUESTION = "What is 12*7+5?"
COMMAND = [sys.executable, "-m", "langchain_tts"]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def _solved(*arguments: str) -> dict[str, Any]:
    done = _run("solve", *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _refused(*arguments: str) -> str:
    done = _run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("langchain-tts: error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_solve_answers_by_beam_search() -> None:
    result = _solved(QUESTION, "--seed", "0")
    assert result["answer"] == "89"
    assert result["strategy"] == "beam_search"
    assert result["spent"]["samples"] <= 16
    assert result["spent"]["prm_tokens"] > 0
    assert result["stop_reason"] == "finished"


@pytest.mark.parametrize(
    "strategy", ["greedy", "majority_vote", "best_of_n", "beam_search", "dvts"]
)
def test_a_seed_gives_the_same_search_in_another_process(strategy: str) -> None:
    arguments = [QUESTION, "--strategy", strategy, "--budget", "8", "--seed", "11"]
    first, second = _solved(*arguments), _solved(*arguments)
    assert untimed(first) == near(untimed(second))


def test_without_a_terminal_solve_writes_plain_lines() -> None:
    done = _run("solve", QUESTION, "--seed", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "answer: 89"
    assert "\x1b" not in done.stdout


def test_a_hundred_thousand_characters_are_refused() -> None:
    assert "question" in _refused("solve", "7" * 100_000)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    assert str(missing) in _refused(
        "solve", QUESTION, "--policy", f"transformers:{missing}"
    )


def test_a_corrupt_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(WEIGHTS / "policy", folder)
    (weights,) = folder.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    assert str(folder) in _refused(
        "solve", QUESTION, "--policy", f"transformers:{folder}"
    )


def test_eval_measures_the_embedded_models() -> None:
    done = _run(
        *("eval", "--limit", "10", "--json", "--seed", "1"),
        *("--strategies", "greedy,majority_vote,best_of_n,beam_search"),
        *("--budgets", "1,4"),
    )
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["failures"] == []
    assert len(report["rows"]) == 2 * (1 + 1 + 9 + 9)
    for row in report["rows"]:
        assert row["n"] == 10
        assert set(row["by_level"]) == {"1", "2", "3", "4", "5"}
        assert 0 <= row["accuracy"] <= 1


def test_ctrl_c_ends_an_evaluation_quietly() -> None:
    # A test run in the background ignores Ctrl-C, and its children would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*COMMAND, "eval", "--strategies", "beam_search", "--budgets", "16"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    # The first tenth is done: the engine is busy with the next.
    assert "searches" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_the_demo_answers_three_questions_in_time() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(langchain_tts.__file__).parent.parent,
    )
    assert (done.returncode, done.stderr) == (0, "")
    rights = [line for line in done.stdout.splitlines() if " yes " in line]
    assert len(rights) == 3


@pytest.mark.parametrize("option", ["--policy", "--prm"])
def test_a_server_that_is_not_there_is_one_clear_line(option: str) -> None:
    # Nothing listens on port 9 (discard).
    address = "http://127.0.0.1:9/v1?retries=0"
    said = _refused("solve", QUESTION, option, address)
    assert "cannot connect to http://127.0.0.1:9" in said
    assert "is the server running?" in said
