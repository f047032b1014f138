"""What the graph costs: everything in a search but the calls of its models.

With models that take no time: milliseconds a superstep (one node's run), sync and
async, without a checkpointer. With the embedded models: how long a whole search takes,
and the share of it in which no model was working. Each figure is a median; CPU time is
told beside the wall clock's, for machines with other work to do.

    python -m benchmarks.graph_overhead
    python -m benchmarks.graph_overhead --embedded --samples 16 64
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from statistics import median
from threading import Lock
from typing import Any, NamedTuple

from benchmarks.instant import QUESTION, InstantPolicy, InstantPrm
from langchain_tts.budget import Budget
from langchain_tts.policies import resolve_policy
from langchain_tts.policies.base import Generation, GenerationRequest, Policy, Step
from langchain_tts.rewards import resolve_prm
from langchain_tts.rewards.base import RewardModel, ScoreRequest, Scores
from langchain_tts.search.state import Message
from langchain_tts.strategies import get_strategy
from langchain_tts.strategies.context import SearchContext

STRATEGIES = ("beam_search", "dvts")
DEPTH = 10
"""Steps of every answer of the instant policy."""


class Cost(NamedTuple):
    """Seconds of the clock and of the processor."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Cost:
        """What both clocks say."""
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: Cost) -> Cost:
        """What has passed."""
        return Cost(self.wall - start.wall, self.cpu - start.cpu)


def superstep_cost(
    strategy: str, samples: int, *, asynchronous: bool, repetitions: int
) -> Cost:
    """The median cost of one superstep with models that take no time."""
    graph = get_strategy(strategy).build().compile()
    # In lockstep DVTS takes supersteps; side by side it is one node.
    context = SearchContext(
        policy=InstantPolicy(DEPTH),
        prm=InstantPrm(),
        budget=Budget(samples),
        lockstep=True,
    )
    limit: Any = {"recursion_limit": 1000}

    def run(seed: int) -> int:
        start: Any = {"messages": QUESTION, "seed": seed}
        steps = graph.stream(start, limit, context=context, stream_mode="updates")
        return sum(1 for _ in steps)

    async def arun(seed: int) -> int:
        start: Any = {"messages": QUESTION, "seed": seed}
        steps = graph.astream(start, limit, context=context, stream_mode="updates")
        return len([step async for step in steps])

    found = []
    for seed in range(repetitions + 1):
        start = Cost.now()
        supersteps = asyncio.run(arun(seed)) if asynchronous else run(seed)
        cost = Cost.now().since(start)
        found.append(Cost(cost.wall / supersteps, cost.cpu / supersteps))
    return _medians(found[1:])


def _medians(costs: Sequence[Cost]) -> Cost:
    return Cost(median(c.wall for c in costs), median(c.cpu for c in costs))


class Watch:
    """Adds up the time in which at least one model is working."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.working = 0
        self.start = Cost(0.0, 0.0)
        self.total = Cost(0.0, 0.0)

    def watched(self, submit: Callable[[], Future[Any]]) -> Future[Any]:
        """Submit a call, and watch it to its end."""
        with self.lock:
            self.working += 1
            if self.working == 1:
                self.start = Cost.now()
        future = submit()
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _future: Future[Any]) -> None:
        with self.lock:
            self.working -= 1
            if not self.working:
                more = Cost.now().since(self.start)
                self.total = Cost(
                    self.total.wall + more.wall, self.total.cpu + more.cpu
                )


class WatchedPolicy(Policy):
    """A policy whose working time is added up."""

    def __init__(self, policy: Policy, watch: Watch) -> None:
        self.name = policy.name
        self.num_parameters = policy.num_parameters
        self.context_window = policy.context_window
        self.policy = policy
        self.watch = watch

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        """Generate."""
        return self.watch.watched(lambda: self.policy.submit(requests))

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Count tokens."""
        return self.policy.count_prompt_tokens(messages)

    def read_step(
        self,
        messages: Sequence[Message],
        prefix: Sequence[int],
        text: str,
        *,
        ends: bool,
    ) -> Step:
        """Read a step."""
        return self.policy.read_step(messages, prefix, text, ends=ends)


