"""An evaluation that is killed again and again, in processes of its own."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "langchain_tts", "eval", "--limit", "10", "--json"]
SEARCHED = ["--strategies", "best_of_n,beam_search", "--budgets", "4,8"]
SEARCHES = 3 * 10
FLIPS = 2


def _command(run: Path) -> list[str]:
    return [*COMMAND, *SEARCHED, "--out", str(run)]


def _to_the_end(run: Path) -> dict[str, Any]:
    done = subprocess.run(
        _command(run), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _rows(run: Path) -> dict[tuple[str, str, int, int], Any]:
    """What was answered by what; a search that is there twice is an error."""
    lines = (run / "rows.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    rows = {
        (r["id"], r["strategy"], r["budget"], r["seed"]): (
            r["answers"],
            [(final["sample"], final["text"], final["right"]) for final in r["finals"]],
            r["spent"]["generated_tokens"],
        )
        for r in records
    }
    assert len(rows) == len(records)
    return rows


def _lines(run: Path) -> int:
    rows = run / "rows.jsonl"
    return rows.read_bytes().count(b"\n") if rows.exists() else 0


def test_a_run_that_is_killed_at_any_moment_ends_like_one_that_is_not(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    rng = random.Random(0)
    kept = 0
    for goal in (1, 10, 20):
        with subprocess.Popen(
            _command(run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and _lines(run) < goal:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.02))
            if goal == 20:
                process.send_signal(signal.SIGSTOP)
                _is_refused(run, process.pid)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        # What was kept stays, and this process went on where the last one was.
        assert kept < _lines(run) < SEARCHES
        if goal == 10:
            # What a crash of the machine may leave of the last line.
            rows = run / "rows.jsonl"
            rows.write_bytes(rows.read_bytes()[:-100])
        kept = _lines(run)
    report = _to_the_end(run)
    whole = _to_the_end(tmp_path / "whole")
    found, expected = _rows(run), _rows(tmp_path / "whole")
    assert found.keys() == expected.keys()
    assert len(found) == SEARCHES
    # In another batch the last digits differ, which may decide between equal steps.
    assert sum(found[key] != expected[key] for key in found) <= FLIPS
    for row, other in zip(report["rows"], whole["rows"], strict=True):
        for name in ("strategy", "budget", "score", "vote", "n"):
            assert row[name] == other[name]


def _is_refused(run: Path, owner: int) -> None:
    """Another process cannot write into a run while one does."""
    other = subprocess.run(
        _command(run), capture_output=True, text=True, check=False, timeout=300
    )
    assert (other.returncode, other.stdout) == (2, "")
    assert other.stderr.count("\n") == 1
    assert f"error: process {owner} is writing into {run}" in other.stderr
