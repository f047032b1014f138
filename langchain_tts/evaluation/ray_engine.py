"""The engine on Ray: a sweep's searches in processes of one machine or of many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from langchain_tts.evaluation.local import Done, Models
from langchain_tts.evaluation.plans import Job
from langchain_tts.evaluation.ray_pool import (
    Ended,
    Loaded,
    Lost,
    Pool,
    RayEngineError,
    connect,
    import_ray,
    room,
    summary,
)
from langchain_tts.evaluation.records import SearchRecord, failed
from langchain_tts.evaluation.schedule import COMPANY, Schedule
from langchain_tts.evaluation.worker import job_data, setup_of
from langchain_tts.strategies.context import SearchContext


class RayEngine:
    """Runs searches on Ray's workers; an `Engine` within a `with` statement.

    Each worker is a process that owns a policy and a verifier. One that dies, or whose
    node does, is started again where there is room, and the jobs that it had not
    finished run again. A job with which workers die again and again becomes a failed
    record.

    Args:
        workers: How many; None: as many as the cluster has room for.
        gpus: GPUs of each worker, beside one CPU; several may share one (0.5).
    """

    def __init__(self, workers: int | None = None, gpus: float = 0) -> None:
        self._workers = workers
        self._gpus = gpus
        self._pool: Pool | None = None

    def __enter__(self) -> Self:
        """Connect to Ray, or start it.

        Raises:
            RayEngineError: If Ray is not installed or does not start, if `RAY_ADDRESS`
                names a cluster that is not there, or if no node has room for a worker.
        """
        self._ray = import_ray()
        self._ours = not self._ray.is_initialized()
        if self._ours:
            connect(self._ray, self._workers)
        self._room = room(self._ray, self._gpus)
        if not self._room:
            self.__exit__()
            msg = (
                f"no node has a CPU and {self._gpus:g} GPUs for a worker; give workers "
                "fewer GPUs, or start such nodes first"
            )
            raise RayEngineError(msg)
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers and, unless it was there before, the connection to Ray."""
        if self._pool is not None:
            self._pool.dismiss()
        if self._ours:
            self._ray.shutdown()

    def models(self, context: SearchContext) -> Models:
        """Tell what the models are: the first worker that has loaded them knows.

        Raises:
            RayEngineError: If no worker can load them.
            WorkerError: If the context holds anything but names and plain data.
        """
        pool = self._pool_of(context)
        while pool.models is None:
            pool.next()
        return pool.models

    def run(self, jobs: Iterable[Job], context: SearchContext, done: Done) -> None:
        """Run all jobs.

        Raises:
            RayEngineError: If no worker can load its models.
            WorkerError: If the context holds anything but names and plain data.
        """
        todo = list(jobs)
        pool = self._pool_of(context)
        schedule = Schedule(len(todo), self._workers or self._room)
        for worker in pool.ready:
            schedule.join(worker)
        while not schedule.finished:
            for worker, number in schedule.assign():
                pool.search(worker, number, job_data(todo[number]))
            match pool.next():
                case Loaded(worker):
                    schedule.join(worker)
                case Ended(worker, number, outcome):
                    schedule.finish(worker, number)
                    done(_record(todo[number], outcome))
                case Lost(worker, int(number), error):
                    schedule.leave(worker)
                    if not schedule.lose(worker, number):
                        done(_record(todo[number], _given_up(error)))

    def _pool_of(self, context: SearchContext) -> Pool:
        """The workers that have loaded a context, or are about to."""
        setup = setup_of(context)
        if self._pool is not None and self._pool.setup != setup:
            self._pool.dismiss()
            self._pool = None
        if self._pool is None:
            size = self._workers or self._room
            self._pool = Pool(self._ray, size, self._gpus, setup)
        return self._pool


def _record(job: Job, outcome: SearchRecord | Exception) -> SearchRecord:
    return failed(job, outcome) if isinstance(outcome, Exception) else outcome


def _given_up(error: Exception) -> RayEngineError:
    msg = f"{len(COMPANY)} workers died during this search; the last: {summary(error)}"
    return RayEngineError(msg)
