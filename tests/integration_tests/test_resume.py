"""Searches in processes of their own: killed (SIGKILL) at any moment, and resumed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from langchain_tts.strategies import STRATEGIES
from tests.integration_tests.comparing import rounded
from tests.integration_tests.resumable import Job, run

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-W", "error", "-m", "tests.integration_tests.resumable"]
STRICT = {
    **os.environ,
    "LANGGRAPH_STRICT_MSGPACK": "true",
    "LANGSMITH_TRACING": "false",
}

KILLS = 8
"""A search is killed at most so often before it is left alone."""


class Launcher:
    """Starts processes that have their imports behind them."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            COMMAND,
            cwd=ROOT,
            env=STRICT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, job: Job) -> int:
        """Start a search; tells its process id."""
        assert self.process.stdin is not None
        self.process.stdin.write(job.to_json() + "\n")
        self.process.stdin.flush()
        return self._read()

    def status(self) -> int:
        """How the search ended: 0, or minus the signal that killed it."""
        return self._read()

    def _read(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    started = Launcher()
    with started.process:
        yield started


def calls(job: Job) -> list[str]:
    return job.log.read_text().splitlines() if job.log.exists() else []


def found(job: Job) -> dict[str, Any]:
    """The result, but for the time that it took."""
    result: dict[str, Any] = json.loads(job.result.read_text())
    spent = {k: v for k, v in result["spent"].items() if k != "seconds"}
    return {**result, "spent": spent, "seconds": None}


def at(folder: Path, job: Job) -> Job:
    folder.mkdir()
    return replace(job, folder=str(folder))


def kill_in_its_first_call(launcher: Launcher, job: Job) -> None:
    """A kill that lands however busy the machine is."""
    process = launcher.start(replace(job, call_seconds=60.0))
    while not calls(job):
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)
    assert launcher.status() == -signal.SIGKILL


def check_the_calls(resumed: Job, undisturbed: Job, kills: int) -> None:
    """What was under way when a process was killed is done again, and nothing else."""
    made = calls(resumed)
    assert [call for call, _ in groupby(made)] == calls(undisturbed)
    assert len(made) <= len(calls(undisturbed)) + kills


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_search_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    strategy: str, launcher: Launcher, tmp_path: Path
) -> None:
    rng = random.Random(strategy)
    for seed in (1, 2):
        job = Job("", strategy, seed=seed, samples=12, question="What is 6 * 7?")
        undisturbed = at(tmp_path / f"{seed}-undisturbed", job)
        started = time.monotonic()
        launcher.start(undisturbed)
        assert launcher.status() == 0
        duration = time.monotonic() - started

        resumed = at(tmp_path / f"{seed}-resumed", job)
        kill_in_its_first_call(launcher, resumed)
        kills = 1
        status = -signal.SIGKILL
        while status and kills < KILLS:
            process = launcher.start(resumed)
            time.sleep(rng.uniform(0, 0.6 * duration))
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            status = launcher.status()
            assert status in {0, -signal.SIGKILL}
            kills += bool(status)
        if status:
            launcher.start(resumed)
            assert launcher.status() == 0
        assert found(resumed) == found(undisturbed)
        check_the_calls(resumed, undisturbed, kills)


def test_a_search_with_the_embedded_models_is_resumed_to_the_same_tree(
    tmp_path: Path,
) -> None:
    question = "What is 12 * 7 + 5?"
    job = Job("", "beam_search", seed=3, samples=16, question=question, embedded=True)
    undisturbed = at(tmp_path / "undisturbed", job)
    run(undisturbed)
    # Slower, so that the kill meets the second round.
    resumed = at(tmp_path / "resumed", replace(job, call_seconds=0.3))
    process = subprocess.Popen([*COMMAND, resumed.to_json()], cwd=ROOT, env=STRICT)
    with process:
        while len(calls(resumed)) < 3:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not resumed.result.exists()
    run(replace(resumed, call_seconds=0.0))
    assert len(calls(undisturbed)) > 3
    check_the_calls(resumed, undisturbed, kills=1)
    assert found(resumed)["answer"] == found(undisturbed)["answer"]
    assert found(resumed)["tree"] == rounded(found(undisturbed)["tree"])
