"""Workers on Ray: starting them, calling them, and starting them again.

Ray is connected to where `RAY_ADDRESS` says so. Otherwise it is started, for this
process and on this machine only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import count
from types import ModuleType
from typing import Any

from langchain_tts.evaluation.local import Models
from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.evaluation.worker import JobData, Setup, Worker

ADDRESS = "RAY_ADDRESS"
"""Ray's own variable: the cluster to use (`auto`: the one on this machine)."""

LOADS = 3
"""A worker that dies so often in a row while it loads its models is given up."""

_PRIVATE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # With it off, on any system, Ray listens on loopback only.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


class RayEngineError(ValueError):
    """A sweep that cannot run on Ray."""


@dataclass(frozen=True)
class Loaded:
    """A worker is ready."""

    worker: int


@dataclass(frozen=True)
class Ended:
    """A job has its record, or raised."""

    worker: int
    job: int
    outcome: SearchRecord | Exception


@dataclass(frozen=True)
class Lost:
    """A worker died before it answered."""

    worker: int
    job: int | None
    """None: it was to load its models."""
    error: Exception


@dataclass(frozen=True)
class _Member:
    actor: Any
    deaths: int
    """In a row before it, in its place, while models were loaded."""


class Pool:
    """Workers with the same models. Each has a number, and a new one if started again.

    Args:
        ray: The module, connected to a cluster.
        size: How many workers.
        gpus: Of each.
        setup: What they load.
    """

    def __init__(self, ray: ModuleType, size: int, gpus: float, setup: Setup) -> None:
        self.setup = setup
        self.ready: set[int] = set()
        """The workers that have loaded their models."""
        self.models: Models | None = None
        """What the first of them told."""
        self._ray = ray
        # A worker that dies is started by `_replace`: Ray would not load its models.
        self._worker = ray.remote(Worker).options(
            num_cpus=1,
            num_gpus=gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )
        self._numbers = count()
        self._members: dict[int, _Member] = {}
        self._calls: dict[Any, tuple[int, int | None]] = {}
        for _ in range(size):
            self._hire(deaths=0)

    def search(self, worker: int, job: int, data: JobData) -> None:
        """Send a job to a worker."""
        call = self._members[worker].actor.search.remote(data)
        self._calls[call] = worker, job

    def next(self) -> Loaded | Ended | Lost:
        """Wait for the next call that ends.

        A worker that died has been replaced when this returns; the calls that it still
        had end one by one.

        Raises:
            RayEngineError: If no worker can load its models.
        """
        (call, *_), _ = self._ray.wait(list(self._calls))
        worker, job = self._calls.pop(call)
        try:
            value = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            if job is not None:
                return Ended(worker, job, error.cause)
            msg = f"a worker cannot load its models: {error.cause}"
            raise RayEngineError(msg) from error
        except self._ray.exceptions.RayError as error:
            self._replace(worker, error, loading=job is None)
            return Lost(worker, job, error)
        if job is not None:
            return Ended(worker, job, value)
        self.ready.add(worker)
        self.models = self.models or value
        return Loaded(worker)

    def dismiss(self) -> None:
        """End all workers."""
        for member in self._members.values():
            self._ray.kill(member.actor)
        self._members.clear()
        self._calls.clear()

    def _hire(self, deaths: int) -> None:
        worker, actor = next(self._numbers), self._worker.remote()
        self._members[worker] = _Member(actor, deaths)
        self._calls[actor.load.remote(self.setup)] = worker, None

    def _replace(self, worker: int, error: Exception, *, loading: bool) -> None:
        """Start a worker again; the first of its calls that ends tells that it died."""
        self.ready.discard(worker)
        member = self._members.pop(worker, None)
        if member is None:
            return
        # One that is only out of reach must not go on: its jobs run elsewhere.
        self._ray.kill(member.actor)
        deaths = member.deaths + 1 if loading else 0
        if deaths < LOADS:
            self._hire(deaths)
        elif not self._members:
            msg = (
                f"every worker died {LOADS} times while it loaded its models "
                f"({summary(error)}); is there enough memory for them?"
            )
            raise RayEngineError(msg)


def summary(error: Exception) -> str:
    """The first line of an error of Ray, which may have many."""
    first, *_ = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first}"


def import_ray() -> ModuleType:
    """Import Ray, so that one that is started here keeps to itself.

    Raises:
        RayEngineError: If it is not installed.
    """
    if not os.environ.get(ADDRESS):
        # It reads them when it is imported, and so do its processes.
        for name, value in _PRIVATE.items():
            os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        msg = (
            f"the engine ray needs {error.name}, which is not installed; "
            'run: pip install "langchain-tts[ray]"'
        )
        raise RayEngineError(msg) from error
    found: ModuleType = ray
    return found


def connect(ray: ModuleType, workers: int | None) -> None:
    """Connect to the cluster that is named, or start one with room for the workers.

    Raises:
        RayEngineError: If the cluster is not there, or does not start.
    """
    address = os.environ.get(ADDRESS)
    start = {} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(
            address or "local", log_to_driver=False, logging_level="ERROR", **start
        )
    except Exception as error:  # Ray raises many kinds, some of them bare
        ray.shutdown()
        if address:
            msg = f"{ADDRESS} is {address!r}, which cannot be used: {error}"
        else:
            msg = (
                f"Ray did not start ({error}); try again when the machine is less "
                f"busy, or name a cluster that runs in {ADDRESS}"
            )
        raise RayEngineError(msg) from error


def room(ray: ModuleType, gpus: float) -> int:
    """How many workers, each with one CPU and some GPUs, the cluster has room for."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(_room_of(node, gpus) for node in nodes)


def _room_of(node: dict[str, float], gpus: float) -> int:
    cpus = node.get("CPU", 0)
    return int(min(cpus, node.get("GPU", 0) / gpus) if gpus else cpus)
