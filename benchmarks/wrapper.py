"""What the chat model costs around a search: a call of it against its graph alone.

The models take no time, so that both calls are the search's own work, and the
difference is the chat model's: reading messages, callbacks, the answer as a message and
all its candidates as generations. Beside it stands what LangChain takes for a call of
any chat model, measured with one that answers at once. Each is measured in turn.

    python -m benchmarks.wrapper
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel

from benchmarks.graph_overhead import Cost
from benchmarks.instant import QUESTION, InstantPolicy, InstantPrm
from benchmarks.measuring import interleaved, middle, show
from langchain_tts import TTSChatModel
from langchain_tts.strategies import get_strategy

DEPTH = 10
"""Steps of every answer."""

SETTINGS = (
    ("greedy", 1),
    ("best_of_n", 16),
    ("beam_search", 16),
    ("beam_search", 64),
    ("dvts", 16),
    ("best_of_n", 256),
)
HEAD = (
    *("strategy", "N", "call", "graph, ms", "chat model, ms"),
    *("difference, ms", "of CPU time, ms", "LangChain's part, ms"),
)
TEXT = QUESTION[0]["content"]


class Seconds(NamedTuple):
    """Medians of one setting."""

    graph: float
    chat_model: float
    difference: float
    """Of the two, in each repetition."""
    cpu: float
    """The difference in time of the processor."""
    langchain: float
    """A chat model that does nothing, in time of the processor."""


def measure(
    strategy: str, samples: int, *, asynchronous: bool, repetitions: int
) -> Seconds:
    """The seconds of each kind of call, in their medians."""
    model = TTSChatModel(
        policy=InstantPolicy(DEPTH),
        prm=InstantPrm(),
        strategy=strategy,
        budget=samples,
        seed=1,
    )
    # As the chat model runs it: side by side where a strategy can.
    context = replace(model.search_context(), lockstep=False)
    graph = get_strategy(strategy).build().compile(checkpointer=False)
    start: Any = {"messages": QUESTION, "seed": 1}
    limit: Any = {"recursion_limit": 10_000}
    nothing = ParrotFakeChatModel()
    if asynchronous:
        found = asyncio.run(
            _ameasured(
                {
                    "graph": lambda: graph.ainvoke(start, limit, context=context),
                    "chat model": lambda: model.ainvoke(TEXT),
                    "nothing": lambda: nothing.ainvoke(TEXT),
                },
                repetitions,
            )
        )
    else:
        found = _measured(
            {
                "graph": lambda: graph.invoke(start, limit, context=context),
                "chat model": lambda: model.invoke(TEXT),
                "nothing": lambda: nothing.invoke(TEXT),
            },
            repetitions,
        )
    pairs = list(zip(found["chat model"], found["graph"], strict=True))
    return Seconds(
        graph=middle(cost.wall for cost in found["graph"]),
        chat_model=middle(cost.wall for cost in found["chat model"]),
        difference=middle(one.wall - other.wall for one, other in pairs),
        cpu=middle(one.cpu - other.cpu for one, other in pairs),
        langchain=middle(cost.cpu for cost in found["nothing"]),
    )


def _measured(
    calls: dict[str, Callable[[], Any]], repetitions: int
) -> dict[str, list[Cost]]:
    def timed(call: Callable[[], Any]) -> Cost:
        started = Cost.now()
        call()
        return Cost.now().since(started)

    for call in calls.values():
        call()
    ways = {name: lambda _, call=call: timed(call) for name, call in calls.items()}
    return interleaved(ways, repetitions)


async def _ameasured(
    calls: dict[str, Callable[[], Awaitable[Any]]], repetitions: int
) -> dict[str, list[Cost]]:
    for call in calls.values():
        await call()
    found: dict[str, list[Cost]] = {name: [] for name in calls}
    for _ in range(repetitions):
        for name, call in calls.items():
            started = Cost.now()
            await call()
            found[name].append(Cost.now().since(started))
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=101, help="(%(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    rows = []
    for strategy, samples in SETTINGS:
        for asynchronous in (False, True):
            seconds = measure(
                strategy,
                samples,
                asynchronous=asynchronous,
                repetitions=options.repetitions,
            )
            cells = [f"{1e3 * value:.2f}" for value in seconds]
            call = "ainvoke" if asynchronous else "invoke"
            rows.append([strategy, str(samples), call, *cells])
    title = f"One call, median of {options.repetitions}"
    show("wrapper", title, HEAD, rows, options.markdown)


if __name__ == "__main__":
    main()
