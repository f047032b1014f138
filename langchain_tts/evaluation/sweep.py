"""Strategies x budgets x scores x votes over a data set, with standard errors.

Many searches are in flight at once, so that the engine's batches are full. Strategies
that sample whole answers run once, at the largest budget: the first n samples of a run
at N are exactly the run at n, so every smaller budget is read off the same samples
(paired, hence also less noisy). A step search at another N is another search and runs
anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from langchain_tts.answers import answer_classes, grade
from langchain_tts.budget import Budget, Spent
from langchain_tts.evaluation.datasets import Question
from langchain_tts.policies import resolve_policy
from langchain_tts.rewards import resolve_prm
from langchain_tts.search.state import Message, Score, SearchResult, TableRow, Vote
from langchain_tts.search.vote import all_votes, nested_votes
from langchain_tts.strategies import get_strategy
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import asolve

IN_FLIGHT = 64
"""Searches at once: enough to fill an engine's batches, few enough for its cache."""


class SweepError(ValueError):
    """A sweep that measured nothing."""


class Accuracy(TypedDict):
    """A share of right answers."""

    n: int
    accuracy: float
    stderr: float
    """Binomial standard error."""


class Row(Accuracy):
    """One way of answering all questions."""

    strategy: str
    budget: int
    """N. Greedy search takes one sample whatever N is."""
    score: Score | None
    """None where the answer does not depend on step scores."""
    vote: Vote
    by_level: dict[str, Accuracy]
    policy_flops: float | None
    """Mean of the searches at this N; None where N was read off a larger run."""
    prm_flops: float | None


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
    rows: list[Row]
    failures: list[Failure]


@dataclass(frozen=True)
class _Plan:
    """Searches at one N, and the budgets that are read off them."""

    strategy: str
    budget: int
    sizes: tuple[int, ...]


Combination = tuple[str, int, Score | None, Vote]
"""Strategy, budget, score, vote."""


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
    context = replace(context, policy=policy, prm=prm)
    jobs = [
        (plan, question)
        for plan in _plans(strategies, sorted(set(budgets)))
        for question in questions
    ]
    right: dict[Combination, list[tuple[Question, bool]]] = defaultdict(list)
    costs: dict[tuple[str, int], list[Spent]] = defaultdict(list)
    failures: list[Failure] = []
    places = asyncio.Semaphore(IN_FLIGHT)
    done = 0

    async def run(plan: _Plan, question: Question) -> None:
        nonlocal done
        async with places:
            try:
                result = await _solve(plan, question, context, seed)
                graded = await asyncio.to_thread(_grade, plan, question, result)
                costs[plan.strategy, plan.budget].append(result["spent"])
            except Exception as error:  # noqa: BLE001 (one question must not end all)
                failures.append(_failure(plan, question, error))
                graded = dict.fromkeys(_combinations(plan), False)
        for combination, is_right in graded.items():
            right[combination].append((question, is_right))
        done += 1
        if advance is not None:
            advance(done, len(jobs))

    async with asyncio.TaskGroup() as tasks:
        for plan, question in jobs:
            tasks.create_task(run(plan, question))
    if len(failures) == len(jobs):
        msg = f"every search failed; the first: {failures[0]['error']}"
        raise SweepError(msg)
    return Report(
        policy=policy.name or type(policy).__name__,
        prm=None if prm is None else prm.name or type(prm).__name__,
        seed=seed,
        rows=[
            _row(key, right[key], costs.get(key[:2], []))
            for key in _ordered(right, strategies)
        ],
        failures=failures,
    )


def accuracy(graded: Iterable[bool]) -> Accuracy:
    """The share of right answers with its binomial standard error."""
    marks = list(graded)
    share = sum(marks) / len(marks)
    return Accuracy(
        n=len(marks),
        accuracy=share,
        stderr=math.sqrt(share * (1 - share) / len(marks)),
    )


def question_seed(seed: int, question: str) -> int:
    """The seed of one question's searches: the same in every sweep with `seed`."""
    digest = hashlib.sha256(f"{seed}\n{question}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _plans(strategies: Sequence[str], budgets: Sequence[int]) -> list[_Plan]:
    plans = []
    for name in dict.fromkeys(strategies):
        if get_strategy(name).nested:
            plans.append(_Plan(name, budgets[-1], tuple(budgets)))
        else:
            plans += [_Plan(name, budget, (budget,)) for budget in budgets]
    return plans


async def _solve(
    plan: _Plan, question: Question, context: SearchContext, seed: int
) -> SearchResult:
    limits = {**context.budget.to_dict(), "samples": plan.budget}
    return await asolve(
        [Message(role="user", content=question.text)],
        strategy=plan.strategy,
        context=replace(context, budget=Budget.parse(limits)),
        seed=question_seed(seed, question.text),
    )


def _grade(
    plan: _Plan, question: Question, result: SearchResult
) -> dict[Combination, bool]:
    finals = result["candidates"]
    classes = answer_classes([final["answer"] for final in finals])
    tables: dict[int, list[TableRow]]
    if get_strategy(plan.strategy).nested:
        tables = nested_votes(result["tree"], finals, classes, plan.sizes)
    else:
        tables = {plan.budget: all_votes(finals, classes)}
    marks = {
        row["answer"]: grade(row["answer"], question.answer)
        for table in tables.values()
        for row in table
    }
    return {
        (plan.strategy, size, row["score"], row["vote"]): marks[row["answer"]]
        for size, table in tables.items()
        for row in table
        if row["vote"] == "majority" or uses_scores(plan.strategy)
    }


def _combinations(plan: _Plan) -> list[Combination]:
    return [
        (plan.strategy, size, row["score"], row["vote"])
        for size in plan.sizes
        for row in all_votes([], [])
        if row["vote"] == "majority" or uses_scores(plan.strategy)
    ]


def uses_scores(strategy: str) -> bool:
    """Whether a strategy's answer can depend on step scores."""
    return get_strategy(strategy).verifier != "none"


def _failure(plan: _Plan, question: Question, error: Exception) -> Failure:
    return Failure(
        strategy=plan.strategy,
        budget=plan.budget,
        question=question.text,
        error=f"{type(error).__name__}: {error}",
    )


def _ordered(
    combinations: Iterable[Combination], strategies: Sequence[str]
) -> list[Combination]:
    """By strategy as asked for, then by budget; scores and votes as they came."""
    places = {name: place for place, name in enumerate(strategies)}
    return sorted(combinations, key=lambda key: (places[key[0]], key[1]))


def _row(
    combination: Combination,
    graded: list[tuple[Question, bool]],
    costs: list[Spent],
) -> Row:
    strategy, budget, score, vote = combination
    levels: dict[int, list[bool]] = defaultdict(list)
    for question, is_right in graded:
        if question.level is not None:
            levels[question.level].append(is_right)
    return Row(
        strategy=strategy,
        budget=budget,
        score=score,
        vote=vote,
        **accuracy(is_right for _, is_right in graded),
        by_level={str(level): accuracy(levels[level]) for level in sorted(levels)},
        policy_flops=_mean([spent.get("policy_flops", 0.0) for spent in costs]),
        prm_flops=_mean([spent.get("prm_flops", 0.0) for spent in costs]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
