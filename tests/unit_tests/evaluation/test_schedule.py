"""Schedules, driven by workers that are played here."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from langchain_tts.evaluation.local import IN_FLIGHT
from langchain_tts.evaluation.schedule import Schedule


def ready(jobs: int, workers: int) -> Schedule:
    schedule = Schedule(jobs, workers)
    for worker in range(workers):
        schedule.join(worker)
    return schedule


def load(pairs: list[tuple[int, int]]) -> Counter[int]:
    return Counter(worker for worker, _ in pairs)


def test_a_worker_has_no_more_jobs_than_fill_its_engine() -> None:
    given = ready(1000, 2).assign()
    assert load(given) == {0: IN_FLIGHT, 1: IN_FLIGHT}
    assert sorted(job for _, job in given) == list(range(2 * IN_FLIGHT))


def test_half_of_the_last_jobs_are_kept_for_who_is_done_first() -> None:
    schedule = ready(20, 2)
    first = schedule.assign()
    assert load(first) == {0: 5, 1: 5}
    # 19 are left: a share is 5 again, and the worker with 4 gets one.
    worker, job = first[0]
    schedule.finish(worker, job)
    assert load(schedule.assign()) == {worker: 1}


def test_a_fast_worker_does_what_a_slow_one_leaves() -> None:
    schedule = ready(20, 2)
    done = Counter[int]()
    waiting = schedule.assign()
    while fast := [pair for pair in waiting if pair[0] == 0]:
        schedule.finish(*fast[0])
        waiting.remove(fast[0])
        done[0] += 1
        waiting += schedule.assign()
    assert done[0] == 15
    assert load(waiting) == {1: 5}


def test_a_worker_that_comes_later_finds_work() -> None:
    schedule = Schedule(20, 2)
    schedule.join(0)
    assert load(schedule.assign()) == {0: 5}
    schedule.join(1)
    assert load(schedule.assign()) == {1: 5}


def test_nobody_gets_jobs_before_it_is_ready_or_after_it_died() -> None:
    schedule = Schedule(4, 1)
    assert schedule.assign() == []
    schedule.join(7)
    (pair, *_) = schedule.assign()
    assert pair[0] == 7
    schedule.leave(7)
    assert schedule.assign() == []


def test_jobs_that_were_lost_run_again_after_all_others_in_small_company() -> None:
    schedule = ready(100, 1)
    lost = schedule.assign()
    schedule.leave(0)
    assert len(lost) == 50
    assert all(schedule.lose(*pair) for pair in lost)
    schedule.join(1)
    fresh = schedule.assign()
    assert {job for _, job in fresh} == set(range(50, 100))
    for pair in fresh[:42]:
        schedule.finish(*pair)
        # While there are more than 8 on the worker none of them joins.
        assert schedule.assign() == []
    schedule.finish(*fresh[42])
    again = schedule.assign()
    assert [job for _, job in again] == [0]


def test_a_job_that_kills_alone_is_given_up() -> None:
    schedule = ready(1, 1)
    for worker in range(2):
        schedule.join(worker)
        (pair,) = schedule.assign()
        schedule.leave(worker)
        assert schedule.lose(*pair)
    schedule.join(2)
    (pair,) = schedule.assign()
    assert not schedule.lose(*pair)
    assert schedule.finished


@pytest.mark.parametrize("seed", range(20))
def test_every_job_ends_once_and_only_killers_are_given_up(seed: int) -> None:
    rng = random.Random(seed)
    jobs, killers = 300, {3, 17, 250}
    schedule = ready(jobs, 4)
    ended = Counter[int]()
    given_up = set()
    held: dict[int, set[int]] = {worker: set() for worker in range(4)}
    next_worker = 4
    while not schedule.finished:
        for worker, job in schedule.assign():
            held[worker].add(job)
        worker = rng.choice([worker for worker, has in held.items() if has])
        if not killers & held[worker]:
            job = rng.choice(sorted(held[worker]))
            held[worker].remove(job)
            schedule.finish(worker, job)
            ended[job] += 1
            continue
        schedule.leave(worker)
        for job in held.pop(worker):
            if not schedule.lose(worker, job):
                given_up.add(job)
                ended[job] += 1
        schedule.join(next_worker)
        held[next_worker] = set()
        next_worker += 1
    assert ended == Counter(range(jobs))
    assert given_up == killers
    assert schedule.assign() == []