class WatchedPrm(RewardModel):
    """A verifier whose working time is added up."""

    def __init__(self, prm: RewardModel, watch: Watch) -> None:
        self.name = prm.name
        self.num_parameters = prm.num_parameters
        self.prm = prm
        self.watch = watch

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        """Score."""
        return self.watch.watched(lambda: self.prm.submit(requests))


class Search(NamedTuple):
    """What one search cost, in seconds of the clock."""

    whole: float
    models: float
    """While at least one model was working."""
    nodes: float
    """While a node was running, less its models: the logic of the search."""
    langgraph: float
    """Everything else: scheduling, channels, callbacks."""
    tokens: float
    cpu_share: float
    """Share of the CPU time in which no model was working."""


def search_cost(strategy: str, samples: int, repetitions: int) -> Search:
    """The median cost of a search with the embedded models.

    Every search has a question of its own: what another one cached cannot help it.
    """
    from langchain_tts.tinymath.generator import load_split

    graph = get_strategy(strategy).build().compile()
    problems = load_split("test")
    stride = len(problems) // (repetitions + 1)
    found = [
        _search(graph, samples, problem.question)
        for problem in problems[::stride][: repetitions + 1]
    ]
    return Search(*map(median, zip(*found[1:], strict=True)))


def _search(graph: Any, samples: int, text: str) -> Search:
    watch = Watch()
    prm = resolve_prm("tinymath")
    context = SearchContext(
        policy=WatchedPolicy(resolve_policy("tinymath"), watch),
        prm=None if prm is None else WatchedPrm(prm, watch),
        budget=Budget(samples),
        lockstep=False,
    )
    question: list[Message] = [{"role": "user", "content": text}]
    started = Cost.now()
    state = graph.invoke(
        {"messages": question, "seed": 1}, {"recursion_limit": 1000}, context=context
    )
    whole = Cost.now().since(started)
    inside = state["spent"]["seconds"]
    return Search(
        whole=whole.wall,
        models=watch.total.wall,
        nodes=inside - watch.total.wall,
        langgraph=whole.wall - inside,
        tokens=state["spent"]["generated_tokens"],
        cpu_share=1 - watch.total.cpu / whole.cpu,
    )


def _print_supersteps(samples: Sequence[int], repetitions: int) -> None:
    print("| strategy | N | call | ms a superstep | CPU ms a superstep |")
    print("|---|---|---|---|---|")
    for strategy in STRATEGIES:
        for n in samples:
            for asynchronous in (False, True):
                cost = superstep_cost(
                    strategy, n, asynchronous=asynchronous, repetitions=repetitions
                )
                call = "async" if asynchronous else "sync"
                print(
                    f"| {strategy} | {n} | {call} "
                    f"| {1e3 * cost.wall:.2f} | {1e3 * cost.cpu:.2f} |",
                    flush=True,
                )


def _print_shares(samples: Sequence[int], repetitions: int) -> None:
    print(
        "| strategy | N | tokens | search, ms | models, ms | nodes, ms | LangGraph, ms "
        "| nodes' share | LangGraph's share | both, of CPU time |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for strategy in STRATEGIES:
        for n in samples:
            cost = search_cost(strategy, n, repetitions)
            print(
                f"| {strategy} | {n} | {cost.tokens:.0f} | {1e3 * cost.whole:.0f} "
                f"| {1e3 * cost.models:.0f} | {1e3 * cost.nodes:.1f} "
                f"| {1e3 * cost.langgraph:.1f} | {cost.nodes / cost.whole:.1%} "
                f"| {cost.langgraph / cost.whole:.1%} "
                f"| {cost.cpu_share:.1%} |",
                flush=True,
            )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="What the graph of a search costs.")
    parser.add_argument(
        "--embedded", action="store_true", help="a whole search with the real models"
    )
    parser.add_argument("--samples", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    table = _print_shares if options.embedded else _print_supersteps
    table(options.samples, options.repetitions)


if __name__ == "__main__":
    main()
