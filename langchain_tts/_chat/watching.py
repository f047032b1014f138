"""A search that is watched: what becomes certain of its answer, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from langchain_tts._chat.callbacks import aeach_in, each_in
from langchain_tts._chat.certain import certain_text
from langchain_tts._chat.progress import Audience, audience, report
from langchain_tts.budget import Budget
from langchain_tts.strategies import StrategyError, get_strategy
from langchain_tts.strategies.run import Superstep, asolve, awatch, solve, watch
from langchain_tts.strategies.state import result_of

if TYPE_CHECKING:
    from contextvars import Context

    from langchain_tts._chat.search_call import SearchCall
    from langchain_tts.search.certain import Certainty
    from langchain_tts.search.state import SearchResult


def parts(
    call: SearchCall, context: Context, *, text: bool
) -> Generator[str | SearchResult]:
    """Search; yield what becomes certain of the answer's text, at last the result.

    Args:
        call: What is searched for.
        context: What the search runs in.
        text: Whether text is wanted before the result.
    """
    arguments = _arguments(call)
    view = _View.of(call, context.run(audience), text=text)
    if view is None:
        yield context.run(solve, **arguments)
        return
    with closing(each_in(context, watch(**arguments))) as supersteps:
        for superstep in supersteps:
            news = view.see(superstep)
            if view.audience is not None and superstep.node:
                view.audience.tell(view.report(superstep))
            if news:
                yield news
    yield result_of(superstep.state)


async def aparts(
    call: SearchCall, context: Context, *, text: bool
) -> AsyncGenerator[str | SearchResult]:
    """`parts` without blocking the event loop."""
    arguments = _arguments(call)
    view = _View.of(call, context.run(audience), text=text)
    if view is None:
        yield await asyncio.create_task(asolve(**arguments), context=context)
        return
    async with aclosing(aeach_in(context, awatch(**arguments))) as supersteps:
        async for superstep in supersteps:
            news = view.see(superstep)
            if view.audience is not None and superstep.node:
                await view.audience.atell(view.report(superstep))
            if news:
                yield news
    yield result_of(superstep.state)


def _arguments(call: SearchCall) -> dict[str, Any]:
    return {
        "messages": call.messages,
        "strategy": call.strategy,
        "context": call.context,
        "seed": call.seed,
    }


@dataclass
class _View:
    """What is seen of a search from outside.

    Args:
        call: What is searched for.
        certainty: When it is known what can still become the answer.
        audience: Who is told of each superstep.
        certain: What the answer is sure to start with so far.
    """

    call: SearchCall
    certainty: Certainty
    audience: Audience | None
    certain: str = ""

    @classmethod
    def of(
        cls, call: SearchCall, audience: Audience | None, *, text: bool
    ) -> Self | None:
        """A view; None where there is nothing to see before the result.

        Such a search is not watched: that costs less, and its parts go on at their own
        pace.
        """
        certainty = get_strategy(call.strategy).certainty if call.is_text else "end"
        if audience is None and (certainty == "end" or not text):
            return None
        return cls(call, certainty, audience)

    def see(self, superstep: Superstep) -> str:
        """What a superstep has made certain, but for what comes with the result.

        Raises:
            StrategyError: If a strategy is registered as surer than it is.
        """
        ended = "result" in superstep.state
        if ended and not self.call.is_text:
            return ""
        samples = Budget.parse(self.call.context.budget).samples
        text = certain_text(superstep.state, self.certainty, samples, self.call.stop)
        known, self.certain = self.certain, text
        if not text.startswith(known):
            msg = (
                f"strategy {self.call.strategy!r} is registered with certainty="
                f"{self.certainty!r}, but its answer does not begin with {known!r}, "
                "which was certain before; register it with certainty='end'"
            )
            raise StrategyError(msg)
        return "" if ended else text[len(known) :]

    def report(self, superstep: Superstep) -> dict[str, Any]:
        """What is told of a superstep."""
        return report(
            superstep,
            strategy=self.call.strategy,
            budget=Budget.parse(self.call.context.budget),
            certain=self.certain,
            run_id=None if self.audience is None else self.audience.run_id,
        )
