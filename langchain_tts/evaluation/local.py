"""The local engine: a sweep's searches in this process, many at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from typing_extensions import TypedDict

from langchain_tts.budget import Budget
from langchain_tts.evaluation.plans import Job
from langchain_tts.evaluation.records import SearchRecord, failed, record_of
from langchain_tts.policies import resolve_policy
from langchain_tts.rewards import resolve_prm
from langchain_tts.search.state import Message
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import asolve

IN_FLIGHT = 64
"""Searches at once: enough to fill an engine's batches, few enough for its cache."""

Done = Callable[[SearchRecord], None]
"""What is called with each record, in the order in which the searches end."""


class Models(TypedDict):
    """What a run tells about its models."""

    policy: str
    prm: str | None
    policy_parameters: int
    """0 where it is not known."""
    prm_parameters: int


class Engine(Protocol):
    """Where the searches of a sweep run."""

    def models(self, context: SearchContext) -> Models:
        """Tell what the models of a context are.

        Raises:
            ValueError: If there is no such model.
        """

    def run(self, jobs: Iterable[Job], context: SearchContext, done: Done) -> None:
        """Run all jobs, and return when the last record was handed over.

        Args:
            jobs: What is searched.
            context: Models and parameters of all searches. Its budget's `samples` is
                replaced.
            done: Called with each record, one at a time, while this call waits.
        """


class LocalEngine:
    """Runs searches in this process; many are in flight at once."""

    def models(self, context: SearchContext) -> Models:
        """Tell what the models are, which may be given by name or as objects."""
        return models_of(context)

    def run(self, jobs: Iterable[Job], context: SearchContext, done: Done) -> None:
        """Run all jobs, also where an event loop is running, as in a notebook."""
        work = partial(_run_all, jobs, resolved(context), done)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(work())
        else:
            _run_aside(work)


def resolved(context: SearchContext) -> SearchContext:
    """A context with its models loaded: searches then need not look for them."""
    policy, prm = resolve_policy(context.policy), resolve_prm(context.prm)
    return replace(context, policy=policy, prm=prm)


def models_of(context: SearchContext) -> Models:
    """What the models of a context are; those that are named are loaded."""
    policy, prm = resolve_policy(context.policy), resolve_prm(context.prm)
    return Models(
        policy=policy.name or type(policy).__name__,
        prm=None if prm is None else prm.name or type(prm).__name__,
        policy_parameters=policy.num_parameters,
        prm_parameters=0 if prm is None else prm.num_parameters,
    )


async def _run_all(jobs: Iterable[Job], context: SearchContext, done: Done) -> None:
    # A task for each place and not for each job: there may be 100,000 jobs.
    left = iter(jobs)

    async def work() -> None:
        for job in left:
            done(await search_job(job, context))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(work())
    except ExceptionGroup as errors:
        # Searches do not raise: it is `done` that could not keep a record.
        raise errors.exceptions[0] from None


def _run_aside(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine in a loop and a thread of its own, and wait for it."""
    started: Future[Callable[[], object]] = Future()

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            started.set_result(partial(loop.call_soon_threadsafe, task.cancel))
        await work()

    with ThreadPoolExecutor(1, "langchain-tts-sweep") as thread:
        ended = thread.submit(asyncio.run, main())
        try:
            ended.result()
        except KeyboardInterrupt:
            started.result()()
            raise


async def search_job(job: Job, context: SearchContext) -> SearchRecord:
    """Search one question and grade what came of it."""
    plan = job.plan
    limits = {**context.budget.to_dict(), "samples": plan.budget}
    # So many searches fill the engine's batches whatever each of them waits for.
    lockstep = True if context.lockstep is None else context.lockstep
    own = {"lockstep": lockstep, **dict(plan.parameters)}
    try:
        result = await asolve(
            [Message(role="user", content=job.question.text)],
            strategy=plan.strategy,
            context=replace(context, budget=Budget.parse(limits), **own),
            seed=question_seed(job.seed, job.question.text),
        )
        # Comparing answers may take a computer algebra system's time.
        return await asyncio.to_thread(record_of, job, result)
    except Exception as error:  # noqa: BLE001 (one question must not end all)
        return failed(job, error)


def question_seed(seed: int, question: str) -> int:
    """The seed of one question's searches: the same in every sweep with `seed`."""
    digest = hashlib.sha256(f"{seed}\n{question}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
