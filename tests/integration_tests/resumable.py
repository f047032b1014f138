"""A search that saves itself, as a process that can be killed at any moment.

    python -m tests.integration_tests.resumable JOB      one search
    python -m tests.integration_tests.resumable          a fork for each JOB of stdin

A JOB is a `Job` in JSON. A search that was killed goes on with its next process. With
forks the imports are paid once; each prints its process id, and its exit status when it
has ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_tts.budget import Budget
from langchain_tts.policies import resolve_policy
from langchain_tts.policies.base import Generation, GenerationRequest, Policy, Step
from langchain_tts.rewards import resolve_prm
from langchain_tts.rewards.base import RewardModel, ScoreRequest, Scores
from langchain_tts.search.state import Message
from langchain_tts.strategies import STRATEGIES, get_strategy
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.state import SearchState, result_of
from tests.unit_tests.fakes import TreePolicy, TreePrm, random_language

THREAD: Any = {"configurable": {"thread_id": "search"}, "recursion_limit": 10_000}


@dataclass(frozen=True)
class Job:
    """What a process does, and the folder in which it leaves its traces."""

    folder: str
    strategy: str
    seed: int
    samples: int
    question: str
    embedded: bool = False
    call_seconds: float = 0.004

    @property
    def database(self) -> Path:
        """What the search has saved."""
        return Path(self.folder, "search.sqlite")

    @property
    def log(self) -> Path:
        """One line for each call of a model that was begun."""
        return Path(self.folder, "calls.log")

    @property
    def result(self) -> Path:
        """What was found; it is there as a whole or not at all."""
        return Path(self.folder, "result.json")

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


class Log:
    """Lines that are on the disk before anything else happens."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, *words: object) -> None:
        os.write(self.file, (" ".join(map(str, words)) + "\n").encode())
        os.fsync(self.file)


class LoggedPolicy(Policy):
    """Writes down what it is asked for before it starts."""

    def __init__(self, policy: Policy, log: Log, seconds: float) -> None:
        self.name = policy.name
        self.num_parameters = policy.num_parameters
        self.context_window = policy.context_window
        self.policy = policy
        self.log = log
        self.seconds = seconds

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        self.log.write("policy", *(seed for r in requests for seed in r["seeds"]))
        time.sleep(self.seconds)
        return self.policy.submit(requests)

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return self.policy.count_prompt_tokens(messages)

    def read_step(
        self,
        messages: Sequence[Message],
        prefix: Sequence[int],
        text: str,
        *,
        ends: bool,
    ) -> Step:
        return self.policy.read_step(messages, prefix, text, ends=ends)


class LoggedPrm(RewardModel):
    """Writes down what it is asked for before it starts."""

    def __init__(self, prm: RewardModel, log: Log, seconds: float) -> None:
        self.name = prm.name
        self.num_parameters = prm.num_parameters
        self.prm = prm
        self.log = log
        self.seconds = seconds

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        steps = [(request["steps"], request["new"]) for request in requests]
        self.log.write("prm", json.dumps(steps))
        time.sleep(self.seconds)
        return self.prm.submit(requests)


def context_of(job: Job) -> SearchContext:
    policy: Policy = TreePolicy(random_language(job.seed, depth=8))
    prm: RewardModel | None = TreePrm()
    if job.embedded:
        policy, prm = resolve_policy("tinymath"), resolve_prm("tinymath")
    assert prm is not None
    log = Log(job.log)
    return SearchContext(
        policy=LoggedPolicy(policy, log, job.call_seconds),
        prm=LoggedPrm(prm, log, job.call_seconds),
        budget=Budget(job.samples),
    )


def run(job: Job) -> None:
    """Begin the search, or go on with it."""
    with SqliteSaver.from_conn_string(str(job.database)) as saver:
        graph = get_strategy(job.strategy).build().compile(checkpointer=saver)
        saved = graph.get_state(THREAD)
        # Not `saved.next`: it is empty, too, where a node's writes were saved and the
        # process was killed before the checkpoint after them.
        if "result" not in saved.values:
            question: list[Message] = [{"role": "user", "content": job.question}]
            begun = saved.created_at is not None
            start: Any = None if begun else {"messages": question, "seed": job.seed}
            graph.invoke(start, THREAD, context=context_of(job), durability="sync")
        found = result_of(cast("SearchState", graph.get_state(THREAD).values))
    draft = job.result.with_suffix(".draft")
    draft.write_text(json.dumps(found))
    draft.replace(job.result)


def fork_for_each_line() -> None:
    for strategy in STRATEGIES.values():
        # Imported here once, not in every fork.
        strategy.build()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(Job(**json.loads(line)))
            os._exit(0)
        print(child, flush=True)  # noqa: T201 (the caller reads it)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1:]:
        run(Job(**json.loads(sys.argv[1])))
    else:
        fork_for_each_line()
