"""Which worker runs which job next, and what happens to the jobs of one that died.

Nothing here knows what a worker is: the functions that talk to them are in
`ray_engine.py`. Jobs are given out one by one (guided self-scheduling): a worker has
never more than its share of half of what is left, so that all are busy until the end
although some questions take much longer than others.
"""

from __future__ import annotations

import math
from collections import deque

from langchain_tts.evaluation.local import IN_FLIGHT

COMPANY = (IN_FLIGHT, 8, 1)
"""How many jobs a worker may have at once where one of them was lost 0, 1, 2 times.

A worker that dies takes all of its jobs with it, of which one may be the reason. So
those are tried again in smaller company, at last alone: what then dies is to blame."""


class Schedule:
    """The jobs of a run and who has them.

    Args:
        jobs: How many there are; each is known by its number.
        workers: How many workers are expected, for fair shares.
    """

    def __init__(self, jobs: int, workers: int) -> None:
        self._workers = workers
        self._held: dict[int, set[int]] = {}
        self._losses: dict[int, int] = {}
        # One queue for each number of losses: those that may kill again come last.
        self._waiting: list[deque[int]] = [deque() for _ in COMPANY]
        self._waiting[0].extend(range(jobs))
        self._unfinished = jobs

    @property
    def finished(self) -> bool:
        """Whether every job was finished or given up."""
        return not self._unfinished

    def join(self, worker: int) -> None:
        """A worker is ready for jobs."""
        self._held[worker] = set()

    def leave(self, worker: int) -> None:
        """A worker died or will get no more jobs; what it has is still to be told."""
        self._held.pop(worker, None)

    def assign(self) -> list[tuple[int, int]]:
        """Give out all jobs that may run now.

        Returns:
            Pairs of a worker and the job that it has from now on.
        """
        given = []
        while (pair := self._next()) is not None:
            worker, job = pair
            self._held[worker].add(job)
            self._waiting[self._losses.get(job, 0)].popleft()
            given.append(pair)
        return given

    def finish(self, worker: int, job: int) -> None:
        """A job is done."""
        self._held.get(worker, set()).discard(job)
        self._unfinished -= 1

    def lose(self, worker: int, job: int) -> bool:
        """A job was lost with its worker.

        Returns:
            Whether it will be tried again; otherwise it is given up.
        """
        self._held.get(worker, set()).discard(job)
        losses = self._losses[job] = self._losses.get(job, 0) + 1
        if losses == len(COMPANY):
            self._unfinished -= 1
            return False
        self._waiting[losses].append(job)
        return True

    def _next(self) -> tuple[int, int] | None:
        """A job that waits and the worker that gets it: the least busy with room."""
        queue = next((queue for queue in self._waiting if queue), None)
        if queue is None:
            return None
        able = [
            w for w, held in self._held.items() if len(held) < self._room(w, queue[0])
        ]
        if not able:
            return None
        return min(able, key=lambda worker: len(self._held[worker])), queue[0]

    def _room(self, worker: int, job: int) -> int:
        """How many jobs a worker may have if it gets this one too."""
        together = (job, *self._held[worker])
        company = min(COMPANY[self._losses.get(one, 0)] for one in together)
        share = math.ceil(self._unfinished / (2 * self._workers))
        return min(company, share)
