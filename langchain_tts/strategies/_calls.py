"""Engine calls: what a node asks for, and how it is carried out, sync and async.

A node's logic is written once, as a generator that yields what it needs done (an
engine call, a wait, a computation) and is sent the outcome. `node` turns it into a
LangGraph node with a sync and an async form.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from langchain_tts.budget import Spent, add_spent
from langchain_tts.engines.futures import together
from langchain_tts.strategies._registry import VerifierUse
from langchain_tts.strategies._setting import Setting, abind, bind, runtime_context
from langchain_tts.strategies.state import SearchState


class PolicyFailedError(ValueError):
    """The policy gave nothing that a search could go on with."""


@dataclass(frozen=True)
class Call:
    """A batched call of a policy or a verifier."""

    model: Runnable[Any, Any]
    requests: Sequence[Any]
    until: float | None = None
    """`time.monotonic()` when it is given up; None: never."""

    @property
    def seconds(self) -> float | None:
        """How long it may still take."""
        return None if self.until is None else max(0.0, self.until - time.monotonic())


@dataclass(frozen=True)
class Wait:
    """A pause before a failed call is tried again."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """A computation that may take long enough to hold up an event loop."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Together:
    """Parts of a search that run at once, none waiting for another."""

    parts: Sequence[Steps]


Effect = Call | Wait | Work | Together
Steps = Generator[Effect, Any, SearchState]


Phase = Callable[[SearchState, Setting], SearchState | Steps]
"""One node's logic: a pure function, or a generator where it needs something done."""


class Node(Runnable[SearchState, SearchState]):
    """A function with a sync and an async form.

    LangGraph traces its nodes itself: a `RunnableLambda` would do so a second time, and
    cost as much as the rest of LangGraph's work on a step.
    """

    votes = False
    """Whether it votes, and does nothing where its strategy is part of another search.
    """

    def __init__(
        self,
        run: Callable[[SearchState, RunnableConfig], SearchState],
        arun: Callable[[SearchState, RunnableConfig], Awaitable[SearchState]],
        name: str,
    ) -> None:
        self.name = name
        self._run = run
        self._arun = arun

    def invoke(
        self,
        input: SearchState,  # noqa: A002 (the name is Runnable's)
        config: RunnableConfig | None = None,
        **_kwargs: Any,
    ) -> SearchState:
        """Run it, blocking."""
        return self._run(input, config or {})

    async def ainvoke(
        self,
        input: SearchState,  # noqa: A002 (the name is Runnable's)
        config: RunnableConfig | None = None,
        **_kwargs: Any,
    ) -> SearchState:
        """Run it without blocking the event loop."""
        return await self._arun(input, config or {})


def node(phase: Phase, verifier: VerifierUse, name: str) -> Node:
    """Make a LangGraph node of a phase, and charge its seconds.

    Models that are named are resolved here, so that a graph can be run from a form;
    the time that loading them takes is not charged.
    """

    def run(state: SearchState, config: RunnableConfig) -> SearchState:
        setting = bind(runtime_context(state), verifier)
        started = time.monotonic()
        update = phase(state, setting)
        if isinstance(update, Generator):
            update = _drive(update, config)
        return charged(update, started)

    async def arun(state: SearchState, config: RunnableConfig) -> SearchState:
        setting = await abind(runtime_context(state), verifier)
        started = time.monotonic()
        update = phase(state, setting)
        if isinstance(update, Generator):
            aside = not setting.policy.counts_locally
            update = await _adrive(update, config, aside=aside)
        return charged(update, started)

    return Node(run, arun, name)


def charged(update: SearchState, started: float) -> SearchState:
    """An update with the seconds that it took since `started`."""
    seconds = Spent(seconds=time.monotonic() - started)
    return {**update, "spent": add_spent(update.get("spent", {}), seconds)}


@dataclass(frozen=True)
class _Ended:
    """A phase that needs nothing more done."""

    update: SearchState


def _next(resume: Callable[[Any], Effect], outcome: object) -> Effect | _Ended:
    """Run a phase up to the next thing that it needs done."""
    try:
        return resume(outcome)
    except StopIteration as stop:
        return _Ended(stop.value)


def _drive(steps: Steps, config: RunnableConfig) -> SearchState:
    """Carry out what a phase yields, blocking."""
    effect = _next(steps.send, None)
    while not isinstance(effect, _Ended):
        try:
            outcome = _perform(effect, config)
        except Exception as error:  # noqa: BLE001 (the phase decides)
            effect = _next(steps.throw, error)
        else:
            effect = _next(steps.send, outcome)
    return effect.update


async def _adrive(
    steps: Steps, config: RunnableConfig, *, aside: bool = False
) -> SearchState:
    """Carry out what a phase yields, without blocking the event loop.

    Args:
        steps: The phase.
        config: LangChain's, for tracing.
        aside: Whether the phase itself may take long: then a thread runs it.
    """

    async def advance(
        resume: Callable[[Any], Effect], outcome: object
    ) -> Effect | _Ended:
        if aside:
            return await asyncio.to_thread(_next, resume, outcome)
        return _next(resume, outcome)

    effect = await advance(steps.send, None)
    while not isinstance(effect, _Ended):
        try:
            outcome = await _aperform(effect, config)
        except Exception as error:  # noqa: BLE001 (the phase decides)
            effect = await advance(steps.throw, error)
        else:
            effect = await advance(steps.send, outcome)
    return effect.update


def _perform(effect: Effect, config: RunnableConfig) -> object:
    match effect:
        case Call(model, requests):
            return model.invoke(list(requests), config, seconds=effect.seconds)
        case Wait(seconds):
            time.sleep(seconds)
            return None
        case Work(function):
            return function()
        case Together(parts):
            # In a thread of its own: the caller's may run an event loop.
            with ThreadPoolExecutor(max_workers=1) as thread:
                run = copy_context().run
                return thread.submit(run, asyncio.run, _all(parts, config)).result()


async def _aperform(effect: Effect, config: RunnableConfig) -> object:
    match effect:
        case Call(model, requests):
            seconds = effect.seconds
            return await model.ainvoke(list(requests), config, seconds=seconds)
        case Wait(seconds):
            await asyncio.sleep(seconds)
            return None
        case Work(function):
            return await asyncio.to_thread(function)
        case Together(parts):
            return await _all(parts, config)


async def _all(parts: Sequence[Steps], config: RunnableConfig) -> list[SearchState]:
    return await together(_adrive(part, config) for part in parts)
