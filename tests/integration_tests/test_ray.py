"""The engine on Ray: two workers on this machine, one of which is killed in mid-run."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from langchain_tts.evaluation.datasets import load_dataset
from langchain_tts.evaluation.local import LocalEngine
from langchain_tts.evaluation.plans import Job, plans
from langchain_tts.evaluation.ray_engine import RayEngine
from langchain_tts.evaluation.ray_pool import Loaded, RayEngineError, import_ray
from langchain_tts.evaluation.records import SearchRecord, job_key, key_of
from langchain_tts.evaluation.schedule import Schedule
from langchain_tts.strategies.context import SearchContext
from tests.integration_tests.comparing import near, untimed

# Not `importorskip`: Ray reads where to listen when it is imported.
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or find_spec("ray") is None,
    reason="needs Ray, and looks for processes in /proc",
)

CONTEXT = SearchContext(policy="tinymath-small", prm="tinymath-weak")
JOBS = [
    Job(plan, question, seed)
    for plan in plans(["best_of_n", "beam_search?beam_width=2"], [2, 4], CONTEXT)
    for seed in (0, 1)
    for question in load_dataset("tinymath", limit=3)
]

FLIPS = 2


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with RayEngine(workers=2) as started:
            yield started


def children(parent: int) -> dict[int, str]:
    """Ids and names of the processes that a process has started, and so on."""
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            name = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
        except OSError:
            continue
        if int(stat[1]) == parent and stat[0] != "Z":
            pid = int(folder.name)
            found |= {pid: name, **children(pid)}
    return found


def workers() -> list[int]:
    names = children(os.getpid()).items()
    return [pid for pid, name in names if name.startswith("ray::Worker")]


def comparable(record: SearchRecord) -> dict[str, Any]:
    if record["error"] is not None:
        return dict(record)
    return untimed(record)


def test_a_worker_is_killed_in_mid_run_and_every_row_is_there_once(
    engine: RayEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.models(CONTEXT)
    pool = engine._pool_of(CONTEXT)
    while len(pool.ready) < 2:
        assert isinstance(pool.next(), Loaded)
    lost: list[int] = []
    lose = Schedule.lose

    def losing(self: Schedule, worker: int, job: int) -> bool:
        lost.append(job)
        return lose(self, worker, job)

    monkeypatch.setattr(Schedule, "lose", losing)
    found: list[SearchRecord] = []

    def done(record: SearchRecord) -> None:
        found.append(record)
        if len(found) == 3:
            pids = workers()
            assert len(pids) == 2
            os.kill(pids[0], signal.SIGKILL)

    engine.run(JOBS, CONTEXT, done)
    assert lost
    assert Counter(map(key_of, found)) == Counter(map(job_key, JOBS))
    alone: list[SearchRecord] = []
    LocalEngine().run(JOBS, CONTEXT, alone.append)
    here = {key_of(record): near(comparable(record)) for record in alone}
    # In another batch the last digits differ, which may decide between equal steps.
    assert sum(comparable(record) != here[key_of(record)] for record in found) <= FLIPS


def test_a_model_that_is_not_there_ends_the_run(engine: RayEngine) -> None:
    with pytest.raises(RayEngineError, match="unknown policy 'nobody'"):
        engine.models(SearchContext(policy="nobody"))


@pytest.mark.usefixtures("engine")
def test_ray_listens_on_loopback_only() -> None:
    assert {node["NodeName"] for node in import_ray().nodes()} == {"127.0.0.1"}
