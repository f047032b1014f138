"""Strategies x budgets x scores x votes over a data set, with standard errors.

Many searches are in flight at once, so that the engine's batches are full. Strategies
that sample whole answers run once, at the largest budget: the first n samples of a run
at N are exactly the run at n, so every smaller budget is read off the same samples
(paired, hence also less noisy). A step search at another N is another search and runs
anew, and so does one that may stop early, for its costs at each N.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypedDict

from langchain_tts.budget import Budget
from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.grading import Graded, grade_search
from langchain_tts.evaluation.plans import Plan, plans
from langchain_tts.evaluation.rows import Row, rows
from langchain_tts.policies import resolve_policy
from langchain_tts.rewards import resolve_prm
from langchain_tts.search.state import Message, SearchResult
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import asolve

IN_FLIGHT = 64
"""Searches at once: enough to fill an engine's batches, few enough for its cache."""


class SweepError(ValueError):
    """A sweep that measured nothing."""


class Failure(TypedDict):
    """A search that gave no result; its question counts as answered wrong."""

    strategy: str
    budget: int
    question: str
    error: str


class Report(TypedDict):
    """What a sweep measured."""

    policy: str
    prm: str | None
    seed: int
    questions: int
    rows: list[Row]
    """None for searches at an N that failed on every question."""
    failures: list[Failure]


def sweep(
    questions: Sequence[Question],
    *,
    strategies: Sequence[str],
    budgets: Sequence[int],
    context: SearchContext,
    seed: int = 0,
    advance: Callable[[int, int], None] | None = None,
) -> Report:
    """Run `asweep` where no event loop runs."""
    return asyncio.run(
        asweep(
            questions,
            strategies=strategies,
            budgets=budgets,
            context=context,
            seed=seed,
            advance=advance,
        )
    )


async def asweep(
    questions: Sequence[Question],
    *,
    strategies: Sequence[str],
    budgets: Sequence[int],
    context: SearchContext,
    seed: int = 0,
    advance: Callable[[int, int], None] | None = None,
) -> Report:
    """Measure strategies at budgets on questions.

    Args:
        questions: What is asked, with the right answers.
        strategies: Names of strategies.
        budgets: Values of N.
        context: Models and parameters; its budget's `samples` is replaced.
        seed: Of the sweep; each question's searches draw from it and from its text.
        advance: Called with the searches done and the searches in all.

    Returns:
        One row for each strategy, budget, score and vote.

    Raises:
        SweepError: If there is nothing to measure, or if every search failed.
        ValueError: If there is no such strategy or model.
    """
    if not (questions and strategies and budgets):
        msg = "a sweep needs at least one question, one strategy and one budget"
        raise SweepError(msg)
    policy, prm = resolve_policy(context.policy), resolve_prm(context.prm)
    # So many searches fill the engine's batches whatever each of them waits for.
    lockstep = True if context.lockstep is None else context.lockstep
    context = replace(context, policy=policy, prm=prm, lockstep=lockstep)
    jobs = [
        (plan, question)
        for plan in plans(strategies, budgets, context)
        for question in questions
    ]
    outcomes = await _search_all(jobs, context, seed, advance)
    failures = [one for one in outcomes if not isinstance(one, Graded)]
    if len(failures) == len(jobs):
        msg = f"every search failed; the first: {failures[0]['error']}"
        raise SweepError(msg)
    searches: dict[Plan, list[tuple[Question, Graded | None]]] = {}
    for (plan, question), one in zip(jobs, outcomes, strict=True):
        graded = one if isinstance(one, Graded) else None
        searches.setdefault(plan, []).append((question, graded))
    return Report(
        policy=policy.name or type(policy).__name__,
        prm=None if prm is None else prm.name or type(prm).__name__,
        seed=seed,
        questions=len(questions),
        rows=[row for plan, found in searches.items() for row in rows(plan, found)],
        failures=failures,
    )


async def _search_all(
    jobs: Sequence[tuple[Plan, Question]],
    context: SearchContext,
    seed: int,
    advance: Callable[[int, int], None] | None,
) -> list[Graded | Failure]:
    """Search and grade; what came of each job, in their order."""
    places = asyncio.Semaphore(IN_FLIGHT)
    done = 0

    async def run(plan: Plan, question: Question) -> Graded | Failure:
        nonlocal done
        async with places:
            try:
                result = await _solve(plan, question, context, seed)
                # Comparing answers may take a computer algebra system's time.
                outcome: Graded | Failure = await asyncio.to_thread(
                    grade_search, plan, question, result
                )
            except Exception as error:  # noqa: BLE001 (one question must not end all)
                outcome = _failure(plan, question, error)
        done += 1
        if advance is not None:
            advance(done, len(jobs))
        return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(plan, question)) for plan, question in jobs]
    return [task.result() for task in tasks]


def question_seed(seed: int, question: str) -> int:
    """The seed of one question's searches: the same in every sweep with `seed`."""
    digest = hashlib.sha256(f"{seed}\n{question}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


async def _solve(
    plan: Plan, question: Question, context: SearchContext, seed: int
) -> SearchResult:
    limits = {**context.budget.to_dict(), "samples": plan.budget}
    return await asolve(
        [Message(role="user", content=question.text)],
        strategy=plan.strategy,
        context=replace(context, budget=Budget.parse(limits)),
        seed=question_seed(seed, question.text),
    )


def _failure(plan: Plan, question: Question, error: Exception) -> Failure:
    return Failure(
        strategy=plan.strategy,
        budget=plan.budget,
        question=question.text,
        error=f"{type(error).__name__}: {error}",
    )
