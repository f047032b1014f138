"""The same agent with a plain model and with a searched one: how often is each right?

An agent with a calculator answers questions that no training has seen. Its model is
first the small policy in the package alone, then the same policy searched with: at
every turn 16 candidates (calls, or the answer), of which the best by the verifier is
made. Nothing else differs: same agent, same tool, same questions. Run it with

    python -m examples.agent_swap

It needs no network and no GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from time import monotonic
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from langchain_tts import TTSChatModel
from langchain_tts.answers import extract_answer, grade
from langchain_tts.tinymath.calculator import calculate
from langchain_tts.tinymath.generator import load_split
from langchain_tts.tinymath.problem import Problem

POLICY = PRM = "tinymath-tools"
MOST_TURNS = 16
"""More than any right solution takes: a plain model may go round in circles."""
MOST_TOKENS = 160
"""New tokens a turn, more than any right turn takes."""


@tool
def calculator(expression: str) -> str:
    """Work out an arithmetic expression, for example 12*7."""
    return calculate(expression)


@dataclass(frozen=True)
class Run:
    """What one agent did with one question."""

    right: bool
    turns: int = 0
    tool_calls: int = 0
    tokens: int = 0
    """All that the policy wrote."""
    failed: bool = False


@dataclass(frozen=True)
class Report:
    """What one model did with all questions."""

    name: str
    runs: list[Run]
    seconds: float

    @property
    def right(self) -> list[int]:
        """1 where a question was answered right, else 0."""
        return [int(run.right) for run in self.runs]


def models(budget: int) -> dict[str, TTSChatModel]:
    """The models to compare, by the names of the table's rows."""
    shared: dict[str, Any] = {"policy": POLICY, "max_tokens": MOST_TOKENS}
    return {
        "greedy": TTSChatModel(strategy="greedy", prm=None, **shared),
        "one sample": TTSChatModel(
            strategy="majority_vote", prm=None, budget=1, **shared
        ),
        f"N = {budget}": TTSChatModel(
            strategy="best_of_n", prm=PRM, budget=budget, vote="max", **shared
        ),
    }


async def ask_all(
    name: str,
    model: TTSChatModel,
    problems: Sequence[Problem],
    seed: int,
    bar: Progress,
) -> Report:
    """Let an agent answer all questions at the same time."""
    agent: Any = create_agent(
        model,
        tools=[calculator],
        middleware=[ModelCallLimitMiddleware(run_limit=MOST_TURNS)],
    )
    questions = [
        {"messages": [{"role": "user", "content": problem.question}]}
        for problem in problems
    ]
    started = monotonic()
    runs: dict[int, Run] = {}
    configs = [
        # In a batch LangGraph stops after 25 steps, fewer than ten turns. The seed is
        # the model's: chance shall not be the same for all questions.
        {"recursion_limit": 10 * MOST_TURNS, "configurable": {"seed": seed + index}}
        for index in range(len(problems))
    ]
    done = agent.abatch_as_completed(questions, configs, return_exceptions=True)
    task = bar.add_task(name, total=len(problems))
    async for index, result in done:
        runs[index] = judged(result, problems[index])
        bar.advance(task)
    return Report(name, [runs[i] for i in sorted(runs)], monotonic() - started)


def judged(result: dict[str, Any] | Exception, problem: Problem) -> Run:
    """Whether an agent was right; one that broke down was not."""
    if isinstance(result, Exception):
        return Run(right=False, failed=True)
    said = [m for m in result["messages"] if isinstance(m, AIMessage)]
    # The call limit ends a run with a message that no model wrote.
    usages = [m.usage_metadata for m in said if m.usage_metadata]
    return Run(
        right=grade(extract_answer(said[-1].text), problem.answer),
        turns=len(usages),
        tool_calls=sum(len(m.tool_calls) for m in said),
        tokens=sum(usage["output_tokens"] for usage in usages),
    )


def with_error(values: Sequence[float]) -> str:
    """A mean in percent, with its standard error."""
    if len(values) < 2:  # noqa: PLR2004
        return f"{100 * mean(values):.1f}"
    error = stdev(values) / math.sqrt(len(values))
    return f"{100 * mean(values):.1f} ± {100 * error:.1f}"


def summary(reports: Sequence[Report], problems: Sequence[Problem]) -> Table:
    """One row a model; differences are of the same questions."""
    searched = reports[-1]
    title = f"An agent with a calculator, {len(problems)} held-out questions"
    note = "gain: of the search; turns, calls, tokens: a question; ± standard error"
    table = Table(title=title, caption=note)
    table.add_column("model")
    for column in ("right, %", "gain", "turns", "calls", "tokens"):
        table.add_column(column, justify="right")
    for column in ("failed", "s"):
        table.add_column(column, justify="right")
    for report in reports:
        gain = [b - a for a, b in zip(report.right, searched.right, strict=True)]
        table.add_row(
            report.name,
            with_error(report.right),
            "" if report is searched else with_error(gain),
            f"{mean(run.turns for run in report.runs):.1f}",
            f"{mean(run.tool_calls for run in report.runs):.1f}",
            f"{mean(run.tokens for run in report.runs):.0f}",
            str(sum(run.failed for run in report.runs)),
            f"{report.seconds:.0f}",
        )
    return table


async def compare(limit: int, budget: int, seed: int, console: Console) -> list[Report]:
    """Ask every model the same questions and print what came out."""
    problems = load_split("test")[:limit]
    columns = ("[progress.description]{task.description}", BarColumn())
    counts = (MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, *counts, console=console) as bar:
        reports = [
            await ask_all(name, model, problems, seed, bar)
            for name, model in models(budget).items()
        ]
    console.print(summary(reports, problems))
    return reports


def main(argv: list[str] | None = None) -> int:
    """Compare the models on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--limit", type=int, default=200, help="questions, at most 1000 (%(default)s)"
    )
    parser.add_argument("--budget", type=int, default=16, help="N (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    arguments = parser.parse_args(argv)
    asyncio.run(compare(arguments.limit, arguments.budget, arguments.seed, Console()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
